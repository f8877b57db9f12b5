"""The commands about rules, which need no server: ``rules list``, ``check``, ``test`` and ``explain``."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from detection.compiler import RuleSet
    from detection.errors import RuleError

UNUSABLE = 2
"""Exit status for input that cannot be used."""

rules_app = typer.Typer(help="Look at detection rules, check them, and run their own tests.", no_args_is_help=True)

Packs = Annotated[
    list[Path] | None,
    typer.Option("--packs", metavar="DIR", help="Folder of rule packs to use instead of the shipped ones."),
]
Site = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of packs to add; its rules replace those of the same id.")
]
Overrides = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File that turns rules off, grades them, or makes exceptions.")
]
_Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH]...", help="Rule packs, or folders of them; the shipped ones if none."),
]


@rules_app.command("list")
def list_rules(packs: Packs = None, site: Site = None, overrides: Overrides = None) -> None:
    """List the rules with their severity, pack and title."""
    for rule in load(packs, site, overrides).rules:
        typer.echo(f"{rule.severity.label:<13} {rule.pack:<12} {rule.id:<28} {rule.title}")


@rules_app.command("check")
def check_rules(
    paths: _Paths = None,
    site: Site = None,
    overrides: Overrides = None,
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
    packs: Packs = None,
    site: Site = None,
    overrides: Overrides = None,
) -> None:
    """Explain a verdict: which views were made of the text, which patterns hit, and why it came out so."""
    import msgspec  # noqa: PLC0415 - as above

    from detection.event import Event  # noqa: PLC0415 - as above
    from detection.explaining import explain  # noqa: PLC0415 - as above
    from detection.rule import FIELDS  # noqa: PLC0415 - as above
    from detection.scanner import Scanner  # noqa: PLC0415 - as above

    if field not in FIELDS:
        refuse(f"no field is called {field!r}: {', '.join(FIELDS)}")
    blank = Event(timestamp="", user="", agent="", tool=tool, prompt="", response="")
    event = msgspec.structs.replace(blank, **{field: _text(text)})
    for line in explain(Scanner(load(packs, site, overrides)), event):
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


def load(packs: list[Path] | None, site: Path | None = None, overrides: Path | None = None) -> "RuleSet":
    """Return the rule set, or say what is wrong with the packs and exit."""
    from detection.admission import load_rule_set  # noqa: PLC0415 - as above
    from detection.errors import RuleErrors  # noqa: PLC0415 - as above

    try:
        return load_rule_set(*packs or (), cache=_cache(), site=site, overrides=overrides)
    except RuleErrors as error:
        refuse(str(error))


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def refuse(message: str) -> NoReturn:
    """Say what cannot be used, and exit."""
    sys.stdout.flush()
    typer.echo(message, err=True)
    raise typer.Exit(UNUSABLE)
