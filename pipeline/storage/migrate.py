"""Schema migrations, run under an advisory lock so that any number of processes may start at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from pipeline.storage._engine import transaction

_LOCK = 0x53454E54


def upgrade(engine: Engine, *, to: str = "head") -> None:
    """Bring the schema to the newest version, or to an older one. Doing so again changes nothing.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        command.upgrade(_config(connection), to)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    config.attributes["connection"] = connection
    return config
