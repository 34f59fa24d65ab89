"""`python -m tests.fuzz`: a million mutated frames, with a line of progress and figures at the end (`make fuzz`)."""

import argparse
import asyncio
import sys

from tests.fuzz.frames import GROWTH_LIMIT_BYTES, Findings, run


def main() -> int:
    """Run it; 1 when an exception escaped, memory grew, or the time ended first."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="end after so long")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same frames")
    arguments = parser.parse_args()
    found = asyncio.run(run(seed=arguments.seed, frames=arguments.frames, seconds=arguments.seconds, progress=_report))
    _report(found)
    for kind, count in sorted(found.kinds.items()):
        print(f"  {count:>10,} {kind}")
    print(f"  {found.growth_bytes / (1 << 20):>10.1f} MiB growth of memory after the first tenth")
    for error, chunk in found.escaped:
        print(f"escaped: {error}\n  seed {arguments.seed}, octets: {chunk}", file=sys.stderr)
    if found.frames < arguments.frames and not found.escaped:
        print(f"{arguments.seconds:g} s were over first; give --seconds more", file=sys.stderr)
    return int(bool(found.escaped) or found.growth_bytes > GROWTH_LIMIT_BYTES or found.frames < arguments.frames)


def _report(found: Findings) -> None:
    rate = found.frames / found.seconds if found.seconds else 0.0
    print(
        f"{found.frames:,} frames, {found.octets / 1e6:.0f} MB, {found.seconds:.0f} s, {rate:,.0f} frames/s", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
