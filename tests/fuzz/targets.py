"""What the coverage-guided fuzzer runs, by name: each takes any bytes, and fails where a promise does not hold."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from detection import Event, Rule, RuleSet, Scanner
from detection.search import Search
from ingest_api.parse import EmptyBody, TooDeep, WrongShape, parse, split
from pipeline.records import NotJson, RecordLimits
from tests.fuzz import seeds
from tests.fuzz.checks import check_alike, check_gates, check_verdict, check_views, searches

LIMITS = RecordLimits(max_bytes=100_000, max_depth=8, max_name=512)
NAMES = ("body", "text", "views", "gates")
_AFTER_TOOL = "\x1f"


def targets(rule_set: RuleSet) -> Mapping[str, Callable[[bytes], None]]:
    """Return the targets for a rule set."""
    scanner, sought = Scanner(rule_set), searches(rule_set)
    return dict(
        zip(
            NAMES,
            (partial(_body, scanner, sought), partial(_text, scanner, sought), _views, partial(_gates, scanner)),
            strict=True,
        )
    )


def _body(scanner: Scanner, sought: Mapping[str, Search], data: bytes) -> None:
    """Parse bytes as the body of a post: every event in there gets a verdict that can be written down."""
    try:
        records = split(data)
    except (EmptyBody, WrongShape, TooDeep, NotJson):
        return
    for event in filter(None, parse(records, LIMITS).events):
        check_verdict(event, check_alike(event, scanner), sought)


def _text(scanner: Scanner, sought: Mapping[str, Search], data: bytes) -> None:
    """Scan a text in every field, some of which no parser would let through."""
    event = _event(data)
    check_verdict(event, scanner.scan(event), sought)


def _views(data: bytes) -> None:
    """Make every view and candidate of a text."""
    check_views(_decoded(data))


def _gates(scanner: Scanner, data: bytes) -> None:
    """Compare a verdict with the one without gates."""
    check_gates(_event(data), scanner)


def _event(data: bytes) -> Event:
    tool, found, text = _decoded(data).partition(_AFTER_TOOL)
    text = text if found else tool
    return Event("", user="", agent="", tool=tool, prompt=text, response=text, metadata={"note": [text]})


def _decoded(data: bytes) -> str:
    """Return any bytes as a text; those that are no UTF-8 give lone surrogates."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


def corpus(name: str, rules: tuple[Rule, ...]) -> Iterator[bytes]:
    """Give what a target starts from."""
    ways = list(seeds.WRAPPINGS.values())
    for number, (tool, text) in enumerate(seeds.fields(rules)):
        for wrapped in (text, ways[number % len(ways)](text), ways[number // 3 % len(ways)](ways[number % 5](text))):
            if name == "body":
                event = dict.fromkeys(("user", "agent"), "x") | {"timestamp": "2026-01-01T00:00:00Z", "tool": tool}
                event |= {"prompt": wrapped, "response": text}
                yield json.dumps(event, ensure_ascii=number % 2 == 0).encode("utf-8", "replace")
            else:
                yield f"{tool}{_AFTER_TOOL}{wrapped}".encode("utf-8", "surrogatepass")
