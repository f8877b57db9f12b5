"""The commands that need no server: ``scan``, and ``rules list``, ``check``, ``test`` and ``explain``."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from detection.compiler import RuleSet
    from detection.errors import RuleError
    from detection.event import Event

UNUSABLE = 2
"""Exit status for input that cannot be used."""

rules_app = typer.Typer(help="Look at detection rules, check them, and run their own tests.", no_args_is_help=True)

_Packs = Annotated[
    list[Path] | None,
    typer.Option("--packs", metavar="DIR", help="Folder of rule packs to use instead of the shipped ones."),
]
_Site = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of packs to add; its rules replace those of the same id.")
]
_Overrides = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File that turns rules off, grades them, or makes exceptions.")
]
_Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH]...", help="Rule packs, or folders of them; the shipped ones if none."),
]


def scan(
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="Events, one JSON object a line; - is standard input.")
    ] = "-",
    packs: _Packs = None,
    site: _Site = None,
    overrides: _Overrides = None,
) -> None:
    """Judge events without a server: one JSON event a line in, one verdict a line out, in the same order.

    Exits 0 whatever the verdicts are, and 2 where the input or the rules cannot be used.
    """
    from detection.scanner import Scanner  # noqa: PLC0415 - the engine takes longer to import than help to print

    scanner = Scanner(_load(packs, site, overrides))
    out = sys.stdout
    try:
        with _open(file) as lines:
            for event in _events(file, lines):
                out.write(_json(scanner.scan(event).as_dict()) + "\n")
        out.flush()
    except BrokenPipeError:
        # The reader has seen enough. Python would complain when it closes the pipe at exit.
        sys.stderr.close()


@rules_app.command("list")
def list_rules(packs: _Packs = None, site: _Site = None, overrides: _Overrides = None) -> None:
    """List the rules with their severity, pack and title."""
    for rule in _load(packs, site, overrides).rules:
        typer.echo(f"{rule.severity.label:<13} {rule.pack:<12} {rule.id:<28} {rule.title}")


@rules_app.command("check")
def check_rules(
    paths: _Paths = None,
    site: _Site = None,
    overrides: _Overrides = None,
    cost: Annotated[bool, typer.Option("--cost", help="Time each rule too, list them, refuse slow ones.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Check rule packs, and tell everything that is wrong with them at once."""
    rule_set = _admit(paths, site, overrides)
    if cost:
        _time(rule_set)
    typer.echo(f"{_count(len(rule_set.rules), 'rule')}, nothing wrong; rule set {rule_set.version}")


@rules_app.command("test")
def try_rules(paths: _Paths = None) -> None:
    """Run the tests that the rules carry: attacks that must match, and benign twins that must not."""
    rule_set = _admit(paths)
    tests = [test for rule in rule_set.rules for test in rule.tests]
    attacks = sum(test.attack for test in tests)
    counted = f"{_count(attacks, 'attack')} and {_count(len(tests) - attacks, 'benign twin')}"
    typer.echo(f"{_count(len(rule_set.rules), 'rule')}: {counted}, all as expected")


@rules_app.command("explain")
def explain_text(
    text: Annotated[str, typer.Argument(metavar="TEXT|FILE|-", help="A text, a file that holds one, or - .")],
    field: Annotated[str, typer.Option(help="The field it stands in.")] = "prompt",
    tool: Annotated[str, typer.Option(help="The tool that was called.")] = "",
    packs: _Packs = None,
    site: _Site = None,
    overrides: _Overrides = None,
) -> None:
    """Explain a verdict: which views were made of the text, which patterns hit, and why it came out so."""
    import msgspec  # noqa: PLC0415 - as above

    from detection.event import Event  # noqa: PLC0415 - as above
    from detection.explaining import explain  # noqa: PLC0415 - as above
    from detection.rule import FIELDS  # noqa: PLC0415 - as above
    from detection.scanner import Scanner  # noqa: PLC0415 - as above

    if field not in FIELDS:
        _refuse(f"no field is called {field!r}: {', '.join(FIELDS)}")
    blank = Event(timestamp="", user="", agent="", tool=tool, prompt="", response="")
    event = msgspec.structs.replace(blank, **{field: _text(text)})
    for line in explain(Scanner(_load(packs, site, overrides)), event):
        typer.echo(line.encode("utf-8", "backslashreplace"))


