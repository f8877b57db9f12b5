"""A forked child is what the same program would be if it had been started anew."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# A launcher with what a launcher has: a loop with handlers, open files, settings, something loaded.
LAUNCHER = """
import asyncio, gc, os, signal, socket, sys, weakref
from pathlib import Path
from deploy import forking
from deploy.process import ProcessSpec

class Garbage:
    pass

async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, print, "the launcher was told")
    kept, closed = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    reading, writing = os.pipe()
    gc.disable()
    garbage = Garbage()
    garbage.itself, gone = garbage, weakref.ref(garbage)
    del garbage
    spec = ProcessSpec(
        name="child", argv=(sys.executable, "-P", "-m", "childish", *sys.argv[1:], str(kept.fileno())),
        env={"PYTHONPATH": os.environ["PYTHONPATH"], "OURS": "yes"}, module="childish",
        cwd=Path("nowhere") if sys.argv[1] == "chdir" else Path.cwd(),
        loads=("broken" if sys.argv[1] == "load" else "colorsys",), keep_open=(kept.fileno(),),
    )
    child = forking.run(spec, writing, keep_open=())
    os.close(writing)
    assert gone() is None, "garbage was frozen"
    if sys.argv[1] == "sleep":
        os.read(reading, 1)
        child.send_signal(signal.SIGTERM)
    status = child.wait()
    with os.fdopen(reading) as said:
        print(said.read(), status)
    await asyncio.sleep(0)

asyncio.run(main())
"""
CHILD = """
import asyncio, json, os, signal, sys, time

if sys.argv[1] == "tell":
    async def loop(): return True
    print(json.dumps({
        "arguments": sys.argv[1:], "env": dict(os.environ), "name": open("/proc/self/comm").read().strip(),
        "files": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")),
        "leads": os.getsid(0) == os.getpid(), "loop": asyncio.run(loop()), "loaded": "colorsys" in sys.modules,
        "main": sys.modules["__main__"].__file__,
    }))
elif sys.argv[1] == "exit":
    sys.exit("with these words")
elif sys.argv[1] == "load":
    import broken
elif sys.argv[1] == "fail":
    raise ValueError("by a mistake")
else:
    print("awake", flush=True)
    time.sleep(60)
"""


def launch(folder: Path, *arguments: str) -> str:
    """Run the launcher, which forks the child, and return what both said and how the child ended."""
    (folder / "childish.py").write_text(CHILD, encoding="utf-8")
    (folder / "broken.py").write_text("def broken(:", encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "THEIRS": "no"}
    ran = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *arguments], capture_output=True, text=True, timeout=60, env=env, check=True
    )
    return ran.stdout + ran.stderr


def test_it_has_its_own_settings_files_and_session(tmp_path: Path) -> None:
    """It sees its own environment and arguments, no file of the launcher's but those named, and has what was loaded."""
    said, _, status = launch(tmp_path, "tell").rpartition("\n ")
    told = json.loads(said)

    assert status.strip() == "0"
    assert told["arguments"][0] == "tell"
    assert told["env"] == {"OURS": "yes", "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    assert told["files"] == [0, 1, 2, int(told["arguments"][1])]
    assert told["main"] == str(tmp_path / "childish.py")
    assert told["name"] == "child"
    assert told["leads"]
    assert told["loop"]
    assert told["loaded"]


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("exit", "with these words"),
        ("fail", "ValueError: by a mistake"),
        ("load", "SyntaxError: "),
        ("chdir", "FileNotFoundError: "),
    ],
)
def test_its_end_is_told_and_goes_no_further(tmp_path: Path, way: str, words: str) -> None:
    """
    Words on which it exits, and errors, also before its program runs, are in its output, its status is 1, and the
    launcher goes on once.
    """
    said = launch(tmp_path, way)

    assert said.count(words) == 1
    assert said.endswith(" 1\n")


def test_a_signal_reaches_it_and_not_the_launcher(tmp_path: Path) -> None:
    """SIGTERM ends it although the launcher handles that signal, and the launcher is not told."""
    assert launch(tmp_path, "sleep").split() == ["wake", "-15"]
