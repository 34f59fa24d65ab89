"""`python -m bench.compare` (make compare): this tree against another commit, measured in turns on one machine."""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click

ROOT = Path(__file__).parents[1]
CPU_LIMIT_PERCENT = 3.0
"""Total CPU per recipient may grow by so much."""
RATE_LIMIT_PERCENT = 10.0
"""Recipients per second may fall by so much."""
FIRST_SUBMIT_LIMIT_MILLISECONDS = 5.0
"""Publish to first submit, idle, may grow by so much."""
LATENCY_RECIPIENTS = 10_000
"""The directory of the run that measures the first submit: every other part of that run is short then."""
RUN_SECONDS = 3600.0


class CompareError(click.ClickException):
    """The comparison could not be made; the message says which step failed."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Measurement:
    """One broadcast: recipients per second, and CPU in µs per recipient of each process.

    `first_submit` is the median of publish to first submit on an idle system, in ms.
    """

    rate: float
    cpu: Mapping[str, float]
    first_submit: float

    @property
    def total_cpu(self) -> float:
        """CPU of all processes in µs per recipient."""
        return sum(self.cpu.values())


Pair = tuple[Measurement, Measurement]
"""The other commit, and this tree right after it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The medians of the paired differences, in percent of the other commit; that of the first submit in ms."""

    rate_percent: float
    cpu_percent: float
    first_submit_milliseconds: float
    process_percent: Mapping[str, float]

    @property
    def acceptable(self) -> bool:
        """Whether all medians are within their limits."""
        return (
            self.cpu_percent <= CPU_LIMIT_PERCENT
            and self.rate_percent >= -RATE_LIMIT_PERCENT
            and self.first_submit_milliseconds <= FIRST_SUBMIT_LIMIT_MILLISECONDS
        )


def read_measurement(broadcast: Mapping[str, Any], idle: Mapping[str, Any]) -> Measurement:
    """The measurement in two results of `python -m bench`; raises `CompareError` if it is not there.

    `broadcast` is that of a whole broadcast, `idle` one with publishes on an idle system.
    """
    try:
        throughput = broadcast["throughput"]
        cpu = {str(name): float(value) for name, value in throughput["cpu_microseconds_per_recipient"].items()}
        first_submit = float(idle["publish_to_first_submit_milliseconds"]["p50"])
        return Measurement(float(throughput["recipients_per_second"]), cpu, first_submit)
    except KeyError as error:
        raise CompareError(f"the result of the benchmark has no {error}") from None


def change_percent(before: float, after: float) -> float:
    """How much `after` is above `before`, in percent; 0 if both are 0."""
    if before == 0:
        return 0.0 if after == 0 else float("inf")
    return (after - before) / before * 100


def compare(pairs: Sequence[Pair]) -> Comparison:
    """The medians of the differences within each pair. There must be at least one pair."""
    shared = [name for name in pairs[0][0].cpu if all(name in base.cpu and name in here.cpu for base, here in pairs)]
    return Comparison(
        statistics.median(change_percent(base.rate, here.rate) for base, here in pairs),
        statistics.median(change_percent(base.total_cpu, here.total_cpu) for base, here in pairs),
        statistics.median(here.first_submit - base.first_submit for base, here in pairs),
        {
            name: statistics.median(change_percent(base.cpu[name], here.cpu[name]) for base, here in pairs)
            for name in shared
        },
    )


def locked(tree: Path) -> frozenset[str]:
    """The distributions that a tree is locked to, each as `name==version`."""
    file = tree / "requirements" / "embedded.txt"
    return frozenset(re.findall(r"^[A-Za-z0-9._-]+==[^\s;\\]+", file.read_text(), re.MULTILINE))


@contextmanager
def checkout(commit: str, root: Path = ROOT) -> Iterator[Path]:
    """A temporary git worktree of a commit; it is removed at the end. Raises `CompareError`."""
    sha = _run(["git", "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}"], root).strip()
    directory = Path(tempfile.mkdtemp(prefix="tocsin-compare-"))
    tree = directory / "base"
    try:
        _run(["git", "worktree", "add", "--detach", "--quiet", str(tree), sha], root)
        yield tree
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        _run(["git", "worktree", "prune"], root)


def python_of(tree: Path, root: Path = ROOT) -> Path:
    """A Python with the distributions that a tree is locked to.

    It is this one if both trees are locked alike, else that of a new virtual environment beside the tree.
    """
    if locked(tree) == locked(root):
        return Path(sys.executable)
    _say("the locked distributions differ: installing those of the other commit (this takes minutes)")
    directory = tree.parent / "venv"
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    requirements = tree / "requirements" / "embedded.txt"
    _run([str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(requirements)], tree)
    return python


def measure(tree: Path, python: Path, recipients: int, publishes: int) -> Measurement:
    """Two runs of a tree's own `python -m bench`: a whole broadcast, and publishes on an idle system."""
    broadcast = _bench(tree, python, recipients, "--stages-only")
    return read_measurement(broadcast, _bench(tree, python, LATENCY_RECIPIENTS, "--publishes", str(publishes)))


