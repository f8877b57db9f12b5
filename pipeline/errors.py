"""What can go wrong in the pipe."""

import inspect


class PipelineError(Exception):
    """Something in the pipe failed."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or inspect.getdoc(type(self)))


class JournalUnavailable(PipelineError):
    """Redis did not confirm the write. Nothing was acknowledged."""


class JournalFull(PipelineError):
    """Redis is near its memory bound. Nothing was taken."""


class JournalBusy(PipelineError):
    """Too much waits for the journal already. Nothing was taken."""


class LaneCrowded(PipelineError):
    """More waits to be judged than is judged in a few seconds. Nothing was taken."""


class QueueUnavailable(PipelineError):
    """The queue did not take the doorbell. The journal still has the chunk, and the sweep will find it."""


class StorageUnavailable(PipelineError):
    """PostgreSQL is away, full or shutting down. What waits for it stays in the journal."""


class LockedByAnother(StorageUnavailable):
    """Somebody else holds the lock for too long. What waits for it stays in the journal."""


class EnqueuedTooEarly(PipelineError):
    """A doorbell was rung inside a transaction that may still roll back."""
