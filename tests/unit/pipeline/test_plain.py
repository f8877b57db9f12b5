"""The short way to read a usual record gives what the long one gives, or nothing."""

import json
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.plain import plain_event
from pipeline.records import NotJson, RecordLimits, RejectedRecordError, mend_surrogates, to_event

LIMITS = RecordLimits(max_bytes=10_000, max_depth=8, max_name=20)
EVENT = {
    "timestamp": "2024-01-15T14:30:00Z",
    "user": "alice",
    "agent": "ChatBot",
    "tool": "web_search",
    "prompt": "Search",
    "response": "Found",
}
_MEMBERS = tuple(json.dumps(name) + ": " + json.dumps(value) for name, value in EVENT.items())
_EDGES = (
    '"user":"b"', '"\\u0075ser": "c"', '"user": ""', '"user": " "', '"user": "u23456789012345678901"', '"tool": 5',
    '"session_id": "s"', '"session_id": ""', '"session_id": null', '"trace_id":"\\"\\""', '"id": "mine"', '"more": "x"',
    '"metadata": {"user": "x"}', '"prompt": "C:\\\\x"', '"prompt": "\\\\"', '"response": "\\u0022\\"\\/\\n"',
    '"response": "\\ud800"', '"response": "\\ud83d\\ude00 é"', '"timestamp": "2024-01-15 14:30:00"',
    '"timestamp": "yesterday"', '"timestamp": "1969-12-31T23:59:59Z"',
)  # fmt: skip


def _long_way(raw: bytes) -> object:
    with mock.patch("pipeline.records.plain_event", return_value=None):
        try:
            return to_event(mend_surrogates(raw), LIMITS)
        except (RejectedRecordError, NotJson) as error:
            return type(error)


def _agree(raw: bytes) -> None:
    found = plain_event(raw, LIMITS.max_name)
    assert found is None or found == _long_way(raw)


@settings(deadline=None, max_examples=300)
@given(st.permutations(_MEMBERS), st.lists(st.sampled_from(_EDGES), max_size=3), st.sampled_from([",", ", ", " ,\n"]))
def test_both_ways_agree_on_odd_records(members: list[str], edges: list[str], between: str) -> None:
    """
    Names that stand twice, escapes, empty names, other types and members are never read as something else.
    """
    for keep in (6, 5):
        _agree(("{" + between.join([*members[:keep], *edges]) + "}").encode())


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(EVENT)), st.text(max_size=12)), st.booleans())
def test_both_ways_agree_on_any_text(texts: dict[str, str], ascii_only: bool) -> None:
    """
    Whatever characters the texts hold, in whichever spelling.
    """
    _agree(json.dumps({**EVENT, **texts}, ensure_ascii=ascii_only).encode(errors="surrogatepass"))


@pytest.mark.parametrize("raw", [json.dumps(EVENT), json.dumps({**EVENT, "prompt": 'say "é"\n', "session_id": "s"})])
def test_the_usual_record_goes_the_short_way(raw: str) -> None:
    """
    It is not taken for an odd one.
    """
    found = plain_event(raw.encode(), LIMITS.max_name)

    assert found is not None
    assert found == _long_way(raw.encode())
