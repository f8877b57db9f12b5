"""One writing for what looks alike: compatible forms, letters of other scripts, invisible characters, blanks."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from string import ascii_uppercase

from detection.views._view import WHOLE, Builder, View

_CYRILLIC = ("асԁеһіјӏорԛѕԝхуАВСЕНІЈКМОРԚЅТԜХУѴ", "acdehijlopqswxyABCEHIJKMOPQSTWXYV")
_GREEK = ("ανορτυικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "avoptuikABEZHIKMNOPTYX")
_OTHER = (
    (
        "\u0131\u0251\u0261\u2113\u2018\u2019\u201a\u201b\u2032\u02bc\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"
        "\u2039\u203a\u2010\u2011\u2012\u2013\u2014\u2212\u2215\u2044\u2217\u2223"
    ),
    "iagl''''''\"\"\"\"\"\"\"''------//*|",
)
# Letters that Unicode does not call compatible with the plain ones, by their names there.
_NAMED = (
    "LATIN LETTER SMALL CAPITAL",
    "NEGATIVE CIRCLED LATIN CAPITAL LETTER",
    "NEGATIVE SQUARED LATIN CAPITAL LETTER",
    "REGIONAL INDICATOR SYMBOL LETTER",
)


def _named() -> Iterator[tuple[str, str]]:
    """Give letters of a drawn kind, each with the letter that it is."""
    for kind in _NAMED:
        for letter in ascii_uppercase:
            # There is no small capital X.
            with suppress(KeyError):
                yield unicodedata.lookup(f"{kind} {letter}"), letter.lower()


_ALIKE = {
    look: letter for looks, letters in (_CYRILLIC, _GREEK, _OTHER) for look, letter in zip(looks, letters, strict=True)
} | dict(_named())
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = (range(0x370, 0x400), range(0x400, 0x530))
# Letters of other scripts that look like none of ours: a word that holds one is what it seems to be.
_FOREIGN = re.compile(f"[{''.join(chr(code) for script in _SCRIPTS for code in script if chr(code) not in _ALIKE)}]")
# What is not one character for another: a comment, several blanks, what cannot be seen, and forms of several letters.
_ODD = re.compile(
    r"/\*[^*]{0,200}\*+(?:[^/*][^*]{0,200}\*+){0,8}/\s*|\s{2,}|[^\x00-\x7f\u0370-\u0482\u048a-\u052f]+|[\x00-\x08\x0e-\x1f\x7f]+"
)
_VERSIONED = re.compile(r"/\*!\d{0,6}")
_MOST_KNOWN = 8192
_MARKS = ("Mn", "Cf", "Me", "Co")
_BRAILLE_BLANK, _HANGUL_FILLERS = "\u2800", "\u115f\u1160\u3164\uffa0"


def normalised(source: View) -> View | None:
    """Return the text with one writing for what looks alike."""
    builder = Builder("normalised", source)
    text, done = _folded(source.text), 0
    for match in _ODD.finditer(text):
        first = match[0][0]
        if not first.isascii() and not first.isspace() and _plain(match[0]) == match[0]:
            continue
        builder.put(text[done : match.start()], done, match.start(), 1)
        done = match.end()
        if first == "/":
            _comment(builder, text, match)
        elif match[0].isspace():
            builder.blank(match.start(), done)
        elif not first.isascii():
            for index, each in enumerate(map(_fold, match[0]), start=match.start()):
                builder.put(each, index, index + 1, 1 if len(each) == 1 else WHOLE)
    builder.put(text[done:], done, len(text), 1)
    return builder.view()


class _Folding(dict[int, str]):
    """What each character is put as where that is one character, too; for the others, itself."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = _fold(character)
        put = folded if len(folded) == 1 else character
        if len(self) < _MOST_KNOWN:
            self[code] = put
        return put


_FOLDING = _Folding((code, chr(code)) for code in range(128))


def _folded(text: str) -> str:
    """Return a text of the same length in which each character stands for what it looks like, but for foreign words."""
    if text.isascii():
        return text
    folded = text.translate(_FOLDING)
    if not _FOREIGN.search(text):
        return folded
    parts: list[str] = []
    done = 0
    for word in _WORD.finditer(text):
        if _FOREIGN.search(word[0]):
            plain = word[0].lower()
            parts += (folded[done : word.start()], plain if len(plain) == len(word[0]) else word[0])
            done = word.end()
    return "".join((*parts, folded[done:]))


def _comment(builder: Builder, text: str, match: re.Match[str]) -> None:
    """Put a blank for a comment, and the inside of one that some databases run."""
    versioned = _VERSIONED.match(match[0])
    if versioned is None:
        builder.blank(match.start(), match.end())
        return
    inside = match.start() + versioned.end()
    end = match.start() + match[0].rindex("*/")
    builder.blank(match.start(), inside)
    builder.put(text[inside:end], inside, end, 1)
    builder.blank(end, match.end())


def _plain(run: str) -> str:
    return "".join(map(_fold, run))


@lru_cache(maxsize=8192)
def _fold(character: str) -> str:
    """Return how a character looks, in ASCII where that can be said; nothing for what cannot be seen."""
    if character in _ALIKE:
        return _ALIKE[character]
    if character in _HANGUL_FILLERS or unicodedata.category(character) in _MARKS:
        return ""
    if character.isspace() or character == _BRAILLE_BLANK:
        return " "
    return "".join(_ALIKE.get(each, each) for each in unicodedata.normalize("NFKC", character).casefold())
