"""Running the alert worker's line in a test."""

from sqlalchemy import Engine

from alerting import notify
from alerting.deliver import Courier


def run(engine: Engine, courier: Courier) -> notify.SliceEnd:
    """Run one slice of the line."""
    return notify.run(engine, courier)
