"""Whatever the texts, however they are wrapped: a verdict, the same each time, and places that hold."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection import Event, RuleSet, Scanner, load_rule_set
from ingest_api.parse import EmptyBody, TooDeep, WrongShape, parse, split
from pipeline.records import NotJson, RecordLimits
from tests.fuzz import checks, seeds

LIMITS = RecordLimits(max_bytes=2_000_000, max_depth=32, max_name=512)
ODD = (
    "\ud800",
    "\udfff",
    "\x00",
    "\u202e",
    "\u200b",
    "é",
    "日本",
    "😀",
    "\U000e0041\U000e0042",
    "ﬃ",
    "İ",
    "\x85",
    "\u2028",
)
SIGNS = (
    "'",
    '"',
    "`",
    "<",
    ">",
    "(((",
    "]]",
    "{{",
    "}}",
    "\\",
    "\\u",
    "\\x4",
    "%",
    "%2",
    "%u00",
    "&#",
    "&lt",
    "/*",
    "*/",
)


@cache
def _shipped() -> RuleSet:
    """Return the shipped rules; not a fixture, whose parts would be printed with every failure."""
    return load_rule_set()


@st.composite
def _of_tests(draw: st.DrawFn) -> str:
    """Draw a piece of a text that the rules are tested with."""
    text = draw(st.sampled_from(seeds.texts(_shipped().rules)))
    start = draw(st.integers(0, len(text)))
    return text if draw(st.booleans()) else text[start : start + draw(st.integers(0, 60))]


@st.composite
def _repeated(draw: st.DrawFn) -> str:
    return draw(st.sampled_from((*SIGNS, *ODD, "a", " ", "A=", "%25", "' or "))) * draw(st.integers(1, 1500))


@st.composite
def _wrapped(draw: st.DrawFn, inside: st.SearchStrategy[str]) -> str:
    """Draw a text that is encoded or disguised up to three times."""
    text = draw(inside)
    for way in draw(st.lists(st.sampled_from(sorted(seeds.WRAPPINGS)), min_size=1, max_size=3)):
        text = seeds.WRAPPINGS[way](text)
    return text[:20_000]


plain = st.one_of(_of_tests(), st.sampled_from((*ODD, *SIGNS)), st.text(st.characters(), max_size=20), _repeated())
hostile = st.lists(plain | _wrapped(plain), max_size=5).map("".join)
tools = st.sampled_from(("", "os_shell", "sql_query", "bash", "web_search")) | plain
values: st.SearchStrategy[object] = st.recursive(
    hostile | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=4,
)
events = st.builds(
    Event,
    timestamp=st.just(""),
    user=plain,
    agent=plain,
    tool=tools,
    prompt=hostile,
    response=hostile,
    metadata=st.none() | st.dictionaries(plain, values, max_size=3),
)
# The first examples also compile the rules.
patient = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(event=events)
def test_every_finding_points_at_what_it_claims(event: Event) -> None:
    """
    No text makes a scan fail, and every place is inside the field, shown by the excerpt, and matches by itself.
    """
    checks.check_verdict(event, Scanner(_shipped()).scan(event), checks.searches(_shipped()))


@patient
@given(batch=st.lists(events, min_size=1, max_size=4), order=st.randoms())
def test_a_verdict_depends_on_its_event_alone(batch: list[Event], order: object) -> None:
    """
    What a scanner has seen before, and how often, changes nothing.
    """
    scanner = Scanner(_shipped())
    alone = [Scanner(_shipped()).scan(event) for event in batch]
    shuffled = list(enumerate(batch)) * 2
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    assert [scanner.scan(event) == alone[index] for index, event in shuffled] == [True] * len(shuffled)


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    """Draw the body of a post: one event or several as JSON, some of whose bytes may be others."""
    members = st.fixed_dictionaries(
        dict.fromkeys(("prompt", "response"), hostile)
        | dict.fromkeys(("user", "agent", "tool"), tools)
        | {"timestamp": st.sampled_from(("2026-01-01T00:00:00Z", "1700000000", "2026-01-01"))},
        optional={"metadata": st.dictionaries(plain, values, max_size=2), "session_id": plain},
    )
    body: object = draw(members | st.lists(members, max_size=3))
    plainly = draw(st.booleans())
    data = bytearray(json.dumps(body, ensure_ascii=plainly).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@patient
@given(body=_bodies())
def test_whatever_is_let_in_gets_a_verdict_that_can_be_written_down(body: bytes) -> None:
    """
    Bytes are refused, or become events of which each gets its verdict, the same each time, as JSON.
    """
    scanner = Scanner(_shipped())
    try:
        parsed = parse(split(body), LIMITS)
    except (EmptyBody, WrongShape, TooDeep, NotJson):
        return

    for event in filter(None, parsed.events):
        verdict = checks.check_alike(event, scanner)
        checks.check_verdict(event, verdict, checks.searches(_shipped()))


@patient
@given(text=hostile)
def test_every_view_and_candidate_leads_back_into_its_text(text: str) -> None:
    """
    Whatever is undone or cut out, called for or not, has its place in the field as it was sent.
    """
    checks.check_views(text)


def test_the_line_break_behind_hidden_letters_has_a_place() -> None:
    """
    Each run of tag characters becomes a line: also its end stands for the run. Found by fuzzing.
    """
    checks.check_views("\U000e0041\U000e0042")


def test_a_match_that_ends_at_a_sign_before_a_word_begins_where_it_begins(write_pack: Callable[..., Path]) -> None:
    """
    Whether a word begins behind a match is not forgotten when its start is looked for. Found by fuzzing.
    """
    pack = write_pack(r"{path: {regex: '\b(?:secret|/etc/)\b', means: a path}}", "see a/etc/passwd")
    text = "word " * 40 + "a/etc/passwd"
    event = Event(timestamp="", user="", agent="", tool="", prompt=text, response="")

    (finding,) = Scanner(load_rule_set(pack)).scan(event).findings

    assert (finding.start, finding.end) == (text.index("a/etc/"), text.index("passwd"))
