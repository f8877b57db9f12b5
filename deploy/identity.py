"""Running PostgreSQL when we are root, which it refuses: no user is made, and no folder's mode is changed.

Two ways, the first that works is taken:

* a user namespace that maps one user id to root's: files stay root's, folders closed to others stay usable. Containers
  often forbid it, and it cannot pass folders that belong to somebody else and are closed.
* the user ``nobody``, who keeps the one capability of passing closed folders; the data folder becomes his.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_INNER = 1000
_NOBODY = 65534
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a server runs as.

    Attributes:
        owner: user and group id that its data folder must have, as this process sees them; None changes nothing.
        become: what the child runs to take the identity; None when there is nothing to do.
    """

    owner: tuple[int, int] | None = None
    become: Callable[[], None] | None = None

    def own(self, folder: Path) -> None:
        """Give a data folder to this identity, where it is not his already."""
        if self.owner is None or (folder.stat().st_uid, folder.stat().st_gid) == self.owner:
            return
        for parent, _, files in os.walk(folder, topdown=False):
            for name in files:
                os.lchown(Path(parent, name), *self.owner)
            os.lchown(parent, *self.owner)


def candidates() -> tuple[Identity, ...]:
    """Return the identities that a server may take here, the best first."""
    if os.geteuid() != 0:
        return (Identity(),)
    nobody = Identity((_NOBODY, _NOBODY), _become_nobody)
    return (Identity((0, 0), _enter_namespace), nobody) if sys.platform == "linux" else (nobody,)


def choose(program: Path, data: Path) -> Identity:
    """Return the first identity that may run ``program`` and reach the folder in which ``data`` lies."""
    *preferred, last = candidates()
    return next((identity for identity in preferred if _works(identity, program, data)), last)


def _works(identity: Identity, program: Path, data: Path) -> bool:
    def setup() -> None:
        if identity.become is not None:
            identity.become()
        next(data.parent.iterdir(), None)

    try:
        tried = subprocess.run(
            [program, "--version"],
            check=False,
            capture_output=True,
            preexec_fn=setup,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0


def _enter_namespace() -> None:
    """Become an ordinary user inside a namespace whose files, seen from outside, are still root's."""
    uid, gid = os.getuid(), os.getgid()
    if _LIBC.unshare(_CLONE_NEWUSER) != 0:
        raise PermissionError(ctypes.get_errno(), "user namespaces are not to be had")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{_INNER} {uid} 1")
    _write("/proc/self/gid_map", f"{_INNER} {gid} 1")
    os.setgid(_INNER)
    os.setuid(_INNER)


def _become_nobody() -> None:
    """Become ``nobody``, able to pass closed folders."""
    os.setgroups([])
    os.setgid(_NOBODY)
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(_NOBODY)
    if sys.platform == "linux":
        _keep_passing_folders()


def _keep_passing_folders() -> None:
    # Ambient capabilities are the kind that survives exec of an ordinary program; they must be inheritable first.
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    bit = 1 << _CAP_DAC_OVERRIDE
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    if _LIBC.capset(header, sets) == 0:
        _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
