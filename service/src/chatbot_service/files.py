"""Small files that change while we run, and the system prompt, which is one.

kubelet swaps a mounted Secret or ConfigMap by renaming a symbolic link: a file has changed when another one stands in its place.
"""

from pathlib import Path

import structlog

MAX_FILE_BYTES = 1024 * 1024

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class WatchedFile:
    """A small file and whether it changed since it was last read."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._seen: object = object()

    def changed(self) -> bool:
        """Whether the file is another one than at the last call; the first call says yes."""
        before, self._seen = self._seen, self._signature()
        return self._seen != before

    def read(self) -> bytes | None:
        """Return the content, or None when there is no readable file of a sensible size."""
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError:
            return None
        return content if len(content) <= MAX_FILE_BYTES else None

    def _signature(self) -> object:
        try:
            status = self._path.stat()
        except OSError:
            return None
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
