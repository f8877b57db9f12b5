"""Texts that are made to keep the engine busy, each as long as the longest that an event may well hold."""

import base64
import html
import random
import string
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from urllib.parse import quote

from detection.rule import Rule

LENGTH = 1_000_000
"""How many bytes each of the texts has, about."""

_QUERY = ("sql-injection", "command-injection")
_PROMPT = ("prompt-injection", "jailbreak", "tool-poisoning")
_LATIN = "aceopxyABCEHKMOPTX"
_CYRILLIC = str.maketrans(_LATIN, "асеорхуАВСЕНКМОРТХ")
_GREEK = str.maketrans("aovptuikABEZHIKMNOPTYX", "αονρτυικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
_WIDE = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
_LINE, _SHORT = 76, 1000


def worst(ordinary: str, rules: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    """Give the texts by what they are made of.

    Args:
        ordinary: text of about that length; most others are made from it.
        rules: of whose attack tests the last ones are made.
    """
    chance = random.Random(1)
    yield "((( without end", "(" * LENGTH
    yield "quotes", _filled("'\"`")
    yield "< without end", "<" * LENGTH
    yield "backslashes", "\\" * LENGTH
    yield "blanks", _filled(" \t\n")
    yield "digits", _filled("1234567890")
    yield "random printable signs", "".join(chance.choices(string.printable, k=LENGTH))
    yield from _encoded(ordinary)
    yield "look-alikes, Cyrillic", _cut(ordinary.translate(_CYRILLIC))
    yield "look-alikes, Greek", _cut(ordinary.translate(_GREEK))
    yield "look-alikes, full width", _cut(ordinary.translate(_WIDE))
    yield from _attacks(rules, chance)


def _encoded(ordinary: str) -> Iterator[tuple[str, str]]:
    """Give text that is encoded, and encoded again."""
    percent = "".join(f"%{byte:02x}" for byte in ordinary[: LENGTH // 3].encode())
    yield "percent", percent
    yield "percent of percent", _cut(quote(percent))
    yield "HTML of percent", _cut("".join(f"&#{ord(sign)};" for sign in percent[: LENGTH // 5]))
    yield "HTML of HTML", _cut(html.escape(html.escape(ordinary.replace(" ", "<"))))
    yield "\\u escapes", _cut("".join(f"\\u{ord(sign):04x}" for sign in ordinary[: LENGTH // 6]))
    once = _base64(ordinary)
    yield "base64, one run", _cut(once)
    yield "base64, lines", _cut("\n".join(_pieces(once, _LINE)))
    yield "base64, a run a word", _cut(" ".join(map(_base64, _pieces(ordinary, 24))))
    yield "base64 of base64", _cut(_base64(once))
    yield "hexadecimal digits", _cut(ordinary.encode().hex())


def _attacks(rules: Sequence[Rule], chance: random.Random) -> Iterator[tuple[str, str]]:
    """Give what the rules look for, over and over, whole and out of order."""
    for what, packs in (("SQL and commands", _QUERY), ("prompts", _PROMPT), ("all rules", ())):
        texts = [
            text
            for rule in rules
            if not packs or rule.pack in packs
            for test in rule.tests
            if test.attack
            for text in test.fields.values()
            if isinstance(text, str) and len(text) < _SHORT
        ]
        if texts:
            chance.shuffle(texts)
            yield f"attacks: {what}", _filled("\n".join(texts) + "\n")
            words = " ".join(texts).split()
            chance.shuffle(words)
            yield f"words of attacks: {what}", _filled(" ".join(words) + " ")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _pieces(text: str, length: int) -> Iterator[str]:
    return (text[at : at + length] for at in range(0, len(text), length))


def _filled(text: str) -> str:
    return "".join(islice(cycle(text), LENGTH))


def _cut(text: str) -> str:
    """Return as much of a text as has that many bytes."""
    return text.encode()[:LENGTH].decode(errors="ignore")
