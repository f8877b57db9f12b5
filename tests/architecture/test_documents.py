"""What the documents say is so: settings, paths, commands, links, decisions."""

import re
from pathlib import Path

import pytest
from typer import Typer

from deploy.cli import app as command_line
from pipeline.settings import PREFIX
from tests.architecture import settings_page, tree

_DOCUMENTS = tree.documents()
_FOLDERS = "|".join([*tree.PACKAGES, "docs", "tests", "requirements", r"\.ci"])
_QUOTED = re.compile(r"`([a-z_]+/)`|`([\w-]+\.(?:toml|md))`")
_NAMED = re.compile(rf"(?<![\w./:-])((?:{_FOLDERS})/[\w./-]*\w)")
_LINKED = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")
# The data folder's own, and what a reader is told to make.
_NOT_IN_THE_TREE = {"postgres/", "valkey/", "spool/", "logs/", "beat/", "deploy/.env"}
_DECISION = ("Context", "Decision", "Consequences", "Alternatives", "Enforced by")
_WORDS = re.compile(rf"\b{PREFIX}[A-Z_]*[A-Z]\b")


def _paths(document: Path) -> set[Path]:
    """Return the paths that a document names: in its text from the root on, in links from where it stands."""
    text = document.read_text(encoding="utf-8")
    linked = {document.parent / path for path in _LINKED.findall(text)}
    named = {*_NAMED.findall(_LINKED.sub("]()", text)), *filter(None, sum(_QUOTED.findall(text), ()))}
    return linked | {tree.ROOT / path for path in named - _NOT_IN_THE_TREE}


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", _DOCUMENTS, ids=tree.name)
def test_every_path_named_in_a_document_exists(document: Path) -> None:
    """
    A reader who follows a document finds what it names.
    """
    assert [str(path) for path in _paths(document) if not path.exists()] == []


@pytest.mark.parametrize("document", _DOCUMENTS, ids=tree.name)
def test_every_link_to_a_heading_finds_it(document: Path) -> None:
    """
    A link with a fragment leads to a heading that is there.
    """
    links = re.findall(r"\]\(([^)#\s:]*)#([^)]+)\)", document.read_text(encoding="utf-8"))

    assert [link for link in links if link[1] not in _anchors(document.parent / link[0] if link[0] else document)] == []


def test_every_page_of_the_documents_can_be_reached_from_the_readme() -> None:
    """
    No page is left that nobody is led to.
    """
    reached, waiting = set(), [tree.ROOT / "README.md"]
    while waiting:
        document = waiting.pop().resolve()
        if document not in reached and document.suffix == ".md" and document.exists():
            reached.add(document)
            waiting += _paths(document)

    assert [tree.name(page) for page in _DOCUMENTS if page.resolve() not in reached] == []


def test_the_settings_page_is_the_one_that_the_classes_give() -> None:
    """
    Every setting is documented with its default, its bounds and its sentence.
    """
    written = (tree.ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    assert written == settings_page.page(), "run: python -m tests.architecture.settings_page > docs/settings.md"


def test_every_setting_has_a_sentence_and_one_default() -> None:
    """
    A field without a description is refused, and so is one that two processes would fill in differently.
    """
    defaults: dict[str, set[str]] = {}
    for section, name, field in settings_page.fields():
        assert (field.description or "").endswith("."), f"{section.__name__}.{name}"
        defaults.setdefault(name, set()).add(repr(field.default))

    assert {name: found for name, found in defaults.items() if len(found) > 1} == {}


def test_every_environment_variable_is_documented_and_every_documented_one_is_read() -> None:
    """
    No process reads a variable that the documents do not know, and none that they know is read by nobody.
    """
    of_classes = {f"{PREFIX}{name.upper()}" for _, name, _ in settings_page.fields()}
    sources = [
        path.read_text(encoding="utf-8") for path in tree.files(".py", ".yaml", ".example", ".sh", under="deploy")
    ]
    ours = [
        path for folder in ("faults", "integration/pipeline") for path in tree.files(".py", under=f"tests/{folder}")
    ]
    sources += [path.read_text(encoding="utf-8") for path in (*tree.python_modules(), *ours)]
    read = of_classes | {word for source in sources for word in _WORDS.findall(source)}
    pages = "\n".join(page.read_text(encoding="utf-8") for page in _DOCUMENTS)
    written = set(_WORDS.findall(pages)) | set(_WORDS.findall((tree.ROOT / "deploy/.env.example").read_text()))

    assert of_classes - set(_WORDS.findall(pages)) == set()
    assert {word for word in read - written if not word.endswith(("_X", "_FILE"))} == set()
    assert {word for word in written - read if word.removesuffix("_FILE") not in read} == set()


def test_every_make_target_is_helped_and_every_documented_one_exists() -> None:
    """
    ``make`` alone lists every target, and no document names another one.
    """
    makefile = (tree.ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())  # type: ignore[index]
    helped = set(re.findall(r"^([a-z-]+):.*## .", makefile, re.MULTILINE))
    named = {
        target
        for page in [*_DOCUMENTS, tree.ROOT / ".ci" / "run"]
        for target in re.findall(r"(?:^|`)make ([a-z-]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert helped == phony
    assert {"up", "test"} <= named <= helped


def _commands(app: Typer) -> set[str]:
    found = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found |= {str(group.name)} | {f"{group.name} {name}" for name in _commands(group.typer_instance)}
    return found


def test_every_sentinel_command_named_in_a_document_exists() -> None:
    """
    What a document says to type is a command.
    """
    known, wrong = _commands(command_line), set()
    for page in _DOCUMENTS:
        for first, second in re.findall(
            r"(?:^|`|bin/)sentinel ([a-z]+)(?: ([a-z]+))?", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            has_own = any(name.startswith(f"{first} ") for name in known)
            if first not in known or (has_own and second and f"{first} {second}" not in known):
                wrong.add((tree.name(page), first, second))

    assert wrong == set()


@pytest.mark.parametrize("decision", sorted((tree.ROOT / "docs" / "adr").glob("*.md")), ids=tree.name)
def test_a_decision_has_its_five_headings(decision: Path) -> None:
    """
    Context, decision, consequences, alternatives, and what enforces it, in this order.
    """
    text = decision.read_text(encoding="utf-8")

    assert re.match(r"\d{4}-[a-z0-9-]+\.md$", decision.name)
    assert text.startswith(f"# {decision.name[:4]} ")
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == _DECISION


def test_decisions_are_numbered_without_gaps() -> None:
    """
    A number is given once, and none is missing.
    """
    numbers = sorted(int(path.name[:4]) for path in (tree.ROOT / "docs" / "adr").glob("*.md"))

    assert numbers == list(range(1, len(numbers) + 1))
