"""Deliveries that couldn't be worked on, kept in a folder for whoever finds out why.

`bin/wd-webhook` lists them, and replays them once the cause is gone. What is kept is bounded, so
that a stranger's deliveries can't fill the disk: the oldest are dropped.
"""

from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

import structlog

# Where they are, below DATA_DIR.
FOLDER_NAME = "quarantine"
# Deliveries that are kept, and their bytes together. The causes are few; and a delivery may have as
# much as the endpoint takes.
DELIVERIES_MAX = 100
BYTES_MAX = 128 * 1024 * 1024
DIGITS = 16  # of a file's name, so that their order is that of their numbers

_log = structlog.get_logger("webhook")


class Quarantined(NamedTuple):
    """`set_aside`: unix seconds."""

    path: Path
    size: int
    set_aside: float


class Quarantine:
    """`folder` is made when the first delivery comes. All here waits for the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Quarantined]:
        """Oldest first. One that is removed meanwhile is left out. Raises OSError."""
        found = []
        for path in sorted(self._paths()):
            if path.name.isdecimal():
                with suppress(FileNotFoundError):
                    facts = path.stat()
                    if S_ISREG(facts.st_mode):
                        found.append(Quarantined(path, facts.st_size, facts.st_ctime))
        return found

    def _paths(self) -> list[Path]:
        try:
            return list(self._folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def take(self, delivery: Path) -> Path:
        """Move a delivery here, which needs no room on the disk. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = self.all()
        number = int(kept[-1].path.name) + 1 if kept else 1
        path = self._folder / str(number).zfill(DIGITS)
        delivery.chmod(0o600)
        delivery.rename(path)
        self._drop_oldest()
        return path

    def _drop_oldest(self) -> None:
        kept = self.all()
        size = sum(each.size for each in kept)
        while len(kept) > DELIVERIES_MAX or (size > BYTES_MAX and len(kept) > 1):
            oldest = kept.pop(0)
            size -= oldest.size
            oldest.path.unlink(missing_ok=True)
            _log.warning("the quarantine is full: dropped", delivery=oldest.path.name)
