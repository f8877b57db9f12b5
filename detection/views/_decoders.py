"""Undoing what a text was wrapped in: percent signs, entities, backslashes, base64 and hexadecimal digits."""

import base64
import binascii
import re
from codecs import utf_8_decode
from collections.abc import Callable, Iterator
from html.entities import html5
from unicodedata import category

from detection.views._view import WHOLE, Builder, View, continues, encode

# Each begins with one sign: that is what makes the search for it quick.
_PERCENT = re.compile(r"%(?:[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*|[uU][0-9a-fA-F]{4}(?:%[uU][0-9a-fA-F]{4})*)")
_ENTITY = re.compile(
    r"&(?:#(?:[0-9]{2};(?:&#[0-9]{2};)*|[0-9]{3};(?:&#[0-9]{3};)*|[xX][0-9a-fA-F]{2};(?:&#[xX][0-9a-fA-F]{2};)*"
    # Browsers pass over leading zeros.
    r"|0{0,64}[0-9]{1,8};?|[xX]0{0,64}[0-9a-fA-F]{1,8};?)|[A-Za-z][A-Za-z0-9]{1,31};)"
)
_ESCAPE = re.compile(
    r"\\(?:[uU][0-9a-fA-F]{4}(?:\\[uU][0-9a-fA-F]{4})*|x[0-9a-fA-F]{2}(?:\\x[0-9a-fA-F]{2})*"
    r"|u\{[0-9a-fA-F]{1,6}\}|[0-3][0-7]{2}|[nrtbfv0\"'`/\\])"
)
_SINGLE = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_TAGS = re.compile("[\U000e0020-\U000e007e]{2,}")
_TAG_BASE = 0xE0000
# Lines of a wrapped block first, then a run within a line.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{60,76}\r?\n)+[A-Za-z0-9+/]+={0,2}|(?<![\w+/-])[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:[2-7][0-9a-fA-F]|0[9aAdD]){8,}")
_URL_SAFE = str.maketrans("-_", "+/", "\r\n")
_FEWEST = 16
# So many characters of base64 hold whole bytes, and whole units of UTF-16.
_GROUP = 8
_SAMPLE, _MOST_ODD = 512, 10
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_HIGHEST = 0x10FFFF
# Forms of "." and "/" that are longer than UTF-8 allows, and that careless decoders accept.
_OVERLONG = ((b"\xc0\xae", b"."), (b"\xc0\xaf", b"/"), (b"\xe0\x80\xae", b"."), (b"\xe0\x80\xaf", b"/"))


def percent(source: View) -> View | None:
    """Undo ``%27`` and ``%u0027``; ``+`` beside them is the blank of a query."""
    builder = Builder("percent", source)
    text, done = source.text, 0
    for match in _PERCENT.finditer(text):
        between = text[done : match.start()]
        builder.put(_unplus(between, first=not done), done, match.start(), 1)
        run, done = match[0], match.end()
        if run[1] in "uU":
            decoded, each = _of_units(bytes.fromhex(run.replace("%u", "").replace("%U", ""))), 6
        else:
            decoded, each = _of_bytes(bytes.fromhex(run.replace("%", ""))), 3
        builder.put(decoded, match.start(), done, each if len(decoded) * each == len(run) else WHOLE)
    if done:
        head, blank, tail = text[done:].partition(" ")
        builder.put(head.replace("+", " ") + blank + tail, done, len(text), 1)
    return builder.view()


def _unplus(between: str, *, first: bool) -> str:
    """Return the text between two escapes: plus signs of the word that is escaped are blanks."""
    if "+" not in between:
        return between
    if first:
        head, blank, tail = between.rpartition(" ")
        return head + blank + tail.replace("+", " ")
    return between if " " in between else between.replace("+", " ")


def entities(source: View) -> View | None:
    """Undo ``&lt;``, ``&#60;`` and ``&#x3c;``."""
    builder = Builder("html", source)
    done = 0
    for match in _ENTITY.finditer(source.text):
        found = match[0]
        if found[1] != "#":
            decoded, step = html5.get(found[1:], ""), WHOLE
        else:
            numbers = _numbers(found)
            decoded, step = "".join(map(_character, numbers)), len(found) // len(numbers)
        if decoded:
            builder.keep(done, match.start())
            builder.put(decoded, match.start(), match.end(), step)
            done = match.end()
    builder.keep(done, len(source.text) if done else 0)
    return builder.view()


def _numbers(found: str) -> list[int]:
    """Return the numbers of numeric entities that are alike in length."""
    if found[2] in "xX":
        return [int(digits, 16) for digits in found.lower().replace("&#x", "").rstrip(";").split(";")]
    return [int(digits) for digits in found.replace("&#", "").rstrip(";").split(";")]


def _character(number: int) -> str:
    """Return the character of a number, and a mark for what is none."""
    return chr(number) if number <= _HIGHEST else "\ufffd"


