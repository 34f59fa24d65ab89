"""The one protocol between a sender and its parts: what a part may ask of the sender and tell it."""

from typing import Protocol

from aiokafka.structs import ConsumerRecord


class SenderEvents(Protocol):
    """The sender as its parts see it: by this alone they ask it and tell it anything.

    Who calls what, always on the event loop:

    - `AccountBinds`: `write_ready` when a session has room, `raise_alarm` when one message is refused, when an SMSC
      takes what it refuses or delivers what costs much, `end_process` when answers cannot be settled.
    - `JobReader`: `write_ready` when it has read jobs.
    - `ControlReader`: `write_ready` when control has changed, `put_aside` for a record that it cannot read,
      `raise_alarm` when Kafka has lost control records, or one has no room.
    - `RouteAccounts`: `write_ready` when an account begins a probe, is stopped, or has changed.
    - `Dispatch`: `may_write` before it submits, `beat_now` when a beat makes room for more.
    - `JobChooser`, `DelayedJobs`: `beat_now` when only a beat makes room for the next job.
    - `JobAssessor`: `beat_now` when a beat has all the outcomes that it bears, `raise_alarm` when jobs fail.
    - `Takeover`: `raise_alarm` when Kafka has no longer the jobs of a position.
    - `Beats`: `beat_committed` after each commit, `end_process` when a beat fails.
    - `Membership`: `release_partitions` before the group takes partitions away, `end_process` when that fails.
    """

    def may_write(self) -> bool:
        """Whether submits may be written: the lease is held, no beat is slow, control is fresh, the clock is right."""

    def write_ready(self) -> None:
        """Write what may be written: jobs, room, control or what is in doubt has changed."""

    def beat_now(self) -> None:
        """Begin the next beat at once: jobs wait for the horizon or for room in what is in doubt."""

    def beat_committed(self) -> None:
        """A beat is committed: less is in doubt, and the horizon is further."""

    def raise_alarm(self, kind: str, subject: str, detail: str) -> None:
        """Tell people of something about an alert or a partition, the subject, without waiting."""

    def put_aside(self, record: "ConsumerRecord[bytes, bytes]", error: str) -> None:
        """Make a dead letter of a record, with the reason for people."""

    async def release_partitions(self) -> None:
        """Settle all jobs that were submitted and give the partitions up in a last beat."""

    def end_process(self, code: int, reason: str) -> None:
        """End the process at once with an exit code; nothing is written or committed after it."""
