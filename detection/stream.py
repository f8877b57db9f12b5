"""A pinned stream of ordinary events, made of words as common as they are in prompts, tool results, code and logs.

Rules are timed on it. It is the same on every machine, and holds no text of anybody's.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from math import log

from detection.event import Event
from detection.gates import common_words
from detection.rule import Rule

LENGTH = 2500
"""Code points that the prompt and the response of an event hold together."""

_PROMPT = 400
_TWINS, _ATTACKS = 10, 50
_SYLLABLES = [one + two for one in "bdfgklmnprstvw" for two in ("a", "e", "i", "o", "u", "an", "er", "il")]
_SIGNS = (",", ".", ":", ";", "?", "!")


def events(count: int, rules: Sequence[Rule] = (), seed: int = 1) -> Iterator[Event]:
    """Give events of which one in ten holds a benign twin of the rules, and one in fifty an attack.

    Two in five are prose; the others are code, JSON and logs in equal parts.
    """
    chance = random.Random(seed)  # noqa: S311 - the same events every time are the point
    # A test more in some rule must not change the words around it, and with them what every rule costs.
    draw = random.Random(seed)  # noqa: S311
    twins = _texts(rules, attack=False)
    attacks = _texts(rules, attack=True)
    for number in range(count):
        prompt = _prose(chance, _PROMPT)
        response = _SHAPES[number % len(_SHAPES)](chance, LENGTH - _PROMPT)
        if twins and number % _TWINS == _TWINS // 2:
            response = _with(response, draw.choice(twins), draw)
        if attacks and number % _ATTACKS == _ATTACKS // 2:
            prompt = f"{draw.choice(attacks)} {prompt}"[:LENGTH]
        yield Event("2026-03-04T05:06:07Z", f"user-{number % 97}", "helper", "search_documents", prompt, response)


def _texts(rules: Sequence[Rule], *, attack: bool) -> list[str]:
    """Return the longest text of every test of that kind."""
    tests = [test for rule in rules for test in rule.tests if test.attack is attack]
    texts = [[text for text in test.fields.values() if isinstance(text, str)] for test in tests]
    return [max(each, key=len)[:LENGTH] for each in texts if each]


def _with(text: str, part: str, chance: random.Random) -> str:
    """Return a text of the same length with another in its middle."""
    at = chance.randrange(len(text))
    return f"{text[:at]}\n{part}\n{text[at:]}"[: len(text)]


@cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """Return words with how often each is used, so that it stands in about as many texts as it should."""
    words = [(word, share) for word, share in common_words() if word.isalpha()]
    return [word for word, _ in words], [-log(1 - min(share, 0.99)) for _, share in words]


def _words(chance: random.Random, count: int) -> list[str]:
    """Return common words, and as many that no list holds."""
    words, weights = _vocabulary()
    chosen = chance.choices(words, weights, k=count)
    for at in range(0, count, 2):
        chosen[at] = "".join(chance.choices(_SYLLABLES, k=2 + at % 3))
    chance.shuffle(chosen)
    return chosen


def _prose(chance: random.Random, length: int) -> str:
    words = _words(chance, length // 4)
    for at in range(7, len(words), 9):
        words[at] += chance.choice(_SIGNS)
    return " ".join(words)[:length]


def _code(chance: random.Random, length: int) -> str:
    lines: list[str] = []
    for number in range(length // 40):
        one, two, three = _words(chance, 3)
        lines.append(
            chance.choice(
                (
                    f"    {one}_{two} = {three}({number}, {two!r})",
                    f"    if {one}.{two}({three}) > {number}:",
                    f"        return [{one} for {one} in {two}.{three}]  # {' '.join(_words(chance, 4))}",
                    f"def {one}_{two}({three}: str) -> None:",
                )
            )
        )
    return "\n".join(lines)[:length]


def _json(chance: random.Random, length: int) -> str:
    rows = [
        {
            "id": number,
            "name": " ".join(_words(chance, 2)),
            "url": f"https://example.org/{'/'.join(_words(chance, 2))}?page={number}",
            "text": f"{_prose(chance, 50)}\n{_prose(chance, 50)}",
        }
        for number in range(length // 180 + 1)
    ]
    return json.dumps(rows)[:length]


def _log(chance: random.Random, length: int) -> str:
    lines = (
        f"2026-03-04T05:06:{number % 60:02}.{chance.randrange(999):03}Z INFO worker[{chance.randrange(9999)}] "
        f"{' '.join(_words(chance, 5))} status=200 path=/{'/'.join(_words(chance, 2))} ms={chance.randrange(99)}"
        for number in range(length // 70)
    )
    return "\n".join(lines)[:length]


_SHAPES: tuple[Callable[[random.Random, int], str], ...] = (_prose, _code, _prose, _json, _log)
