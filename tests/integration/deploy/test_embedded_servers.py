"""The embedded servers: they start, keep their data, and need no special place or user."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from deploy import embedded_postgres, identity
from deploy.errors import WrongVersion
from tests import servers


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """Give a folder with a long name with blanks, below one that is closed to everybody else."""
    with servers.temporary_folder() as outer:
        outer.chmod(0o700)
        folder = outer / "a home with 'quotes' and blanks" / ("long " * 25).strip()
        folder.mkdir(parents=True)
        yield folder


def _rows(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.mark.parametrize("who", identity.candidates())
def test_postgres_keeps_committed_rows_across_a_kill_under_every_identity(
    closed_folder: Path, who: identity.Identity
) -> None:
    """A row committed before kill -9 is there after the restart, whoever the server runs as."""
    mode = closed_folder.parent.stat().st_mode
    with servers.running(servers.postgres_server(closed_folder, who=who)) as server:
        _rows(server.url, "CREATE TABLE kept AS SELECT 1 AS n")

        server.kill()
        server.restart()

        assert _rows(server.url, "SELECT n FROM kept") == [(1,)]
        assert _rows(server.url, "SHOW data_checksums") == [("on",)]
    assert closed_folder.parent.stat().st_mode == mode


def test_postgres_data_passes_from_one_identity_to_the_other(closed_folder: Path) -> None:
    """A data folder made under one identity is served under each of the others."""
    first = servers.postgres_server(closed_folder, who=identity.candidates()[0])
    with servers.running(first):
        _rows(first.url, "CREATE TABLE kept AS SELECT 1 AS n")
    password = first.url.split(":")[2].split("@")[0]
    for who in (*reversed(identity.candidates()), identity.candidates()[0]):
        binaries, data = embedded_postgres.find(), closed_folder / "postgres"
        embedded_postgres.prepare(binaries, data, password, who=who)
        port = int(first.url.rsplit(":", 1)[1].split("/")[0])
        first.spec = embedded_postgres.spec(binaries, data, port, who)
        with servers.running(first):
            assert _rows(first.url, "SELECT n FROM kept") == [(1,)]


def test_postgres_refuses_a_stranger(postgres_server: servers.Server) -> None:
    """Without the password nobody is let in, from this machine either."""
    wrong = postgres_server.url.replace(postgres_server.url.split(":")[2].split("@")[0], "wrong")
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(wrong)


def test_a_data_folder_of_another_version_is_not_touched(tmp_path: Path) -> None:
    """A folder of PostgreSQL 12 is refused with both versions named."""
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("12\n")

    with pytest.raises(WrongVersion, match=r"PostgreSQL 12.*version \d\d"):
        embedded_postgres.prepare(embedded_postgres.find(), data, "secret")


def test_valkey_keeps_acknowledged_writes_across_a_kill(closed_folder: Path) -> None:
    """A write that was answered before kill -9 is there after the restart."""
    with servers.running(servers.redis_server(closed_folder)) as server:
        client = redis.Redis.from_url(server.url)
        client.rpush("kept", *range(100))

        server.kill()
        server.restart()

        assert client.llen("kept") == 100
        client.close()


def test_valkey_is_as_durable_as_a_202_promises(redis_client: redis.Redis) -> None:
    """Every write is on disk before its answer, and nothing is ever evicted."""
    settings = redis_client.config_get("append*", "maxmemory-policy", "save")

    assert {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}.items() <= (
        settings.items()
    )


def test_valkey_keeps_its_password_to_its_owner(closed_folder: Path) -> None:
    """The configuration, which holds the password, is readable by its owner alone, and no argument shows it."""
    server = servers.redis_server(closed_folder)
    password = server.url.split(":")[2].split("@")[0]

    assert (closed_folder / "valkey" / "valkey.conf").stat().st_mode & 0o077 == 0
    assert not [part for part in server.spec.argv if password in part]
    with servers.running(server), pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(server.url.replace(password, "wrong")).ping()


def test_the_servers_leave_no_process_behind(closed_folder: Path) -> None:
    """After a stop no process has its working folder in the server's."""
    with servers.running(servers.postgres_server(closed_folder)), servers.running(servers.redis_server(closed_folder)):
        assert _processes_in(closed_folder)

    assert _processes_in(closed_folder) == []


def _processes_in(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = (process / "cwd").readlink()
        except OSError:
            continue
        if place.is_relative_to(folder) and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found
