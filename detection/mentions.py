"""Mentions: what a text only quotes or tells of while it talks about attacks, as advisories, lessons and tests do.

A quotation counts as a mention where words of such talk stand near it, outside every quotation, and nothing there asks
to do what it says; so does a sentence whose subject is an attacker, as far as it goes. So words that an attack puts
around itself do not help it, unless it is also willing to stand there as an example, between quotation marks.
"""

import re
from collections.abc import Iterable
from functools import cache
from itertools import islice
from pathlib import Path

import hyperscan

from detection.databases import database
from detection.locating import Locator
from detection.views import encode

_MOST = 65_536
"""Longer texts are judged as they are: they cost enough as it is."""
_BEFORE, _AFTER = 400, 250
_SAYING = 48
_MANY = 3
_MOST_QUOTATIONS = 64
_SIGN = " \N{HORIZONTAL ELLIPSIS} "
"""So much talk anywhere makes the whole text one about attacks."""

_RUNNERS = re.compile(r"shell|bash|exec|terminal|command|sql|query|database|eval|interpreter|run_", re.IGNORECASE)
"""Tools that carry out what they are handed, whatever is said around it."""

_MARKS = r"""
      ```[^`]{1,4000}```
    | ``[^`\n]{1,600}`` | `[^`\n]{1,600}`
    | [“„][^“„”]{1,600}[”“] | «[^«»]{1,600}» | »[^«»]{1,600}« | 「[^「」]{1,600}」 | 『[^『』]{1,600}』
    | \u2018[^\u2018\n]{1,400}?\u2019(?!\w)
    | \\"(?:[^"\\\n]|\\[^"]){1,600}\\"
    | (?<![\w\\'"])'(?:[^'\n]|'(?=\w)|(?<=\s)'(?=[\s=])){0,400}[^\s']?'(?!\w)
    | <(code|pre|blockquote|samp|kbd)\b[^>]{0,80}>.{1,600}?</\1>
    | ^\ {0,3}>\ [^\n]{1,1000}$
    | (?:(?<=such\ as\ )|(?<=e\.g\.\ )|(?<=example\ )|(?<=z\.\ B\.\ ))[^\s"'`]{4,300}
"""
_JSON = {"{", "["}
"""How texts begin in which quotation marks only say where a value ends."""
_FLAGS = re.VERBOSE | re.MULTILINE | re.DOTALL | re.IGNORECASE
_IN_JSON = re.compile(_MARKS, _FLAGS)
_IN_TEXT = re.compile(_MARKS + r"""| (?<![\w\\"])"[^"\n]{1,600}"(?!\w)""", _FLAGS)
_REFUSED = re.compile(
    r"^(?=[^\n]{0,40}\d\d:\d\d)[^\n]*\b(?:fail2ban|modsecurity|waf|blocked|denied|rejected)\b[^\n]*$",
    re.MULTILINE | re.IGNORECASE,
)
"""A line of a log that tells what was turned away."""
_TOLD = re.compile(
    r"""
    \b(?:attackers?|adversar(?:y|ies)|intruders?|hackers?|malware|(?:threat|bad)\s+actors?
       |(?:malicious|rogue|hostile|compromised|poisoned)\s+[\w-]+(?:\s+(?!and\b|or\b)[\w-]+)?)\s+
    (?:(?:then|also|\w+ly)\s+)?
    (?:could|can|may|might|would|tr(?:y|ies)\s+to|attempts?\s+to|wants?\s+to|hopes?\s+to|hides?|plants?|embeds?|provides?|sends?|uses?)\b
    (?:[^\n.!?:;"\u201c\u201d\u2014]|[.!?:](?=\S)){1,400}
    | (?<=[.!?]\s)(?:it|this)\s+(?:tells|instructs|asks|orders)\s+the\s+(?:agent|model|assistant|llm|ai)\s+to\b
    (?:[^\n.!?:;"\u201c\u201d\u2014]|[.!?:](?=\S)){1,400}
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""A sentence on what attackers may do; whatever a colon or quotation marks set apart in it is not a part of that."""
_ADDRESSED = re.compile(
    r"\b(?:you|your|yours|yourself|me|us|now|please|so|therefore|thus|hence|then|must|ignore|disregard|forget|obey)\b",
    re.IGNORECASE,
)
"""A sentence that turns to its reader tells of nobody."""
_TALK = Path(__file__).parent / "talk.txt"
"""Expressions of talk about attacks, one a line."""
_OBEYED = re.compile(
    r"""
    \b(?<!not\s)(?<!n't\s)(?<!never\s)(?:do|follow|obey|execute|perform|carry\s+out|comply\s+with|apply|act\s+on)\s+
    (?:exactly\s+|precisely\s+)?(?:what|as|it|this|that|the\s+(?:above|quoted?|quotation|sentence|text|following|instructions?|orders?|commands?|steps?|words))\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SAID = re.compile(
    r"\b(?:say|reply|respond|answer|begin|start|print|output|named|called|subject)\b[^\n.!?]*$", re.IGNORECASE
)
"""An order to say or name something hands over what stands in the quotation: that is no mention."""


def carried_out(tool: str) -> bool:
    """Say whether a tool carries out what it is handed."""
    return _RUNNERS.search(tool) is not None


def without_mentions(text: str, locator: Locator) -> str | None:
    """Return the text with a sign in the place of every mention, or None where it has none."""
    if len(text) > _MOST or not _talk(text, locator):
        return None
    marks = _IN_JSON if text.lstrip()[:1] in _JSON else _IN_TEXT
    quotations = [found.span() for found in marks.finditer(text)]
    outside = _replaced(text, quotations, " ", keep_length=True)
    everywhere = _talk(outside, locator)
    mentions = [found.span() for found in _REFUSED.finditer(text)]
    if everywhere and not _OBEYED.search(outside):
        told = islice(_TOLD.finditer(text), _MOST_QUOTATIONS)
        mentions += [found.span() for found in told if not _ADDRESSED.search(found[0])]
        mentions += [
            (start, end)
            for start, end in quotations[:_MOST_QUOTATIONS]
            if (everywhere >= _MANY or _talk(outside[max(0, start - _BEFORE) : end + _AFTER], locator))
            and not _SAID.search(outside, max(0, start - _SAYING), start)
        ]
    return _replaced(text, _apart(mentions), _SIGN) if mentions else None


def _talk(text: str, locator: Locator) -> int:
    """Return how many of the expressions stand in a text."""
    return len(locator.hits(database(_expressions(), hyperscan.HS_FLAG_CASELESS), encode(text)))


@cache
def _expressions() -> tuple[bytes, ...]:
    return tuple(encode(line) for line in _TALK.read_text(encoding="utf-8").splitlines())


def _apart(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans that do not overlap, from left to right."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _replaced(text: str, spans: Iterable[tuple[int, int]], sign: str, *, keep_length: bool = False) -> str:
    """Return the text with a sign for each span, or one for each of its characters."""
    parts, done = [], 0
    for start, end in spans:
        parts += [text[done:start], sign * (end - start) if keep_length else sign]
        done = end
    return "".join([*parts, text[done:]])
