"""The engine and the one place that commits."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import psycopg2
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.errors import LockedByAnother, StorageUnavailable

# An outage is nobody's fault: lost connections, serialisation and deadlock victims, resources and disk exhausted,
# an operator's intervention, a lock that was not to be had in time.
_OUTAGE_CLASSES = ("08", "40", "53", "57", "58")
_READ_ONLY = "25006"  # a standby after a failover, or a managed server whose disk is full
_LOCK_NOT_HAD = "55P03"
_OPTIONS = "-c timezone=UTC -c statement_timeout=30s -c lock_timeout=2s -c idle_in_transaction_session_timeout=30s"
_open: ContextVar[bool] = ContextVar("transaction_open", default=False)


def make_engine(url: str, *, pool_size: int = 2, application: str = "sentinel") -> Engine:
    """Make an engine for ``url``; nothing is connected until it is used.

    Args:
        url: ``postgresql://…``, as libpq writes it.
        pool_size: connections kept open; as many again may be opened for a while.
        application: the name PostgreSQL shows for its connections.
    """
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://", 1).replace("postgres://", "postgresql+psycopg2://", 1),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,  # they are what events say, and errors are logged
        connect_args={
            "application_name": application,
            "connect_timeout": 3,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": _OPTIONS,
        },
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run a block as one transaction: committed at its end, rolled back when it raises.

    Raises:
        StorageUnavailable: PostgreSQL is away, full, or shutting down; the block did not certainly commit.
    """
    token = _open.set(True)
    try:
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, PoolTimeout, psycopg2.Error) as error:
        if is_outage(error):
            kind = LockedByAnother if _code(error) == _LOCK_NOT_HAD else StorageUnavailable
            raise kind(_said(error)) from error
        raise
    finally:
        _open.reset(token)


def freeze(connection: Connection) -> None:
    """Let a transaction that has just begun see everything as of one moment, whatever others commit meanwhile."""
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


@contextmanager
def rehearsal(connection: Connection) -> Iterator[None]:
    """Run a block for real inside a transaction, with every constraint and partition, and leave nothing of it."""
    with connection.begin_nested() as step:
        yield
        step.rollback()


def in_transaction() -> bool:
    """Say whether this thread or task is inside a ``transaction()`` block."""
    return _open.get()


def is_outage(error: Exception) -> bool:
    """Say whether an error tells of PostgreSQL's state, and nothing of the statement that met it."""
    if isinstance(error, PoolTimeout):
        return True
    code = _code(error)
    if code is None:  # libpq reports a lost or refused connection without a code
        return isinstance(_cause(error), psycopg2.OperationalError | psycopg2.InterfaceError)
    return code[:2] in _OUTAGE_CLASSES or code in (_LOCK_NOT_HAD, _READ_ONLY)


def _said(error: Exception) -> str:
    """Return what the server said, without the lines that quote a row: they are what events say."""
    diagnostics = getattr(_cause(error), "diag", None)
    primary = getattr(diagnostics, "message_primary", None) or str(_cause(error)).partition("\n")[0]
    return f"{primary} ({_code(error) or 'no connection'})"


def _cause(error: Exception) -> object:
    return error.orig if isinstance(error, DBAPIError) else error


def _code(error: Exception) -> str | None:
    found: str | None = getattr(_cause(error), "pgcode", None)
    return found
