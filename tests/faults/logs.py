"""What every operator of a session has written into its log since one last looked."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.api.operator_process import LOG_NAMES, complaints


@dataclass
class UnreadLogs:
    """Remembers up to where each log was read."""

    _read_bytes: Counter[Path] = field(default_factory=Counter)

    def complaints(self, directory: Path) -> list[str]:
        """Return every new line, of any log below `directory`, that speaks of a defect."""
        return [line for log in sorted(directory.rglob(LOG_NAMES)) for line in complaints(self._new_lines(log))]

    def _new_lines(self, log: Path) -> list[str]:
        """Return the lines that ended since the last time; one that is being written is left for the next."""
        with log.open("rb") as file:
            file.seek(self._read_bytes[log])
            new = file.read()
        ended = new[: new.rfind(b"\n") + 1]
        self._read_bytes[log] += len(ended)
        return ended.decode().splitlines()
