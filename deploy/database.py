"""The database on a PostgreSQL server: whether it can be reached, and that it exists."""

import psycopg2
import psycopg2.errors
import psycopg2.sql
from psycopg2.extensions import make_dsn, parse_dsn

_MAINTENANCE = "postgres"


def ensure(url: str) -> bool:
    """Make the database that ``url`` names, unless it is there. Says whether the server took the connection."""
    wanted = parse_dsn(url)["dbname"]
    try:
        connection = psycopg2.connect(make_dsn(url, dbname=_MAINTENANCE, connect_timeout=3))
    except psycopg2.OperationalError:
        return False
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [wanted])
            if cursor.fetchone() is None:
                cursor.execute(psycopg2.sql.SQL("CREATE DATABASE {}").format(psycopg2.sql.Identifier(wanted)))
    except psycopg2.errors.DuplicateDatabase:
        return True
    except psycopg2.OperationalError:
        return False
    finally:
        connection.close()
    return True