def escapes(source: View) -> View | None:
    r"""Undo ``\u0027``, ``\x27``, ``\n`` and the like; where they stood is found out when it is asked for."""
    text = _ESCAPE.sub(lambda match: _unescaped(match[0])[0], source.text)
    return None if text == source.text else View("escapes", text, encode(text), (), source, _traced_escapes)


def _traced_escapes(source: View) -> View | None:
    """Undo escapes one by one."""
    builder = Builder("escapes", source)
    done = 0
    for match in _ESCAPE.finditer(source.text):
        builder.keep(done, match.start())
        text, each = _unescaped(match[0])
        done = match.end()
        builder.put(text, match.start(), done, each if len(text) * each == len(match[0]) else WHOLE)
    builder.keep(done, len(source.text) if done else 0)
    return builder.view()


def _unescaped(run: str) -> tuple[str, int]:
    """Return what a run of escapes of one kind stands for, and how long each of them is."""
    kind = run[1]
    if len(run) == 2:  # noqa: PLR2004 - a backslash and one letter
        return _SINGLE.get(kind, kind), 2
    if kind == "x":
        return _of_bytes(bytes.fromhex(run.replace("\\x", ""))), 4
    if kind not in "uU":
        return chr(int(run[1:], 8)), 4
    if run[2] == "{":
        return _character(int(run[3:-1], 16)), len(run)
    return _of_units(bytes.fromhex(run.replace("\\u", "").replace("\\U", ""))), 6


def tags(source: View) -> View | None:
    """Undo the invisible tag characters that mirror ASCII."""
    builder = Builder("escapes", source)
    for match in _TAGS.finditer(source.text):
        plain = "".join(chr(ord(character) - _TAG_BASE) for character in match[0])
        builder.put(plain, match.start(), match.end(), 1)
        builder.put("\n", match.start(), match.end())
    return builder.view()


def base64_runs(source: View) -> View | None:
    """Undo base64: every run of it that holds a text, one a line."""
    return _runs("base64", source, _BASE64, _from_base64)


def hex_runs(source: View) -> View | None:
    """Undo hexadecimal digits: every run of them that holds a text, one a line."""
    return _runs("hex", source, _HEX, bytes.fromhex)


def _runs(name: str, source: View, expression: re.Pattern[str], decode: Callable[[str], bytes]) -> View | None:
    builder = Builder(name, source)
    begins, _ = source.edges()
    for match in expression.finditer(source.text):
        for start, end in _tries(match, is_cut=not begins and not match.start()):
            if (decoded := _readable(decode, source.text[start:end])) is not None:
                builder.put(decoded + "\n", start, end)
                break
    return builder.view()


def _tries(match: re.Match[str], *, is_cut: bool) -> Iterator[tuple[int, int]]:
    """Give the run, and what stands behind its last slash: the run may be the end of a path, or of a longer run."""
    for skipped in range(_GROUP if is_cut else 1):
        yield match.start() + skipped, match.end()
    slash = match[0].rfind("/")
    if slash >= 0 and len(match[0]) - slash > _FEWEST:
        yield match.start() + slash + 1, match.end()


def _from_base64(run: str) -> bytes:
    plain = run.translate(_URL_SAFE).rstrip("=")
    return base64.b64decode(plain[: len(plain) - (len(plain) % 4 == 1)] + "=" * (-len(plain) % 4 % 3))


def _readable(decode: Callable[[str], bytes], run: str) -> str | None:
    """Return the text that a run holds; most runs of such characters are something else and hold none."""
    try:
        data = decode(run)
        # Half of all bytes being zero is how Windows writes ASCII.
        if data[:2] in _MARKS:
            text = data.decode("utf-16")
        elif data[1:2] == b"\0" and not any(data[1::2]):
            text = data[: len(data) & ~1].decode("utf-16-le")
        else:
            # What was cut may begin and end inside a character.
            first = next((at for at, byte in enumerate(data[:4]) if not continues(byte)), 0)
            text, _ = utf_8_decode(data[first:], "strict", False)  # noqa: FBT003 - a function of the library
    except (ValueError, binascii.Error):
        return None
    return text if len(text.strip()) > 1 and _is_text(text[:_SAMPLE]) else None


def _is_text(sample: str) -> bool:
    """Say whether nearly all of a text can be seen: one odd sign must not hide the rest."""
    if sample.isprintable():
        return True
    odd = sum(not (sign.isprintable() or sign.isspace() or category(sign) == "Cf") for sign in sample)
    return odd * _MOST_ODD <= len(sample)


def _of_units(data: bytes) -> str:
    """Return the text of UTF-16 units; pairs of surrogates are one character."""
    return data.decode("utf-16-be", "surrogatepass")


def _of_bytes(data: bytes) -> str:
    """Return the text of some bytes: of UTF-8, or of one byte a character where it is none."""
    if not data.isascii():
        for long, short in _OVERLONG:
            data = data.replace(long, short)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
