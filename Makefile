# Everything a person or CI needs, with nothing installed beforehand but Python 3.11+ and make.

PYTHON ?= python3
UV ?= uv
N ?= 200000
PAIRS ?= 5
SEED ?= 1

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(UV) pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --quiet
DEMO := $(VENV)/.installed-demo
DEV := $(VENV)/.installed-dev

# Each process of a stage, and each worker of the tests, would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test retest fault fuzz bench bench-pages bench-smpp bench-accounts compare docs promtool lint format wheel lock clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(DEMO)  ## install what the demo needs into .venv

demo: $(DEMO)  ## an alert to 10,000 simulated phones, from nothing, with proof
	@$(BIN)/broadcast demo

# Three at a time, also on two cores: they spend a quarter of their time waiting. The long ones come first (conftest).
test: $(DEV)  ## every test, on a real broker, database and simulator
	@$(BIN)/python -m tests.support.class_archive
	$(BIN)/python -m pytest -m "not long" --numprocesses 3 --dist loadfile --no-loadscope-reorder \
		tests/fault tests/e2e tests/integration tests/contract tests/unit

retest: $(DEV)  ## what failed in the last make test, once more, one after the other
	$(BIN)/python -m pytest -m "not long" --last-failed --last-failed-no-failures none \
		tests/fault tests/e2e tests/integration tests/contract tests/unit

fault: $(DEV)  ## every fault test, the long form too, with their report
	$(BIN)/python -m pytest tests/fault

fuzz: $(DEV)  ## a million mutated SMPP frames, the same for the same SEED=1
	$(BIN)/python -m tests.fuzz --seed $(SEED)

bench: $(DEV)  ## measure the whole way, N=200000 recipients unless given
	$(BIN)/python -m bench --recipients $(N)

bench-pages: $(DEV)  ## measure pages of each state at N=5000000 recipients; fails if one is slow
	$(BIN)/python -m bench.pages --recipients $(if $(filter command line,$(origin N)),$(N),5000000)

bench-smpp: $(DEV)  ## measure SMPP alone, and fail if it is slower than it should be
	$(BIN)/python -m bench.smpp

bench-accounts: $(DEV)  ## measure four accounts of which one is out of order; fails if the others are slow
	$(BIN)/python -m bench.accounts

compare: $(DEV)  ## measure BASE=commit and this tree in turns, PAIRS=5 times; fails if this tree is slower
	@test -n "$(BASE)" || { echo "name the commit to compare with: make compare BASE=main" >&2; exit 1; }
	$(BIN)/python -m bench.compare --base $(BASE) --recipients $(N) --pairs $(PAIRS)

promtool: $(BIN)/python  ## fetch promtool, which tests the rules of Prometheus (Debian's package, by apt)
	ops/prometheus/fetch-promtool $(BIN)

lint: $(DEV)  ## style, types and the rules of who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)  ## let ruff write the style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DEV)  ## write docs/settings.md anew from the code
	$(BIN)/python -m ops.settings_page

wheel: $(DEV)  ## build the wheel, install it outside this directory and run it
	.ci/wheel

lock:  ## renew requirements/ from pyproject.toml (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: install it, or name it with UV=/path/to/uv" >&2; exit 1; }
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra embedded -c requirements/runtime.txt -o requirements/embedded.txt
	$(COMPILE) pyproject.toml --extra embedded --extra dev -c requirements/embedded.txt -o requirements/dev.txt
	$(COMPILE) requirements/build.in -c requirements/dev.txt -o requirements/build.txt

clean:  ## remove .venv and every cache of the tools; data and downloaded jars stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are newer than what they were made from, so a second run costs nothing.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "there is no $(PYTHON): install Python 3.11 or newer, or name one with PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), but Python 3.11 or newer is needed: name one with PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv package (on Debian: python3-venv)" >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(DEMO): requirements/embedded.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/embedded.txt
	@$(PIP) install --require-hashes -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(DEV): requirements/dev.txt $(DEMO)
	@echo "installing the tests' tools into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
