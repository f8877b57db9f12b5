"""One writing for what looks alike: compatible forms, letters of other scripts, invisible characters, blanks."""

import re
import unicodedata
from functools import lru_cache
from itertools import islice

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
_ALIKE = {
    look: letter for looks, letters in (_CYRILLIC, _GREEK, _OTHER) for look, letter in zip(looks, letters, strict=True)
}
_WORD = re.compile(r"[^\W\d_]+")
_FOREIGN = re.compile(r"[\u0370-\u03ff\u0400-\u052f]")
# What is not taken over as it stands: a comment, several blanks, and everything outside ASCII.
_ODD = re.compile(r"/\*[^*]{0,200}\*+(?:[^/*][^*]{0,200}\*+){0,8}/\s*|\s{2,}|[^\x00-\x7f]+|[\x00-\x08\x0e-\x1f\x7f]+")
_VERSIONED = re.compile(r"/\*!\d{0,6}")
_MOST_RUNS = 16_384
_MARKS = ("Mn", "Cf", "Me", "Co")
_BRAILLE_BLANK, _HANGUL_FILLERS = "\u2800", "\u115f\u1160\u3164\uffa0"


def normalised(source: View) -> View | None:
    """Return the text with one writing for what looks alike."""
    builder = Builder("normalised", source)
    text, done = source.text, 0
    for match in islice(_ODD.finditer(text), _MOST_RUNS):
        builder.keep(done, match.start())
        done = match.end()
        first = match[0][0]
        if first == "/":
            _comment(builder, source, match)
        elif match[0].isspace():
            builder.blank(match.start(), done)
        elif not first.isascii():
            _foreign(builder, match)
    builder.keep(done, len(text))
    return builder.view()


def _comment(builder: Builder, source: View, match: re.Match[str]) -> None:
    """Put a blank for a comment, and the inside of one that some databases run."""
    versioned = _VERSIONED.match(match[0])
    if versioned is None:
        builder.blank(match.start(), match.end())
        return
    inside = match.start() + versioned.end()
    end = match.start() + match[0].rindex("*/")
    builder.blank(match.start(), inside)
    builder.put(source.text[inside:end], inside, end, 1)
    builder.blank(end, match.end())


def _foreign(builder: Builder, match: re.Match[str]) -> None:
    """Put characters outside ASCII the way they look; words of another script stay what they are."""
    span, start = match[0], match.start()
    if _FOREIGN.search(span):
        whole = match.string
        keep = {
            index
            for word in _WORD.finditer(whole, max(0, start - 32), match.end())
            if any(letter not in _ALIKE for letter in _FOREIGN.findall(word[0]))
            for index in range(word.start(), word.end())
        }
        folded = [
            character.casefold() if start + index in keep else _fold(character) for index, character in enumerate(span)
        ]
    else:
        folded = list(map(_fold, span))
    plain = "".join(folded)
    if len(plain) == len(span) and all(folded):
        builder.put(plain, start, match.end(), 1)
        return
    for index, each in enumerate(folded):
        builder.put(each, start + index, start + index + 1, 1 if len(each) == 1 else WHOLE)


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
