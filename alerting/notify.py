"""The alert worker's line: claim what is due, tell it, write down what became of it."""

import time
from collections.abc import Callable
from enum import StrEnum

from sqlalchemy import Engine

from alerting.deliver import Courier
from pipeline.storage import alerts, transaction

SLICE_SECONDS = 2.0
BATCH = 200
LEASE_SECONDS = 15.0
LONGEST_ATTEMPT = 12.0
"""An attempt that is begun later than this before the lease's end might outlive it."""


class SliceEnd(StrEnum):
    """Why a slice of work ended."""

    NOTHING_DUE = "nothing_due"
    TIME_UP = "time_up"


def run(
    engine: Engine, courier: Courier, *, batch: int = BATCH, clock: Callable[[], float] = time.monotonic
) -> SliceEnd:
    """Tell due alerts for about two seconds, a batch at a time.

    What slow receivers have not been told of a batch within as long is given back, for a more urgent alert may have
    come meanwhile.

    A kill after the claim lets the lease run out, and the alert is told then, under the same id; so does one between
    telling and writing down. What was written down is not told again.

    Raises:
        StorageUnavailable: PostgreSQL is away; what was claimed comes back when its lease ends.
    """
    ends = clock() + SLICE_SECONDS
    while True:
        give_up_at = clock() + LEASE_SECONDS - LONGEST_ATTEMPT
        with transaction(engine) as connection:
            due = alerts.claim(connection, limit=batch, lease_seconds=LEASE_SECONDS)
        for settled in courier.tell(due, give_up_at=min(give_up_at, clock() + SLICE_SECONDS)):
            with transaction(engine) as connection:
                alerts.note(connection, settled.notes)
                alerts.delivered(connection, settled.delivered)
                alerts.postpone(connection, settled.postponed)
        if clock() >= ends:
            return SliceEnd.TIME_UP
        if len(due) < batch:  # for what has come since, somebody has rung since
            return SliceEnd.NOTHING_DUE
