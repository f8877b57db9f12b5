"""Makes the servers ready: waits for them, looks at their versions, updates the schema; and tries the site's rules.

``sentinel up`` runs it as a process of its own, before the others. What it prints, the launcher shows. Its arguments
name the servers, ``redis`` and ``database``, that the launcher did not start itself.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine

from deploy import database, settings_check
from deploy.errors import DeployError, OpenToTheNetwork, ServerAway, ServerUnusable
from deploy.settings import LauncherSettings
from pipeline.errors import StorageUnavailable
from pipeline.settings import PipeSettings
from pipeline.storage import keys, make_engine, migrate, partitions, transaction

REDIS = "redis"
DATABASE = "database"
_PATIENCE = 60.0
_TELL_SECONDS = 10.0
_TRY_AGAIN_SECONDS = 0.1
_OPEN = (
    "SENTINEL_HOST={host} can be reached by others, and no API key is in use, so anybody could post events and read "
    "prompts. Start once with SENTINEL_HOST=127.0.0.1 and run `sentinel keys create NAME`, then start again; or set "
    "SENTINEL_TRUST_NETWORK=1 if the network itself keeps strangers out."
)


def main() -> None:
    """Prepare, and exit with a status that says whether it worked."""
    try:
        prepare(frozenset(sys.argv[1:]))
        for warning in settings_check.rule_warnings(PipeSettings()):
            _say(warning)
    except DeployError as error:
        _say(str(error))
        sys.exit(error.exit_code)


def prepare(external: frozenset[str], *, patience: float = _PATIENCE) -> None:
    """Wait for both servers, those of others for as long as ``patience``, and make them ready.

    Raises:
        DeployError: a server does not answer or is too old, or the API could be reached by others and no key exists.
    """
    settings, launcher = PipeSettings(), LauncherSettings()
    url = settings.database_url.get_secret_value()
    if external:
        _look_at(external, settings.redis_url.get_secret_value(), url, patience)
    if DATABASE not in external:
        _wait_for_our_own(url)
    engine = make_engine(url)
    upgrade(engine)
    if not launcher.may_be_open:
        _refuse_without_keys(engine, launcher.host)


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest version, with partitions for the days to come.

    Raises:
        ServerUnusable: the server went away meanwhile.
    """
    try:
        migrate.upgrade(engine)
        with transaction(engine) as connection:
            partitions.ensure(connection, today=datetime.now(UTC))
    except StorageUnavailable as error:
        message = f"PostgreSQL could not be brought up to date: {error}"
        raise ServerUnusable(message) from error


def _refuse_without_keys(engine: Engine, host: str) -> None:
    with transaction(engine) as connection:
        if not keys.any_active(connection):
            raise OpenToTheNetwork(_OPEN.format(host=host))


def _look_at(external: frozenset[str], redis_url: str, database_url: str, patience: float) -> None:
    from deploy import external as servers  # noqa: PLC0415 - the Redis client is slow to load, and seldom needed here

    waiting: dict[str, Callable[[], str]] = {}
    if REDIS in external:
        waiting[REDIS] = lambda: servers.describe_redis(redis_url)
    if DATABASE in external:
        waiting[DATABASE] = lambda: servers.describe_postgres(database_url)
    away: dict[str, str] = {}
    until = time.monotonic() + patience
    while waiting:
        for server, describe in tuple(waiting.items()):
            try:
                _say(describe())
                del waiting[server]
            except servers.NotAnswering as error:
                if away.get(server) != str(error):
                    _say(f"{error}; waiting")
                away[server] = str(error)
        if waiting and time.monotonic() > until:
            said = "\n".join(f"{away[server]}; given up after {patience:.0f} s" for server in waiting)
            message = f"{said}. Start what is missing, or correct the setting."
            raise ServerAway(message)
        time.sleep(_TRY_AGAIN_SECONDS if waiting else 0)


def _wait_for_our_own(url: str) -> None:
    # After a crash the server first replays its log, however long that takes; the launcher sees whether it lives.
    told = time.monotonic()
    while not database.ensure(url):
        time.sleep(_TRY_AGAIN_SECONDS)
        if time.monotonic() > told + _TELL_SECONDS:
            told = time.monotonic()
            _say("Still waiting for PostgreSQL to come up.")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
