"""Why a record is no event: each reason has a code, a pointer into the record, and a sentence."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import REQUIRED, NotJson, RecordLimits, RejectedRecordError, mend_surrogates, to_event

LIMITS = RecordLimits(max_bytes=2_000_000, max_depth=8, max_name=512)
EVENT = {
    "timestamp": "2024-01-15T14:30:00Z",
    "user": "alice",
    "agent": "ChatBot",
    "tool": "web_search",
    "prompt": "Search",
    "response": "Found",
}


def _raw(**members: object) -> bytes:
    return json.dumps({**EVENT, **members}).encode()


def _with(member: bytes) -> bytes:
    return _raw()[:-1] + b", " + member + b"}"


def _refused(raw: bytes) -> tuple[str, str, str]:
    with pytest.raises(RejectedRecordError) as caught:
        to_event(raw, LIMITS)
    return caught.value.pointer, caught.value.code, caught.value.detail


@pytest.mark.parametrize("name", REQUIRED)
def test_every_required_member_is_missed(name: str) -> None:
    """
    A missing member is named.
    """
    raw = json.dumps({key: value for key, value in EVENT.items() if key != name}).encode()

    assert (f"/{name}", "missing", f"{name} is required") == _refused(raw)


def test_all_missing_members_are_named_at_once() -> None:
    """
    Nobody has to correct a record six times.
    """
    assert ("/timestamp", "missing", f"{', '.join(REQUIRED)} are required") == _refused(b"{}")


@pytest.mark.parametrize("name", [*REQUIRED, "id", "session_id", "trace_id"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "a number"),
        (True, "true"),
        (False, "false"),
        (["a"], "an array"),
        ({"a": 1}, "an object"),
        (-0.5, "a number"),
    ],
)
def test_members_of_the_wrong_type_are_told(name: str, value: object, kind: str) -> None:
    """
    A member that has to be a string and is not is named, with what it is instead.
    """
    assert (f"/{name}", "type", f"{name} has to be a string; this is {kind}") == _refused(_raw(**{name: value}))


@pytest.mark.parametrize("name", REQUIRED)
def test_null_is_no_required_member(name: str) -> None:
    """
    Null in place of a required member is a wrong type.
    """
    assert (f"/{name}", "type") == _refused(_raw(**{name: None}))[:2]


@pytest.mark.parametrize("value", ["text", 5, ["a"], True])
def test_metadata_has_to_be_an_object(value: object) -> None:
    """
    Metadata of another type is refused.
    """
    assert _refused(_raw(metadata=value)) == ("/metadata", "type", "metadata has to be an object")


@pytest.mark.parametrize("name", ["user", "agent", "tool"])
@pytest.mark.parametrize("value", ["", " ", "\t\n\u00a0"])
def test_names_must_not_be_empty(name: str, value: str) -> None:
    """
    An event of nobody, of no agent or of no tool says nothing.
    """
    assert (f"/{name}", "empty", f"{name} must not be empty") == _refused(_raw(**{name: value}))


@pytest.mark.parametrize("name", ["user", "agent", "tool", "session_id", "trace_id"])
def test_very_long_names_are_refused(name: str) -> None:
    """
    A name over its limit is refused, and the limit is named.
    """
    pointer, code, detail = _refused(_raw(**{name: "x" * 513}))

    assert (f"/{name}", "too_long") == (pointer, code)
    assert "max_name_characters" in detail
    assert "513" in detail


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_timestamp"),
        ("yesterday", "invalid_timestamp"),
        ("1705329000", "invalid_timestamp"),
        ("2024-01-15", "invalid_timestamp"),
        ("2024-02-30T00:00:00Z", "invalid_timestamp"),
        ("1969-12-31T23:59:59Z", "out_of_range"),
        ("0000-01-01T00:00:00Z", "out_of_range"),
        ("2100-01-01T00:00:00Z", "out_of_range"),
        ("9999-12-31T23:59:59-05:00", "out_of_range"),
    ],
)
def test_unusable_timestamps_are_refused(text: str, code: str) -> None:
    """
    What is no date and time is told apart from one outside the years that are kept.
    """
    assert ("/timestamp", code) == _refused(_raw(timestamp=text))[:2]


@pytest.mark.parametrize(
    ("member", "pointer", "twice"),
    [
        (b'"user": "bob"', "/user", "user"),
        (rb'"us\u0065r": "bob"', "/user", "user"),
        (b'"x": 1, "x": 1', "/x", "x"),
        (b'"metadata": {"a": 1, "a": 2}', "/metadata", "a"),
        (b'"deep": [{"b": {"c": 1, "c": 2}}]', "/deep", "c"),
        (b'"a/b~c": 1, "a/b~c": 2', "/a~1b~0c", "a/b~c"),
        (b'"metadata": {"d": 1, "d": 2}, "metadata": {}', "/d", "d"),
    ],
)
def test_duplicate_members_are_refused(member: bytes, pointer: str, twice: str) -> None:
    """
    Of two members of one name nobody knows which one an agent saw, at whatever depth and in whatever spelling.
    """
    found = _refused(_with(member))

    assert (pointer, "duplicate_member") == found[:2]
    assert found[2].startswith(repr(twice))


def test_a_duplicate_behind_very_many_members_is_found_quickly() -> None:
    """
    Looking for duplicates takes time in proportion to the record.
    """
    many = b",".join(b'"%d":1' % number for number in range(150_000))
    began = time.process_time()
    found = _refused(_with(b'"metadata":{' + many + b',"149999":1}'))

    assert found[1] == "duplicate_member"
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"null", "null"),
        (b'"text"', "a string"),
        (b"12", "a number"),
        (b"-1.5e3", "a number"),
        (b"true", "true"),
        (b"[]", "an array"),
        (b'[{"a": 1}]', "an array"),
    ],
)
def test_only_objects_are_events(raw: bytes, kind: str) -> None:
    """
    Any other JSON is refused, and what it is is said.
    """
    assert ("", "not_an_object", f"an event is an object; this is {kind}") == _refused(raw)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b'[1, {"a": 1e999}]'])
def test_numbers_that_overflow_are_refused(number: bytes) -> None:
    """
    A number that would be read as infinity is refused, for it could not be written down again.
    """
    assert _refused(_with(b'"n": ' + number))[:2] == ("/n", "invalid_number")


@pytest.mark.parametrize("levels", [8, 100, 2_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_refused(levels: int, opening: bytes, closing: bytes) -> None:
    """
    Nesting over the limit is refused, be it by one level or by so many that no stack would hold them.
    """
    found = _refused(_with(b'"n": ' + opening * levels + b"1" + closing * levels))

    assert found[1] == "too_deep"
    assert "max_depth" in found[2]


def test_large_records_are_refused() -> None:
    """
    A record over its limit is refused before it is looked at.
    """
    found = _refused(b"{" + b" " * LIMITS.max_bytes)

    assert found[:2] == ("", "too_large")
    assert "max_record_bytes" in found[2]


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (_raw(prompt="?").replace(b"?", b"\xff"), "/prompt"),
        (_raw(prompt="?").replace(b"?", b"\xed\xa0\x80"), "/prompt"),
        (_raw(metadata={"a": "?"}).replace(b"?", b"\xed\xa0\x80"), ""),
        (_raw(other="?").replace(b"?", b"\xed\xa0\x80"), "/other"),
        (_raw(prompt="?").replace(b"?", b"\xc0\xaf"), "/prompt"),
        (_with(b'"n": "\xff"'), "/n"),
        (_with(b'"\xff": 1'), ""),
    ],
)
def test_invalid_utf8_is_refused(raw: bytes, pointer: str) -> None:
    """
    Bytes that are no text are refused where they stand.
    """
    assert (pointer, "invalid_utf8") == _refused(raw)[:2]


@pytest.mark.parametrize(
    ("member", "stray"),
    [
        (b'"n": NaN', b"NaN"),
        (b'"n": -Infinity', b"Infinity"),
        (b'"n": [Infinity]', b"Infinity"),
        (b'"n": 01', b"1}"),
        (b'"n": +1', b"+"),
        (b'"n": "\\x"', b'x"}'),
        (b'"n": "\n"', b"\n"),
        (b"'n': 1", b"'n'"),
        (b'"n": 1,', b"}"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(member: bytes, stray: bytes) -> None:
    """
    NaN and Infinity, loose spellings and raw control characters are no JSON, and the offset leads to them.
    """
    raw = _with(member)
    with pytest.raises(NotJson) as caught:
        to_event(raw, LIMITS)

    assert abs(raw.index(stray) - caught.value.offset) <= 1


@pytest.mark.parametrize("length", range(len(_raw())))
def test_a_truncated_record_is_no_json(length: int) -> None:
    """
    Cut anywhere, a record is no event, and the fault lies where it was cut.
    """
    with pytest.raises(NotJson) as caught:
        to_event(_raw()[:length], LIMITS)

    assert length == caught.value.offset


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_cause_another_error(raw: bytes) -> None:
    """
    Whatever the bytes, the answer is an event or one of the two refusals.
    """
    with pytest.raises((RejectedRecordError, NotJson)):
        to_event(mend_surrogates(raw), LIMITS)


@settings(deadline=None)
@given(st.integers(0, len(_raw(metadata={"a": [1]})) - 1), st.binary(min_size=1, max_size=3))
def test_no_damaged_record_causes_another_error(place: int, damage: bytes) -> None:
    """
    An event with a few bytes overwritten is still an event, or refused with a reason.
    """
    raw = _raw(metadata={"a": [1]})
    damaged = raw[:place] + damage + raw[place + len(damage) :]
    with suppress(RejectedRecordError, NotJson):
        assert to_event(mend_surrogates(damaged), LIMITS).user


@pytest.mark.parametrize("client_id", ["", "a b", "x" * 129, "ä", "a/b", "a\n", "\ufffd"])
def test_an_id_that_is_none_is_refused(client_id: str) -> None:
    """
    An id has its characters and its length, and the reason names them.
    """
    pointer, code, detail = _refused(_raw(id=client_id))

    assert (pointer, code) == ("/id", "invalid_id")
    assert "1 to 128" in detail
