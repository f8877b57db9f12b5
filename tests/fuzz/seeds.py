"""What fuzzing starts from: the texts of the rules' own tests, plain and wrapped."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from urllib.parse import quote

from detection import Rule

_LONGEST = 1000
_MOST_WORDS = 3000
_LOOK_ALIKES = str.maketrans("aeocpxyi", "аеосрхуі")
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_TAGS = {code: code + 0xE0000 for code in range(0x20, 0x7F)}

WRAPPINGS: Mapping[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "percent": lambda text: quote(text, safe="", errors="replace"),
    "every percent": lambda text: "".join(f"%{byte:02x}" for byte in _bytes(text)),
    "html": escape,
    "numbers": lambda text: "".join(f"&#{ord(sign)};" for sign in text),
    "json": json.dumps,
    "escapes": lambda text: "".join(f"\\u{unit:04x}" for unit in _units(text)),
    "bytes": lambda text: "".join(f"\\x{byte:02x}" for byte in _bytes(text)),
    "base64": lambda text: base64.b64encode(_bytes(text)).decode(),
    "hex": lambda text: _bytes(text).hex(),
    "wide": lambda text: text.translate(_WIDE),
    "look-alikes": lambda text: text.translate(_LOOK_ALIKES),
    "tags": lambda text: text.translate(_TAGS),
    "invisible": "\u200b".join,
    "comments": lambda text: text.replace(" ", "/**/"),
    "upper": str.upper,
    "quoted": lambda text: f"name='{text}'&x=1",
}
"""Ways to disguise a text, of which the views undo most."""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _units(text: str) -> list[int]:
    data = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def texts(rules: Iterable[Rule]) -> list[str]:
    """Return the texts of all attacks and benign twins, each once."""
    return list(dict.fromkeys(text for rule in rules for _, text in _of(rule)))


def fields(rules: Iterable[Rule]) -> list[tuple[str, str]]:
    """Return the same, each with its tool."""
    return list(dict.fromkeys(found for rule in rules for found in _of(rule)))


def _of(rule: Rule) -> Iterator[tuple[str, str]]:
    for test in rule.tests:
        tool = str(test.fields.get("tool", ""))
        for name, value in test.fields.items():
            if isinstance(value, str) and name != "tool":
                yield tool, value[:_LONGEST]


def words(rules: Iterable[Rule]) -> list[str]:
    """Return the words that stand in the tests, the rarer the sooner."""
    counts: dict[str, int] = {}
    for text in texts(rules):
        for word in re.findall(r"[!-~]{3,24}", text):
            counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (counts[word], word))[:_MOST_WORDS]
