"""Log files of started processes."""

from pathlib import Path
from typing import Final

TAIL_BYTES: Final = 65_536


def tail(path: Path, lines: int = 20) -> str:
    """Return the last `lines` lines of `path`, of its last 64 KB at most; nothing when there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def begin_log(path: Path) -> None:
    """Make room for the log of a new run: the previous one is kept beside it as `.1`, older ones go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_name(path.name + ".1"))
