"""A mounted Secret or ConfigMap as kubelet keeps it: files that link through `..data` into a directory of this moment's content."""

import shutil
from itertools import count
from pathlib import Path


class MountedSecret:
    """The directory that a container sees. Source: k8s.io/kubernetes/pkg/volume/util, AtomicWriter."""

    def __init__(self, directory: Path, **files: str) -> None:
        self._directory = directory
        self._numbers = count()
        self.swap(**files)
        for name in files:
            self.path(name).symlink_to(Path("..data") / name)

    def path(self, name: str) -> Path:
        """Return where a container finds the file `name`."""
        return self._directory / name

    def swap(self, **files: str) -> None:
        """Replace every file at once, by one rename."""
        data = self._directory / "..data"
        before = data.resolve() if data.exists() else None
        content = self._directory / f"..2026_11_22_{next(self._numbers)}"
        content.mkdir()
        for name, text in files.items():
            (content / name).write_text(text)
        (self._directory / "..data_tmp").symlink_to(content.name)
        (self._directory / "..data_tmp").rename(data)
        if before is not None:
            shutil.rmtree(before)
