"""A long text is judged in pieces: nothing in it is hidden by where it stands, and no edge of a piece is an end."""

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest

from detection import Finding, Scanner, load_rule_set
from detection.views import LONGEST, SHARED, pieces, raw
from tests.unit.detection.conftest import event

Finds = Callable[[str, str], list[Finding]]
FILLER = "plain words, again and again; "
LENGTH = 3 * LONGEST
EDGES = [LONGEST - SHARED, LONGEST, 2 * LONGEST - SHARED, 2 * (LONGEST - SHARED)]


@pytest.fixture
def finds(write_pack: Callable[..., Path]) -> Finds:
    """Give a function that says what one rule of these patterns finds in a response."""

    def find(patterns: str, text: str) -> list[Finding]:
        folder = write_pack(patterns, "the walrus", ("fields: [prompt]", "fields: [prompt, response]"))
        return list(Scanner(load_rule_set(folder)).scan(event(response=text)).findings)

    return find


def _filled(length: int, filler: str = FILLER) -> str:
    return (filler * (length // len(filler) + 1))[:length]


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("shift", [-600, -17, -10, -5, 0, 5, 17])
def test_a_match_is_found_wherever_it_stands(finds: Finds, edge: int, shift: int) -> None:
    """
    Around every edge of a piece, what is found points at its place in the field.
    """
    text = _filled(LENGTH)
    at = edge + shift
    text = f"{text[:at]} the walrus {text[at:]}"

    (found,) = finds("{name: {contains: the walrus}}", text)

    assert (found.start, found.end) == (at + 1, at + 11)


@pytest.mark.parametrize("filler", [FILLER, "x", "0123456789", "é ", "日本語", "{[("])
def test_pieces_are_the_whole_text(filler: str) -> None:
    """
    They begin and end where the text does, none is too long, and each holds the end of the one before.
    """
    field = raw(_filled(LENGTH, filler))
    spans = [piece.span(0, len(piece.data)) for piece in pieces(field)]

    assert (spans[0][0], spans[-1][1]) == (0, LENGTH)
    assert all(end - start <= LONGEST for start, end in spans)
    assert all(end - start >= SHARED for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize("expression", [r"^\W*the walrus", r"the walrus\W*$"])
def test_the_edge_of_a_piece_is_no_end_of_the_text(finds: Finds, expression: str) -> None:
    """
    A text that holds the word everywhere, but for its ends, does not begin or end with it.
    """
    patterns = f"{{name: {{regex: '{expression}', means: it}}}}"
    middle = "the walrus " * (LENGTH // 11)

    assert not finds(patterns, f"well, {middle}, well")
    assert finds(patterns, f"{middle}{FILLER}" if "^" in expression else f"{FILLER}{middle}")


def test_an_edge_hides_no_match_behind_it(finds: Finds) -> None:
    """
    What may stand at the beginning or behind a sign is found behind the sign though a piece begins with it too.
    """
    text = f"well, {'the walrus ' * (LENGTH // 11)}"
    at = text.index("the walrus", 2 * LONGEST)
    text = f"{text[:at]}! {text[at:]}"

    (found,) = finds(r"{name: {regex: '(?:^|!)\s?the walrus', means: it}}", text)

    assert text[: found.end].endswith("! the walrus")


@pytest.mark.parametrize("language", ["plain words of a file ", "слова на другом языке ", "日本語の文章です "])
@pytest.mark.parametrize("before", ["", "data:", "see the file: "])
def test_a_run_longer_than_a_piece_is_decoded_to_its_end(finds: Finds, language: str, before: str) -> None:
    """
    Wherever the run is cut, what it holds is read, though a cut falls inside a character.
    """
    inside = language * (LENGTH // len(language.encode()))
    for extra in range(3):
        run = base64.b64encode(f"{'.' * extra}{inside} the walrus {inside}".encode()).decode()

        assert [found.view for found in finds("{name: {contains: the walrus}}", before + run)] == ["base64"]


def test_no_number_of_encoded_runs_hides_the_next(finds: Finds) -> None:
    """
    Tens of thousands of escapes before it do not hide a word that is escaped too.
    """
    text = f"{quote('é') * 20_000} {''.join(f'%{ord(sign):02x}' for sign in 'the walrus')}"

    assert [found.view for found in finds("{name: {contains: the walrus}}", text)] == ["percent"]


def test_no_number_of_values_hides_the_next(finds: Finds) -> None:
    """
    Tens of thousands of other values before it do not hide one.
    """
    text = " ".join(f'"{number}"' for number in range(20_000))

    (found,) = finds("{name: {regex: '^the walrus$', means: it, on: candidate}}", f'{text} "the walrus"')

    assert found.start == len(text) + 2


@pytest.mark.parametrize("inside", ["plain words and more plain words", "plain words and more plain words ", "a, b"])
def test_quotes_that_a_cut_divides_turn_no_value_inside_out(finds: Finds, inside: str) -> None:
    """
    Wherever in a long line of JSON a piece begins, each value behind that place is a value.
    """
    filler = json.dumps({"name": inside, "note": inside})
    for at in range(0, 3 * LONGEST // len(filler), 7):
        texts = [filler] * (3 * LONGEST // len(filler))
        texts[at] = '"the walrus"'

        assert finds("{name: {regex: '^the walrus$', means: it, on: candidate}}", f"[{', '.join(texts)}]"), at


@pytest.mark.parametrize("width", [0, 60, 62, 70, 75, 76])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("before", ["", "x=", "powershell -enc "])
def test_a_long_run_is_read_however_it_is_wrapped(finds: Finds, width: int, encoding: str, before: str) -> None:
    """
    What a run holds is read to its end, in lines or without, in the writing of Windows too.
    """
    inside = "plain words " * (LENGTH // 24)
    run = base64.b64encode(f"{inside} the walrus {inside}".encode(encoding)).decode()
    lines = "\n".join(run[at : at + width] for at in range(0, len(run), width)) if width else run

    assert finds("{name: {contains: the walrus}}", before + lines)


def test_what_is_decoded_has_ends_of_its_own(finds: Finds) -> None:
    """
    A run that is decoded begins a text, in a later piece as in the first.
    """
    run = base64.b64encode(b"the walrus and more of it").decode()

    (found,) = finds(r"{name: {regex: '(?:^|[;|])\s*the walrus', means: it}}", _filled(LENGTH) + run)

    assert found.view == "base64"


def test_a_line_may_begin_where_a_piece_does(finds: Finds) -> None:
    """
    An expression that asks for the beginning of a line finds it in any piece.
    """
    assert finds("{name: {regex: '(?m)^the walrus', means: it}}", "plain words\n" * (LENGTH // 12) + "the walrus\n")


def test_blanks_make_no_text_long(finds: Finds) -> None:
    """
    A value is the whole field though thousands of blanks stand around it.
    """
    assert finds("{name: {equals: the walrus}}", f"{' ' * LENGTH}the walrus{' ' * LENGTH}")
