"""Deliveries that wait to be worked on, kept in a folder so that a crash loses none of them.

A delivery is a file, there whole or not at all. Like the embedded journal it survives the end of
the process, however it ends; after a power cut the last moments may be missing.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from math import inf
from pathlib import Path
from time import monotonic
from typing import TypeVar

from wd_server.chain.quarantine import Quarantine
from wd_server.errors import StoreUnavailable

# Deliveries that wait; more are refused, and the sender tries again. Minutes of work.
DELIVERIES_MAX = 10_000
# Seconds to store one; whoever delivers waits a second for the answer.
STORE_SECONDS = 0.8
DIGITS = 16  # of a file's name, so that their order is that of their numbers

T = TypeVar("T")


class Spool:
    """`folder` is made if needed. `failed_at`: when something could not be written last, in
    monotonic seconds. `quarantined`: deliveries in quarantine when they were counted last."""

    def __init__(self, folder: Path, quarantine: Quarantine) -> None:
        self.failed_at = -inf
        self.quarantined = 0
        self._folder = folder
        self._quarantine = quarantine
        # One thread: the event loop never waits for a disk, and deliveries keep their order.
        self._thread = ThreadPoolExecutor(1, "spool")
        self._numbers = count(1)
        self._waiting = 0

    @property
    def waiting(self) -> int:
        return self._waiting

    async def open(self) -> list[Path]:
        """The deliveries that an earlier process left, oldest first. Raises StoreUnavailable."""
        left = await self._run(self._left)
        self._waiting = len(left)
        if left:
            self._numbers = count(int(left[-1].name) + 1)
        return left

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)

    async def put(self, body: bytes) -> Path:
        """Returns when it is stored. Raises StoreUnavailable."""
        if self._waiting >= DELIVERIES_MAX:
            raise StoreUnavailable("Too much was delivered at once. Try again.", retry_after=1)
        path = self._folder / str(next(self._numbers)).zfill(DIGITS)
        self._waiting += 1
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._run(lambda: _write(path, body))
        except TimeoutError:
            # It may still be stored: then it is worked on after the next start.
            self._waiting -= 1
            self.failed_at = monotonic()
            raise StoreUnavailable("The server's disk is too slow now. Try again.") from None
        except BaseException:
            self._waiting -= 1
            raise
        return path

    async def read(self, path: Path) -> bytes:
        return await self._run(path.read_bytes)

    async def remove(self, path: Path) -> None:
        await self._run(lambda: path.unlink(missing_ok=True))
        self._waiting -= 1

    async def set_aside(self, path: Path) -> Path:
        """Into the quarantine. Raises StoreUnavailable."""

        def take() -> tuple[Path, int]:
            return self._quarantine.take(path), len(self._quarantine.all())

        kept, self.quarantined = await self._run(take)
        self._waiting -= 1
        return kept

    async def count_quarantined(self) -> None:
        """Others than this process remove deliveries from the quarantine. Raises OSError."""
        self.quarantined = len(await self._in_thread(self._quarantine.all))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await self._in_thread(work)
        except OSError as error:
            self.failed_at = monotonic()
            raise StoreUnavailable(
                f"What was delivered can't be kept: {error.strerror}. The operator has to look at "
                "DATA_DIR."
            ) from error

    def _left(self) -> list[Path]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for half in self._folder.glob("*.part"):
            with suppress(FileNotFoundError):
                half.unlink()
        return sorted(_deliveries(self._folder))


def _deliveries(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name.isdecimal())


def _write(path: Path, body: bytes) -> None:
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_bytes(body)
    part.rename(path)
