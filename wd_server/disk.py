"""Whether the disk below DATA_DIR takes what is written: known by writing to it.

A store notices a full disk with its next write, which may come in an hour. And where one write
failed, a smaller one may still succeed. So something is written every few seconds, as much as any
store writes at once where one of them failed lately.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic

import structlog

# Seconds between two probes, and until one has failed.
PROBE_SECONDS = 5.0
SLOW_SECONDS = 5.0
# Bytes of a probe while all is well: what the smallest file takes. 70 MB a day.
PROBE_BYTES = 4096
# Bytes of one after a write failed: what the largest append has, a thousand trades of 1 KB and the
# state of the wallet.
THOROUGH_BYTES = 2 * 1024 * 1024

_log = structlog.get_logger("disk")


class Disk:
    """`failing`: the last probe failed. `proved_at`: when the last thorough one that succeeded
    began (monotonic seconds); what failed before may work again."""

    def __init__(self, folder: Path) -> None:
        self.failing = False
        self.proved_at = -inf
        self._folder = folder
        # A thread of its own: a disk that hangs takes no more than this one.
        self._thread = ThreadPoolExecutor(1, "disk-probe")

    async def probe(self, *, thorough: bool) -> None:
        began, size = monotonic(), THOROUGH_BYTES if thorough or self.failing else PROBE_BYTES
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._thread, _write, self._folder, size)
        except (OSError, TimeoutError) as error:
            if not self.failing:
                reason = getattr(error, "strerror", None) or "it is too slow"
                _log.error("the disk of DATA_DIR takes nothing", error=reason)
            self.failing = True
            return
        if self.failing:
            _log.info("the disk of DATA_DIR takes something again")
        self.failing = False
        if size == THOROUGH_BYTES:
            self.proved_at = began

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _write(folder: Path, size: int) -> None:
    """Leaves nothing behind, however this process ends. Random bytes: a file system may keep
    zeros without writing them."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder, buffering=0) as file:
        file.write(os.urandom(size))
        os.fsync(file.fileno())
