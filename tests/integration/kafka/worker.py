"""A stage for the test of kills: each event becomes `OUTPUTS` records; every fifth is aborted once before."""

import asyncio
import os
import sys

from broadcast.errors import FENCED_EXIT_CODE, FencedError, LostTailError
from broadcast.health import Health
from broadcast.kafka.batches import Record
from broadcast.kafka.events import Event, Source
from broadcast.settings import Settings
from streams.app import Stage

OUTPUTS = 20
LOST_TAIL_EXIT_CODE = 3


async def main(bootstrap: str, prefix: str, slot: str) -> None:
    """Work until killed."""
    settings = Settings(kafka_bootstrap=bootstrap, topic_prefix=prefix, slot=slot)
    stage = Stage(settings, "trial", Health("trial"))
    aborted: set[tuple[int, int]] = set()

    async def handle(event: Event, source: Source) -> None:
        outputs = [Record(f"{prefix}out", event.key or b"", b"%b/%d" % (event.value or b"", n)) for n in range(OUTPUTS)]
        mark = (event.partition, event.offset)
        if event.offset % 5 == 0 and mark not in aborted:
            aborted.add(mark)
            try:
                async with source.transaction(event.offset) as sending:
                    for output in outputs[:-1]:
                        sending.add(await source.producer.send(output.topic, output.value, key=output.key))
                    await sending.confirm()
                    raise InterruptedError
            except InterruptedError:
                pass
        await source.commit(event.offset, outputs)

    stage.add_agent(f"{prefix}in", handle)
    try:
        await stage.run(asyncio.Event())
    except LostTailError as error:
        # As `python -m streams` does: a stage that raised may hold an event for ever.
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(LOST_TAIL_EXIT_CODE)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except FencedError:
        os._exit(FENCED_EXIT_CODE)
