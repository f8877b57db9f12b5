"""Servers that the settings name: started by somebody else, so looked at before they are relied on."""

import psycopg2
import redis
from psycopg2.extensions import parse_dsn
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.errors import WrongVersion

_POSTGRES_OLDEST = 14
_REDIS_OLDEST = (6, 2)
_REDIS_WANTED = (7, 0)


class NotAnswering(Exception):
    """A server does not answer now, or not as it should. It says where, and why."""


def describe_redis(url: str) -> str:
    """Return one line about the Redis at ``url``.

    Raises:
        NotAnswering: it is away, still loading its data, or refuses the password.
        WrongVersion: it is too old.
    """
    client = redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
    kwargs = client.connection_pool.connection_kwargs
    place = f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    try:
        found = client.info("server")
    except (redis.RedisError, OSError) as error:
        message = f"Redis at {place} does not answer (SENTINEL_REDIS_URL; {_first_line(error)})"
        raise NotAnswering(message) from error
    finally:
        client.close()
    version = str(found["redis_version"])
    name = f"Valkey {found['valkey_version']}" if "valkey_version" in found else f"Redis {version}"
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < _REDIS_OLDEST:
        message = f"SENTINEL_REDIS_URL names {name}; 6.2 or newer is needed, 7 or newer recommended."
        raise WrongVersion(message)
    warning = "" if number >= _REDIS_WANTED else " (warning: 7 or newer is recommended)"
    return f"Using {name} at {place} (SENTINEL_REDIS_URL){warning}"


def describe_postgres(url: str) -> str:
    """Return one line about the PostgreSQL at ``url``.

    Raises:
        NotAnswering: it is away, still starting, or refuses the password or the database.
        WrongVersion: it is too old.
    """
    parts = parse_dsn(url)
    place = f"{parts.get('host', 'a socket')}/{parts.get('dbname', '')}"
    try:
        connection = psycopg2.connect(url, connect_timeout=3)
    except psycopg2.OperationalError as error:
        message = f"PostgreSQL at {place} does not answer (SENTINEL_DATABASE_URL; {_first_line(error)})"
        raise NotAnswering(message) from error
    major, minor = divmod(connection.server_version, 10_000)
    connection.close()
    if major < _POSTGRES_OLDEST:
        message = f"SENTINEL_DATABASE_URL names PostgreSQL {major}; {_POSTGRES_OLDEST} or newer is needed."
        raise WrongVersion(message)
    return f"Using PostgreSQL {major}.{minor} at {place} (SENTINEL_DATABASE_URL)"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
