"""What a record may hold and still be an event, and what is kept of it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection import Event
from pipeline.records import RecordLimits, mend_surrogates, to_event

LIMITS = RecordLimits(max_bytes=100_000, max_depth=8, max_name=512)
EVENT = {
    "timestamp": "2024-01-15T14:30:00Z",
    "user": "alice",
    "agent": "ChatBot",
    "tool": "web_search",
    "prompt": "Search",
    "response": "Found",
}


SAME = Event("2024-01-15T14:30:00Z", "alice", "ChatBot", "web_search", "Search", "Found")


def _raw(**members: object) -> bytes:
    return json.dumps({**EVENT, **members}).encode()


def _with(member: bytes) -> bytes:
    return _raw()[:-1] + b", " + member + b"}"


def _kept(raw: bytes) -> dict[str, object]:
    kept = to_event(raw, LIMITS).metadata
    assert kept is not None
    return kept


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(EVENT).encode(),
        json.dumps(EVENT, indent=2).encode(),
        json.dumps(EVENT, separators=(",", ":")).encode(),
        json.dumps(dict(reversed(EVENT.items()))).encode(),
        (
            b'\n\t{ "timestamp" :"2024-01-15T14:30:00Z","user":"alice","agent":"ChatBot","tool":"web_search",'
            b'"prompt":"Sear\\u0063h","response":"Found"} '
        ),
    ],
    ids=["default", "pretty", "compact", "other_order", "odd"],
)
def test_every_spelling_of_an_event_reads_the_same(raw: bytes) -> None:
    """
    White space, order and escapes make no difference.
    """
    assert to_event(raw, LIMITS) == SAME


def test_optional_members_are_read() -> None:
    """
    Session, trace and metadata go where they belong.
    """
    event = to_event(_raw(session_id="s", trace_id="t", metadata={"model": "m"}), LIMITS)

    assert (event.session_id, event.trace_id, event.metadata) == ("s", "t", {"model": "m"})


def test_null_for_an_optional_member_is_its_absence() -> None:
    """
    Clients that always write every member are understood.
    """
    assert to_event(_raw(session_id=None, trace_id=None, metadata=None), LIMITS) == SAME


def test_unknown_members_are_kept_under_metadata() -> None:
    """
    Nothing that a client says is dropped.
    """
    kept = _kept(_raw(model="m", cost=0.25, labels=["a", {"b": None}], metadata={"own": True}))

    assert kept == {"own": True, "model": "m", "cost": 0.25, "labels": ["a", {"b": None}]}


def test_an_unknown_member_never_replaces_the_clients_own_metadata() -> None:
    """
    A clash of names keeps all values, whatever names were foreseen for it.
    """
    kept = _kept(_raw(x=1, metadata={"x": 2, "x~member": 3}))

    assert kept == {"x": 2, "x~member": 3, "x~member~member": 1}


@pytest.mark.parametrize("text", ["", " ", "a\0b", "\u202e\u200b", "\ud7ff\ue000\uffff\U0010ffff", "x" * 15_000])
def test_prompts_and_responses_are_taken_as_they_are(text: str) -> None:
    """
    Empty, hostile and very long texts are events, and stay what they were; NUL is a character like others.
    """
    event = to_event(_raw(prompt=text, response=text), LIMITS)

    assert (text, text) == (event.prompt, event.response)


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"9223372036854775808", "9223372036854775808"),
        (b"-9223372036854775809", "-9223372036854775809"),
        (b"1" * 5000, "1" * 5000),
        (b"-0", 0),
        (b"1e3", 1000.0),
        (b"0.1", 0.1),
    ],
)
@pytest.mark.parametrize("place", [b'"n": %b', b'"metadata": {"n": %b}'])
def test_whole_numbers_beyond_64_bits_become_text(place: bytes, number: bytes, kept: object) -> None:
    """
    A number that no database column holds keeps its digits, as text, however many there are.
    """
    found = _kept(_with(place % number))["n"]

    assert (type(kept), kept) == (type(found), found)


def test_the_deepest_permitted_nesting_is_kept() -> None:
    """
    The record itself is one level, so a member may have one less than the limit.
    """
    levels = LIMITS.max_depth - 1

    assert to_event(_with(b'"n": ' + b"[" * levels + b"]" * levels), LIMITS).metadata is not None


def test_names_may_be_as_long_as_the_limit() -> None:
    """
    The limit itself is permitted, and counts characters, not bytes.
    """
    name = "é" * LIMITS.max_name

    assert name == to_event(_raw(user=name), LIMITS).user


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"a\ud800b", "a\ufffdb"),
        (rb"a\uDC00b", "a\ufffdb"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\uD83D\uDE00\ud83d", "😀\ufffd"),
        (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"\\ud800", "\\ud800"),
        (rb"\\\ud800", "\\\ufffd"),
        (rb"\ud800\u0041", "\ufffdA"),
    ],
)
def test_halves_of_surrogate_pairs_become_replacement_characters(escaped: bytes, text: str) -> None:
    """
    Text that was cut in the middle of a character is still an event; every byte stays at its place.
    """
    raw = _raw(prompt="?").replace(b'"?"', b'"' + escaped + b'"')
    mended = mend_surrogates(raw)

    assert len(raw) == len(mended)
    assert text == to_event(mended, LIMITS).prompt


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec=None), max_size=30))
def test_mending_changes_halves_and_nothing_else(text: str) -> None:
    """
    Whatever text is escaped as JSON, mending it gives the text with its lone halves replaced, at unchanged length.
    """
    escaped = json.dumps(text).encode()
    mended = mend_surrogates(escaped)
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    assert len(escaped) == len(mended)
    assert expected.replace("\ufffd", "") == json.loads(mended).replace("\ufffd", "")


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=9), st.none() | st.booleans() | st.integers(-9, 9) | st.lists(st.text(max_size=9)))
)
def test_any_metadata_comes_back(metadata: dict[str, object]) -> None:
    """
    Metadata of any names and values is kept unchanged.
    """
    raw = json.dumps({**EVENT, "metadata": metadata}, ensure_ascii=False).encode()

    assert metadata == to_event(raw, LIMITS).metadata


@pytest.mark.parametrize("client_id", ["7", "A-Z.a_z~0:9", "x" * 128, None])
def test_a_client_gives_its_own_id(client_id: str | None) -> None:
    """
    The member ``id`` is the client's own id of the event, and no part of its metadata.
    """
    found = to_event(_raw(id=client_id), LIMITS)

    assert (found.client_id, found.metadata) == (client_id, None)
