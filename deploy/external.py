"""Servers that the settings name: started by somebody else, so looked at before they are relied on."""

import psycopg2
import redis
from psycopg2.extensions import parse_dsn

from deploy.errors import WrongVersion

_POSTGRES_OLDEST = 14
_REDIS_OLDEST = (6, 2)
_REDIS_WANTED = (7, 0)


def describe_redis(url: str) -> str | None:
    """Return one line about the Redis at ``url``, None while it does not answer.

    Raises:
        WrongVersion: it is too old.
    """
    client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
    try:
        found = client.info("server")
    except (redis.ConnectionError, redis.TimeoutError):
        return None
    finally:
        client.close()
    version = str(found["redis_version"])
    name = f"Valkey {found['valkey_version']}" if "valkey_version" in found else f"Redis {version}"
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < _REDIS_OLDEST:
        message = f"SENTINEL_REDIS_URL names {name}; 6.2 or newer is needed, 7 or newer recommended."
        raise WrongVersion(message)
    warning = "" if number >= _REDIS_WANTED else " (warning: 7 or newer is recommended)"
    kwargs = client.connection_pool.connection_kwargs
    return f"Using {name} at {kwargs.get('host', 'a socket')}:{kwargs.get('port', '')} (SENTINEL_REDIS_URL){warning}"


def describe_postgres(url: str) -> str | None:
    """Return one line about the PostgreSQL at ``url``, None while it does not answer.

    Raises:
        WrongVersion: it is too old.
    """
    try:
        connection = psycopg2.connect(url, connect_timeout=3)
    except psycopg2.OperationalError:
        return None
    major, minor = divmod(connection.server_version, 10_000)
    connection.close()
    if major < _POSTGRES_OLDEST:
        message = f"SENTINEL_DATABASE_URL names PostgreSQL {major}; {_POSTGRES_OLDEST} or newer is needed."
        raise WrongVersion(message)
    parts = parse_dsn(url)
    place = f"{parts.get('host', 'a socket')}/{parts.get('dbname', '')}"
    return f"Using PostgreSQL {major}.{minor} at {place} (SENTINEL_DATABASE_URL)"
