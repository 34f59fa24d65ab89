"""A sender's events for tests of its parts: remembered, and nothing else."""

from aiokafka.structs import ConsumerRecord

from broadcast.sending.protocol import SenderEvents


class RecordedEvents(SenderEvents):
    """Remembers what parts tell the sender; submits may be written always."""

    def __init__(self) -> None:
        self.process_ends: list[tuple[int, str]] = []
        self.alarms: list[tuple[str, str, str]] = []
        self.poison: list[tuple[int, str]] = []
        self.beats_wanted = 0

    def may_write(self) -> bool:
        return True

    def write_ready(self) -> None:
        pass

    def beat_now(self) -> None:
        self.beats_wanted += 1

    def beat_committed(self) -> None:
        pass

    def raise_alarm(self, kind: str, subject: str, detail: str) -> None:
        self.alarms.append((kind, subject, detail))

    def put_aside(self, record: "ConsumerRecord[bytes, bytes]", error: str) -> None:
        self.poison.append((record.offset, error))

    async def release_partitions(self) -> None:
        pass

    def end_process(self, code: int, reason: str) -> None:
        self.process_ends.append((code, reason))
