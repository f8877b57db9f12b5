"""A time limit for a worker without pool processes, where nobody else ends a task that hangs."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_stack

import structlog


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """End this process, with status 1, should the block take longer: whoever keeps it running starts it anew.

    Nothing gentler gets a thread out of a call that waits for a server which keeps its connection open and is silent.
    """
    timer = threading.Timer(seconds, _end, [threading.get_ident(), seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(thread: int, seconds: float) -> None:
    try:
        frame = sys._current_frames()[thread]  # noqa: SLF001 - there is no other way to ask
        where = [f"{each.filename}:{each.lineno}" for each in extract_stack(frame)[-3:]]
        structlog.get_logger().error("task_hangs", seconds=seconds, where=where)
    finally:
        os._exit(1)