def _text(given: str) -> str:
    """Return the text that is meant: what a file or standard input holds, or the words themselves."""
    try:
        if given == "-":
            return sys.stdin.buffer.read().decode("utf-8", "replace")
        path = Path(given)
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else given
    except (OSError, ValueError):
        # A text can be too long, or too odd, for the name of a file.
        return given


def _time(rule_set: "RuleSet") -> None:
    """List what each rule costs, and exit 1 where one costs too much."""
    from detection.cost import costs, too_dear  # noqa: PLC0415 - as above

    measured = costs(rule_set)
    for each in measured:
        typer.echo(f"{each.microseconds:7.1f} µs  {each.rule.id}")
    _fail_for(list(too_dear(rule_set, measured)))


def _admit(paths: list[Path] | None, site: Path | None = None, overrides: Path | None = None) -> "RuleSet":
    """Return the rules of those packs, or name every mistake and exit 1."""
    from detection.admission import SHIPPED_PACKS, admit  # noqa: PLC0415 - as above
    from detection.cache import cached_in  # noqa: PLC0415 - as above

    with cached_in(_cache()):
        rule_set, errors = admit(paths or [SHIPPED_PACKS], site=site, overrides=overrides)
    _fail_for(errors)
    return rule_set


def _cache() -> Path:
    """Return where these commands keep what they compile: where the servers do, if that is set, or with the user."""
    named = os.environ.get("SENTINEL_RULE_CACHE")
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(caches) / "mcp-sentinel" / "rules"


def _fail_for(errors: "list[RuleError]") -> None:
    """Name every mistake and exit 1; without any do nothing."""
    from detection.errors import RuleErrors  # noqa: PLC0415 - as above

    if not errors:
        return
    wrong = RuleErrors(errors)
    typer.echo(str(wrong), err=True)
    typer.echo(_count(len(wrong.errors), "error"), err=True)
    raise typer.Exit(1)


def _load(packs: list[Path] | None, site: Path | None = None, overrides: Path | None = None) -> "RuleSet":
    """Return the rule set, or say what is wrong with the packs and exit."""
    from detection.admission import load_rule_set  # noqa: PLC0415 - as above
    from detection.errors import RuleErrors  # noqa: PLC0415 - as above

    try:
        return load_rule_set(*packs or (), cache=_cache(), site=site, overrides=overrides)
    except RuleErrors as error:
        _refuse(str(error))


def _open(file: str) -> IO[bytes]:
    """Return the input."""
    try:
        return sys.stdin.buffer if file == "-" else Path(file).open("rb")
    except OSError as error:
        _refuse(f"{file}: {error.strerror}")


def _events(file: str, lines: IO[bytes]) -> Iterator["Event"]:
    """Give the event of every line that is not blank, as far as they can be read."""
    import msgspec  # noqa: PLC0415 - as above

    from detection.event import Event  # noqa: PLC0415 - as above

    decoder = msgspec.json.Decoder(Event)
    name = "standard input" if file == "-" else file
    try:
        for number, line in enumerate(lines, 1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
            if not text:
                continue
            try:
                yield decoder.decode(text)
            except UnicodeDecodeError as error:
                _refuse(f"{name}:{number}: not UTF-8: {error.reason}")
            except (msgspec.DecodeError, RecursionError) as error:
                _refuse(f"{name}:{number}: {error}")
    except OSError as error:
        _refuse(f"{name}: {error.strerror}")


def _json(document: dict[str, object]) -> str:
    """Return a document on one line, in ASCII, so that every text can be written to every terminal and file."""
    import json  # noqa: PLC0415 - as above

    return json.dumps(document, separators=(",", ":"))


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _refuse(message: str) -> NoReturn:
    """Say what cannot be used, and exit."""
    sys.stdout.flush()
    typer.echo(message, err=True)
    raise typer.Exit(UNUSABLE)
