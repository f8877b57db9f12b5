"""What `sentinel send` takes for one document, and which answers it takes for answers to records."""

import os
from collections.abc import Iterator

import httpx2
import pytest

from deploy import client, sending


def test_a_document_that_pauses_is_not_torn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A whole object on a line of its own may belong to one that goes on after the pause.
    """
    parts = [b'{"a": "x", "metadata":\n', b'{"k": 1}\n', None, b"}\n"]
    monkeypatch.setattr(sending, "_lines", lambda _: iter(parts))

    assert [event.text for event in _events() if event] == [b'{"a": "x", "metadata":\n{"k": 1}\n}']


def test_lines_behind_a_broken_one_go_at_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is broken already becomes no document, whatever follows.
    """
    monkeypatch.setattr(sending, "_lines", lambda _: iter([b'r": 1}\n', b'{"k": 1}\n', None]))

    assert [event.text for event in _events() if event] == [None, b'{"k": 1}']


@pytest.mark.parametrize(
    ("status", "errors", "found"),
    [
        (422, [{"index": 0, "code": "missing"}], 1),
        (413, [{"index": 3}], 1),
        (502, [{"index": 0}], 0),
        (422, ["bad gateway"], 0),
        (400, [{"message": "no"}], 0),
        (422, None, 0),
    ],
)
def test_only_an_installation_answers_to_records(status: int, errors: object, found: int) -> None:
    """
    What stands between may answer in JSON too, and of errors: that says nothing of single records.
    """
    assert len(client.errors_in(httpx2.Response(status, json={"errors": errors}))) == found


def _events() -> Iterator[sending._Event | None]:
    return sending._events(os.devnull)