def _bench(tree: Path, python: Path, recipients: int, *arguments: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tocsin-compare-") as results:
        given = ["--recipients", str(recipients), *arguments, "--json", "--results", results]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BROADCAST_")}
        _run([str(python), "-m", "bench", *given], tree, environment | {"PYTHONPATH": str(tree)})
        read: dict[str, Any] = json.loads((Path(results) / f"broadcast-{recipients}.json").read_text())
        return read


def _run(command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None) -> str:
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=RUN_SECONDS)
        except BaseException:
            # The benchmark stops its servers when it is told to end.
            process.terminate()
            process.communicate()
            raise
    if process.returncode:
        end = "\n".join((err or out).strip().splitlines()[-20:])
        raise CompareError(f"{' '.join(command)} in {directory} ended with {process.returncode}:\n{end}")
    return out


def _say(line: str) -> None:
    click.echo(line, err=True)


def lines_of(pairs: Sequence[Pair], result: Comparison) -> list[str]:
    """The report: every pair, the medians, and whether they are within the limits."""
    names = list(dict.fromkeys(name for pair in pairs for side in pair for name in side.cpu))
    head = f"{'pair':>4}  {'tree':<6} {'rate/s':>9} {'CPU µs':>8} {'first ms':>9} " + " ".join(
        f"{name[:9]:>9}" for name in names
    )
    lines = [
        "CPU in µs per recipient, publish to first submit in ms; a difference is in percent of the other commit, "
        "that of the first submit in ms",
        head,
    ]
    for number, pair in enumerate(pairs, 1):
        for tree, side in zip(("base", "here"), pair, strict=True):
            cpu = " ".join(f"{side.cpu[name]:9.2f}" if name in side.cpu else f"{'-':>9}" for name in names)
            lines.append(
                f"{number:>4}  {tree:<6} {side.rate:9,.0f} {side.total_cpu:8.2f} {side.first_submit:9.1f} {cpu}"
            )
        lines.append(_differences(f"{number:>4}  {'diff':<6}", compare([pair]), names))
    lines.append(_differences(f"{'':>4}  {'median':<6}", result, names))
    lines.append(
        f"rate {result.rate_percent:+.1f} % (limit -{RATE_LIMIT_PERCENT:.0f} %), "
        f"total CPU per recipient {result.cpu_percent:+.1f} % (limit +{CPU_LIMIT_PERCENT:.0f} %), "
        f"publish to first submit {result.first_submit_milliseconds:+.1f} ms "
        f"(limit +{FIRST_SUBMIT_LIMIT_MILLISECONDS:.0f} ms): "
        + ("within the limits" if result.acceptable else "OVER A LIMIT")
    )
    return lines


def _differences(start: str, result: Comparison, names: Sequence[str]) -> str:
    each = " ".join(
        f"{result.process_percent[name]:+8.1f}%" if name in result.process_percent else f"{'-':>9}" for name in names
    )
    first = f"{result.first_submit_milliseconds:+9.1f}"
    return f"{start} {result.rate_percent:+8.1f}% {result.cpu_percent:+7.1f}% {first} {each}"


def _as_json(base: str, recipients: int, pairs: Sequence[Pair], result: Comparison) -> str:
    def side(measured: Measurement) -> dict[str, Any]:
        return {
            "recipients_per_second": measured.rate,
            "cpu_microseconds_per_recipient": dict(measured.cpu),
            "total_cpu_microseconds_per_recipient": round(measured.total_cpu, 2),
            "publish_to_first_submit_milliseconds": measured.first_submit,
        }

    return json.dumps(
        {
            "base": base,
            "recipients": recipients,
            "pairs": [{"base": side(before), "here": side(after)} for before, after in pairs],
            "median_difference_percent": {
                "rate": round(result.rate_percent, 2),
                "total_cpu": round(result.cpu_percent, 2),
                "cpu": {name: round(value, 2) for name, value in result.process_percent.items()},
            },
            "median_difference_milliseconds": {"publish_to_first_submit": round(result.first_submit_milliseconds, 1)},
            "acceptable": result.acceptable,
        }
    )


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@click.command()
@click.option("--base", required=True, help="The commit to compare with.")
@click.option("--recipients", type=click.IntRange(1_000), default=200_000, show_default=True)
@click.option("--pairs", "count", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--publishes", type=click.IntRange(10), default=50, show_default=True, help="Idle, of each tree and pair."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(*, base: str, recipients: int, count: int, publishes: int, as_json: bool) -> None:
    """Measure commit BASE and this tree in turns; exit code 1 if the median difference is over a limit."""
    signal.signal(signal.SIGTERM, _end)  # so that the worktree is removed
    pairs: list[Pair] = []
    with checkout(base) as tree:
        sides = (("base", tree, python_of(tree)), ("here", ROOT, Path(sys.executable)))
        for number in range(1, count + 1):
            measured = []
            for name, directory, python in sides:
                _say(f"pair {number} of {count}: {name} …")
                one = measure(directory, python, recipients, publishes)
                measured.append(one)
                _say(
                    f"  {one.rate:,.0f} recipients/s, {one.total_cpu:.2f} µs CPU per recipient, "
                    f"publish to first submit {one.first_submit:.1f} ms"
                )
            pairs.append((measured[0], measured[1]))
    result = compare(pairs)
    if as_json:
        click.echo(_as_json(base, recipients, pairs, result))
    else:
        for line in lines_of(pairs, result):
            click.echo(line)
    sys.exit(0 if result.acceptable else 1)


if __name__ == "__main__":
    main()
