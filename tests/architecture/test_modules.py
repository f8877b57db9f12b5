"""The shape of the code: layers, sizes, names, and what importing it does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import tree

_MOST_LINES = 300
_MOST_LINES_OF_TESTS = 500
_SAYS_NOTHING = {"util", "common", "helper", "misc", "manager", "core", "base", "stuff"}
_IMPORT_ALL = """
import importlib, sys, threading

def refuse(event, arguments):
    if event in {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.fork", "os.mkdir"}:
        raise RuntimeError(f"{module}: {event} {arguments[:2]}")
    if event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1]):
        raise RuntimeError(f"{module}: writes {arguments[0]}")

for module in ("celery.bin.celery", "uvicorn", "hyperscan", *sys.argv[1:]):
    if module == sys.argv[1]:
        sys.addaudithook(refuse)
    importlib.import_module(module)
assert threading.active_count() == 1, threading.enumerate()
"""


def _dotted(path: Path) -> str:
    parts = path.relative_to(tree.ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _public(module: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


def test_the_import_contracts_are_kept() -> None:
    """
    Layers, the engine's purity, SQL in storage only, plug-ins apart, no cycles: import-linter finds nothing broken.
    """
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        check=False, capture_output=True, text=True, cwd=tree.ROOT,
    )  # fmt: skip

    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 broken" in found.stdout


def test_no_module_is_too_long() -> None:
    """
    A module of the product has at most 300 lines, one of its tests at most 500.
    """
    product, tests = tree.python_modules(), list(tree.files(".py", under="tests"))
    most = dict.fromkeys(product, _MOST_LINES) | dict.fromkeys(tests, _MOST_LINES_OF_TESTS)
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in most}

    assert {tree.name(path): count for path, count in lines.items() if count > most[path]} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    """
    There is no ``utils``, ``common``, ``helpers``, ``misc`` or ``manager``, as a module or as a folder.
    """
    modules = [*tree.python_modules(), *tree.files(".py", under="tests")]
    named = {
        tree.name(path): {part.removesuffix("s") for part in path.relative_to(tree.ROOT).with_suffix("").parts}
        for path in modules
    }

    assert [path for path, parts in named.items() if parts & _SAYS_NOTHING] == []


def test_every_module_says_what_it_is() -> None:
    """
    Each module begins with a docstring, and so does each public class and function of the product.
    """
    without = []
    for path in [*tree.python_modules(), *tree.files(".py", under="tests")]:
        module = ast.parse(path.read_text(encoding="utf-8"))
        if ast.get_docstring(module) is None:
            without.append(tree.name(path))
        if not tree.name(path).startswith("pipeline/migrations/"):
            without += [f"{tree.name(path)}: {node.name}" for node in _public(module) if not ast.get_docstring(node)]

    assert without == []


def test_every_test_says_what_it_proves() -> None:
    """
    Each test function has a docstring.
    """
    without = [
        f"{tree.name(path)}: {node.name}"
        for path in tree.files(".py", under="tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and ast.get_docstring(node) is None
    ]

    assert without == []


def test_only_the_engine_module_commits() -> None:
    """
    Nothing but ``transaction()`` begins or ends a transaction.
    """
    found = [
        f"{tree.name(path)}:{node.lineno}"
        for path in tree.python_modules()
        if path != tree.ROOT / "pipeline" / "storage" / "_engine.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"commit", "begin", "rollback"}
    ]

    assert found == []


def test_importing_a_module_does_nothing_else() -> None:
    """
    Every module can be imported without a socket, a process, a thread or a file being made.
    """
    modules = [_dotted(path) for path in tree.python_modules() if "/migrations/" not in tree.name(path)]
    found = subprocess.run(
        [sys.executable, "-B", "-c", _IMPORT_ALL, *modules],
        check=False, capture_output=True, text=True, cwd=tree.ROOT,
    )  # fmt: skip

    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "HACK"])
def test_nothing_is_left_for_later_in_a_comment(word: str) -> None:
    """
    What is left to do is an issue, not a comment.
    """
    modules = [path for path in tree.python_modules() if f"# {word}" in path.read_text(encoding="utf-8")]

    assert [tree.name(path) for path in modules] == []
