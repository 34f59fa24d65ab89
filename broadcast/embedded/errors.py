"""What can go wrong with the embedded system, each with the next step for the person who sees it."""

from broadcast.errors import BroadcastError


class EmbeddedError(BroadcastError):
    """The embedded system cannot do what was asked."""


class JarError(EmbeddedError):
    """A jar of Apache Kafka cannot be had, or is not the one that was locked."""


class DirectoryInUseError(EmbeddedError):
    """Another process holds the data directory."""


class DirectoryPathError(EmbeddedError):
    """The data directory cannot be used: its path, or its permissions."""


class PortTakenError(EmbeddedError):
    """A port that was asked for is in use."""


class StartError(EmbeddedError):
    """A process ended, or was not ready within its budget."""


def first_error(group: BaseExceptionGroup[BaseException], kind: type[EmbeddedError]) -> BaseException:
    """The first error of that kind in a group, or the group itself when something else is in it."""
    fitting, rest = group.split(kind)
    if fitting is None or rest is not None:
        return group
    error: BaseException = fitting
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
