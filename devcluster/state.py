"""Where a devcluster keeps its state, files there that are never half written, and the one lock that keeps two commands apart."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devcluster.progress import say


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of this machine's devcluster."""
    return base_directory("XDG_STATE_HOME", ".local/state", environment) / "chatbot-devcluster"


def cache_folder() -> Path:
    """Return the folder of the built binaries."""
    return base_directory("XDG_CACHE_HOME", ".cache") / "chatbot-devcluster"


def base_directory(variable: str, default: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Return a folder as the XDG base directory specification says: a relative one is to be ignored."""
    given = Path(environment.get(variable, ""))
    return given if given.is_absolute() else Path(environment.get("HOME") or "~").expanduser() / default


def write_private(path: Path, content: bytes) -> Path:
    """Write a file that only its owner can read, whole or not at all, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return whole.replace(path)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; wait for it, saying so, while another process holds it. The kernel frees it when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            say(f"waiting for process {file.read().strip() or '?'}, which works on {folder}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
