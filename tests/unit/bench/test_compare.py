"""The comparison of two trees: medians of paired differences, limits, and a worktree that is removed again."""

import subprocess
from pathlib import Path

import pytest

from bench.compare import CompareError, Measurement, checkout, compare, lines_of, locked, read_measurement

BASE = Measurement(20_000, {"sender": 10.0, "recorder": 10.0}, 70.0)


def here(rate: float, sender: float, first_submit: float = 70.0) -> Measurement:
    return Measurement(rate, {"sender": sender, "recorder": 10.0}, first_submit)


def git(repository: Path, *arguments: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", *who, *arguments], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_median_of_the_pairs_decides_and_not_the_worst_pair() -> None:
    result = compare([(BASE, here(20_000, 10.2, 73)), (BASE, here(10_000, 30.0, 99)), (BASE, here(21_000, 10.0, 60))])
    assert result.first_submit_milliseconds == pytest.approx(3.0)
    assert result.cpu_percent == pytest.approx(1.0)
    assert result.rate_percent == pytest.approx(0.0)
    assert result.process_percent == pytest.approx({"sender": 2.0, "recorder": 0.0})
    assert result.acceptable


@pytest.mark.parametrize(
    ("measured", "acceptable"),
    [
        (here(20_000, 10.5), True),
        (here(20_000, 10.7), False),
        (here(18_000, 10.0), True),
        (here(17_900, 10.0), False),
        (here(20_000, 10.0, 75.0), True),
        (here(20_000, 10.0, 75.1), False),
    ],
)
def test_limits_are_three_percent_of_cpu_ten_of_rate_and_five_ms_to_the_first_submit(
    measured: Measurement, acceptable: bool
) -> None:
    pairs = [(BASE, measured)]
    result = compare(pairs)
    assert result.acceptable is acceptable
    assert ("OVER A LIMIT" in lines_of(pairs, result)[-1]) is not acceptable


def test_every_pair_is_in_the_report_also_with_a_process_that_one_tree_lacks() -> None:
    other = Measurement(19_000, {"sender": 11.0, "recorder": 9.0, "new": 1.0}, 61.5)
    pairs = [(BASE, other), (BASE, BASE)]
    lines = lines_of(pairs, compare(pairs))
    assert sum("base" in line for line in lines) == sum("here" in line for line in lines) == 2
    assert any("19,000" in line and "21.00" in line and "61.5" in line for line in lines)


def test_a_result_of_the_benchmark_is_read_and_a_wrong_one_refused() -> None:
    throughput = {"recipients_per_second": 5, "cpu_microseconds_per_recipient": {"api": 1}}
    idle = {"publish_to_first_submit_milliseconds": {"p50": 64.0}}
    assert read_measurement({"throughput": throughput}, idle) == Measurement(5.0, {"api": 1.0}, 64.0)
    with pytest.raises(CompareError, match="throughput"):
        read_measurement({}, idle)
    with pytest.raises(CompareError, match="publish_to_first_submit"):
        read_measurement({"throughput": throughput}, {})


def test_trees_are_locked_alike_if_only_comments_differ(tmp_path: Path) -> None:
    for name, comment in (("one", "# via aiokafka"), ("two", "# via tocsin")):
        (tmp_path / name / "requirements").mkdir(parents=True)
        (tmp_path / name / "requirements" / "embedded.txt").write_text(f"a==1.0 \\\n    --hash=x\n    {comment}\n")
    assert locked(tmp_path / "one") == locked(tmp_path / "two") == {"a==1.0"}


def test_a_worktree_of_the_commit_is_made_and_removed_even_after_an_error(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("old")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "-m", "old")
    (tmp_path / "file").write_text("new")

    def fail() -> None:
        with checkout("HEAD", tmp_path) as tree:
            trees.append(tree)
            assert (tree / "file").read_text() == "old"
            raise RuntimeError("stopped")

    trees: list[Path] = []
    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert not trees[0].parent.exists()
    assert git(tmp_path, "worktree", "list").count("\n") == 0
    with pytest.raises(CompareError, match="nothing"), checkout("nothing", tmp_path):
        pass
