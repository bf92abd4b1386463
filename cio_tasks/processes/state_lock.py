"""One run at a time in a state folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cio_tasks.errors import EmbeddedError, StateInUse


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the length of the context; its folder is made when missing.

    The kernel gives the lock back when its holder dies, however it dies. The file stays: deleting it could let two in.

    Raises:
        StateInUse: another process holds it; the message says which.
        EmbeddedError: nothing can be written there.
    """
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(path) from None
        try:
            _sign(file)
            yield
        finally:
            # Said aloud, since a forked copy of this process would keep the lock by merely keeping the file open.
            fcntl.flock(file, fcntl.LOCK_UN)


def _opened(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise EmbeddedError(
            f"cannot write in the state folder {path.parent}",
            hint="if it belongs to another user, delete it, or give another folder",
        ) from error


def _sign(file: IO[str]) -> None:
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()


def _in_use(path: Path) -> StateInUse:
    text = path.read_text().strip()
    holder = f"process {text}" if text.isdecimal() else "another process"
    return StateInUse(
        f"the state folder {path.parent} is in use by {holder}",
        hint="end that one first, or give another state folder",
        pid=int(text) if text.isdecimal() else None,
    )
