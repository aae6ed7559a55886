"""Small files that change while we run, and the system prompt, which is one.

kubelet swaps a mounted Secret or ConfigMap by renaming a symbolic link: a file is read again when another one stands in its place.
"""

import errno
from hashlib import sha256
from pathlib import Path

import structlog

MAX_FILE_BYTES = 1024 * 1024

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class WatchedFile:
    """A small file, and whether it holds something new. What it held is known by its hash alone, since it may be secret.

    A file that is replaced by its like has not changed: kubelet replaces all files of a Secret when one of them does. One that cannot
    be read, which may be for want of descriptors, is as good as none and tried again at the next call; the log says why it cannot.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._seen: tuple[int, ...] | None = None
        self._digest: object = object()
        self._content: bytes | None = None
        self._told: int | None = None

    def changed(self) -> bool:
        """Whether the content is another one than at the last call; the first call says yes."""
        try:
            seen = self._signature()
            if seen == self._seen:
                return False
            self._content, self._seen = self._load(), seen
            self._told = None
        except OSError as error:
            self._content = self._seen = None
            self._tell(error)
        before, self._digest = self._digest, sha256(self._content).digest() if self._content is not None else None
        return self._digest != before

    def read(self) -> bytes | None:
        """Hand over the content of the last change, or None when there was no readable file of a sensible size."""
        content, self._content = self._content, None
        return content

    def _load(self) -> bytes | None:
        with self._path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            log.warning("file is too large", path=str(self._path), most_bytes=MAX_FILE_BYTES)
            return None
        return content

    def _tell(self, error: OSError) -> None:
        """Log once why the file cannot be read; whether it may be missing is for those to judge who want it."""
        if error.errno not in (errno.ENOENT, self._told):
            log.warning("file cannot be read", path=str(self._path), error=error.strerror)
        self._told = error.errno

    def _signature(self) -> tuple[int, ...]:
        status = self._path.stat()
        return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size


class SystemPrompt:
    """The instructions that precede every conversation; a file that goes away or breaks leaves the last good ones."""

    def __init__(self, file: WatchedFile | None) -> None:
        self._file = file
        self.text: str | None = None

    def refresh(self) -> bool:
        """Read the file again if it changed; returns whether there is a prompt, or none is asked for."""
        if self._file is not None and self._file.changed():
            self._take(parse_prompt(self._file.read()))
        return self._file is None or self.text is not None

    def _take(self, text: str | None) -> None:
        before, self.text = self.text, text if text is not None else self.text
        if before is not None and text is None:
            log.warning("system prompt cannot be read, keeping the last one")
        elif before not in (None, text):
            log.info("system prompt changed")


def parse_prompt(content: bytes | None) -> str | None:
    """Return the text in `content`, or None when there is none or it is not UTF-8."""
    try:
        return content.decode() if content is not None else None
    except UnicodeDecodeError:
        return None
