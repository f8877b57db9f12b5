"""What is installed and shipped: pinned, explained, and free of any one machine."""

import re
import tomllib
from typing import Any

import pytest

from tests.architecture import tree

_PROJECT: dict[str, Any] = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_LOCKS = ("run", "dev", "bench", "fuzz")
# Written so that it does not find itself.
_MACHINE = re.compile(r"(?<![\w.{}$])/(?:work|root|Users|home/[a-z]+|mnt|workspace)/[\w.-]+|[A-Z]:\\Users\\")
_TEXT = (".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".sh", ".lua", ".sql", ".html", ".css", ".js", ".svg", ".mako")


def _lock(name: str) -> str:
    return (tree.ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def _entries(lock: str) -> list[str]:
    lines = [line for line in lock.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    return lines


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==([^\s;\\]+)", lock, re.MULTILINE))


@pytest.mark.parametrize("name", _LOCKS)
def test_every_requirement_is_pinned_by_version_and_hash(name: str) -> None:
    """
    An installation takes the very files that were tested.
    """
    pinned = re.compile(r"[a-z0-9][a-z0-9._\[\],-]*==\S+ .*--hash=sha256:[0-9a-f]{64}")

    assert [entry for entry in _entries(_lock(name)) if not pinned.match(entry)] == []


@pytest.mark.parametrize("name", _LOCKS)
def test_a_lock_names_no_registry(name: str) -> None:
    """
    Where packages come from is the machine's business, not the project's.
    """
    assert re.findall(r"(?m)^\s*-.*|://|--index|--find-links| @ ", re.sub(r"\s--hash=\S+", "", _lock(name))) == []


def test_both_locks_agree() -> None:
    """
    What runs under test is what runs.
    """
    run, dev = _pins(_lock("run")), _pins(_lock("dev"))

    assert {name: pin for name, pin in run.items() if dev.get(name) != pin} == {}


def test_every_dependency_is_in_the_lock_and_has_a_reason() -> None:
    """
    Each line of the dependencies says why it is there, and the lock has it.
    """
    text = (tree.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pins = _pins(_lock("run"))

    for requirement in _PROJECT["project"]["dependencies"]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert name is not None
        assert name[0].lower() in pins, requirement
        assert re.search(rf'"{re.escape(requirement)}",\s+# \S+', text), f"{requirement} has no reason"


def test_every_ignored_rule_of_the_linter_has_a_reason() -> None:
    """
    Nothing is switched off for all files without saying why.
    """
    text = (tree.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^ignore = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block is not None

    assert [line for line in block[1].splitlines() if not re.search(r"# \S+", line)] == []


def test_every_package_is_shipped() -> None:
    """
    The wheel has every package of the layers, and the import contracts know each.
    """
    assert sorted(_PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(tree.PACKAGES)
    assert sorted(_PROJECT["tool"]["importlinter"]["root_packages"]) == sorted(tree.PACKAGES)


def test_no_file_names_a_place_on_one_machine() -> None:
    """
    No absolute path of anybody's machine is in the tree.
    """
    found = {}
    for path in tree.files():
        if path.suffix in _TEXT or not path.suffix:
            places = _MACHINE.findall(path.read_text(encoding="utf-8", errors="replace"))
            if places:
                found[tree.name(path)] = places

    assert found == {}


def test_images_of_the_documents_are_light() -> None:
    """
    A picture that is fetched with every clone has less than 300 kB.
    """
    pictures = list(tree.files(".png", ".svg", under="docs"))

    assert pictures
    assert [tree.name(path) for path in pictures if path.stat().st_size > 300_000] == []
