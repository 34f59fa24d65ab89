"""Rate and memory over the time of one broadcast, as an SVG: `python -m bench.plot RESULT.json OUT.svg`."""

import json
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
from matplotlib import pyplot as plt

STAGES = ("planner", "expander", "sender", "recorder", "api")
REACHED = ("state_submitted", "state_delivered", "state_undelivered")


@click.command()
@click.argument("result", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
def main(result: Path, out: Path) -> None:
    """Draw the samples of RESULT to OUT."""
    draw(json.loads(result.read_text()), out)


def draw(measured: dict[str, Any], out: Path) -> None:
    """Two plots, one above the other: recipients submitted and delivered; resident memory by process."""
    mpl.rcParams["svg.hashsalt"] = "tocsin"  # the same figures give the same file
    broadcast = measured["throughput"]
    samples = broadcast["samples"]
    times = [sample["at_seconds"] for sample in samples]
    figure, (rate, memory) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    submitted = [sum(sample.get(name, 0) for name in REACHED) for sample in samples]
    rate.plot(times, submitted, label="submitted")
    rate.plot(times, [sample.get("state_delivered", 0) for sample in samples], label="delivered")
    rate.set_ylabel("recipients")
    rate.set_title(f"{broadcast['recipients']:,} recipients, {broadcast['recipients_per_second']:,} a second")
    for stage in STAGES:
        memory.plot(times, [sample.get(f"{stage}_bytes", 0) / 2**20 for sample in samples], label=stage)
    memory.set_ylabel("resident MB")
    memory.set_xlabel("seconds since the publish")
    for axes in (rate, memory):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
