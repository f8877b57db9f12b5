"""``rejected.json`` of an upload: every refused record as it was sent, byte by byte."""

from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine
from starlette.testclient import TestClient

from pipeline.journal import UPLOAD, Journal
from pipeline.settings import PipeSettings
from tests.integration.ingest_api.events import raw, upload
from workers import split
from workers.split import SplitBench


@pytest.fixture
def splitting(engine: Engine, redis_client: redis.Redis, spool: Path) -> SplitBench:
    """Give what the splitter works with, on the door's own spool."""
    pipe = PipeSettings()
    return SplitBench(
        journal=Journal(redis_client), engine=engine, spool=spool, limits=pipe.record_limits,
        bulk_bytes=pipe.bulk_bytes, splitter="splitter-test", ring=lambda _entries, _stamp: None, acknowledged={},
    )  # fmt: skip


def test_broken_utf_8_comes_back_byte_by_byte(door: TestClient, splitting: SplitBench) -> None:
    """
    The file holds what was sent, so that nothing is lost; the list shows it as text that can be read.
    """
    broken = raw(user="caf?").replace(b"caf?", b"caf\xe9")
    answered = upload(door, b"[" + raw() + b"," + broken + b"]").json()
    split.run(f"{UPLOAD}{answered['upload_id']}", splitting)

    assert door.get(f"{answered['status_url']}/rejected.json").content == b"[\n" + broken + b"\n]\n"
    (found,) = door.get(f"{answered['status_url']}/rejections").json()
    assert (found["code"], found["record"]) == ("invalid_utf8", broken.decode(errors="replace"))
