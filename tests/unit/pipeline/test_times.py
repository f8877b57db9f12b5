"""Timestamps: every form that clients write, and the ones that are refused."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.times import EARLIEST, LATEST, InvalidTimestamp, OutOfRange, occurred_at, rfc3339

NOON = datetime(2024, 1, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15T12:00:00Z",
        "2024-01-15t12:00:00z",
        "2024-01-15 12:00:00Z",
        "2024-01-15T12:00:00",
        "2024-01-15T12:00:00+00:00",
        "2024-01-15T12:00:00-00:00",
        "2024-01-15T14:30:00+02:30",
        "2024-01-15T00:00:00-12:00",
        "2024-01-16T11:59:00+23:59",
        "2024-01-15T12:00:00.0Z",
        "2024-01-15T12:00:00.000000999Z",
        "2024-01-15T14:00:00.000000999999999999+02:00",
    ],
)
def test_one_instant_has_many_spellings(text: str) -> None:
    """
    Offsets are applied, a missing one is UTC, and digits behind the microseconds are dropped.
    """
    assert occurred_at(text) == NOON


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.0+00:00", "2017-01-01T00:59:60+01:00", "2016-12-31T23:59:59Z"]
)
def test_a_leap_second_is_the_last_of_its_minute(text: str) -> None:
    """
    Second 60 is read as second 59, wherever on earth it was counted.
    """
    assert datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC) == occurred_at(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 2024-01-15T12:00:00Z",
        "2024-01-15T12:00:00Z\n",
        "2024-01-15",
        "12:00:00Z",
        "20240115T120000Z",
        "2024-1-15T12:00:00Z",
        "2024-01-15T12:00Z",
        "2024-01-15T24:00:00Z",
        "2024-01-15T12:60:00Z",
        "2024-01-15T12:00:61Z",
        "2024-02-30T12:00:00Z",
        "2023-02-29T12:00:00Z",
        "2024-13-01T12:00:00Z",
        "2024-01-15T12:00:00.Z",
        "2024-01-15T12:00:00,5Z",
        "2024-01-15T12:00:00+24:00",
        "2024-01-15T12:00:00+01:60",
        "2024-01-15T12:00:00+0100",
        "2024-01-15T12:00:00 UTC",
        "2024-01-15T12:00:00Z[Europe/Berlin]",
        "-2024-01-15T12:00:00Z",
        "12024-01-15T12:00:00Z",
        "٢٠٢٤-٠١-١٥T١٢:٠٠:٠٠Z",
        "1705320000",
    ],
)
def test_other_texts_are_no_timestamps(text: str) -> None:
    """
    What RFC 3339 does not name is refused, and not taken for a time out of range.
    """
    with pytest.raises(InvalidTimestamp) as caught:
        occurred_at(text)

    assert not isinstance(caught.value, OutOfRange)


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:59:59+01:00",
        "2100-01-01T00:00:00Z",
        "2099-12-31T23:59:59-00:01",
        "0000-06-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "9999-12-31T23:59:60Z",
    ],
)
def test_the_far_past_and_future_are_out_of_range(text: str) -> None:
    """
    A timestamp outside the years that are kept is said to be that, even where no clock could hold it.
    """
    with pytest.raises(OutOfRange):
        occurred_at(text)


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "2099-12-31T23:59:59.999999Z", "2099-12-31T23:59:60.999999Z"])
def test_the_bounds_belong_to_the_range(text: str) -> None:
    """
    The first and the last instant are kept.
    """
    assert EARLIEST <= occurred_at(text) < LATEST


@settings(deadline=None)
@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001 - the strategy adds the zone
    st.integers(-23 * 60, 23 * 60),
)
def test_what_python_writes_is_read_back(moment: datetime, minutes: int) -> None:
    """
    Any instant in any offset survives being written and read.
    """
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert aware == occurred_at(aware.isoformat())


@settings(deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+-]{0,20}Z?", fullmatch=True))
def test_no_text_causes_another_error(text: str) -> None:
    """
    Whatever the text, it is an instant in range, or refused as a timestamp.
    """
    with contextlib.suppress(InvalidTimestamp):
        assert EARLIEST <= occurred_at(text) < LATEST


def test_moments_are_written_in_utc() -> None:
    """
    What is shown ends in Z, whatever zone it came in, can be read back, and nothing stays nothing.
    """
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))

    assert rfc3339(elsewhere) == "2024-01-15T12:00:00Z"
    assert occurred_at(rfc3339(elsewhere) or "") == NOON
    assert rfc3339(None) is None
