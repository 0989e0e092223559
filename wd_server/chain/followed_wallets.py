"""The wallets that are followed now, in a file: `bin/wd-webhook` reads it to update the webhook."""

import asyncio
from collections.abc import Collection
from math import inf
from pathlib import Path
from time import monotonic

import structlog

from wd_server.tasks import Tasks

# Seconds in which changes are gathered.
WRITE_SECONDS = 5.0
FILE_NAME = "followed-wallets"
MODE = 0o600

_log = structlog.get_logger("upstream")


class FollowedWalletsFile:
    """`path` has a wallet a line, sorted, and is always whole. Only the server's user may read it:
    it says who is watched. `failed_at`: when it could not be written last, in monotonic seconds."""

    def __init__(self, path: Path, wallets: Collection[str], tasks: Tasks | None = None) -> None:
        self.failed_at = -inf
        self._path = path
        self._wallets = wallets
        self._tasks = tasks or Tasks()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Take the file from other users if an older version left it readable for everybody."""
        try:
            if self._path.exists():
                self._path.chmod(MODE)
        except OSError as error:
            _log.warning("others may read the followed wallets", error=error.strerror)

    def changed(self) -> None:
        """The set of wallets has changed: write the file soon."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._start)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=WRITE_SECONDS)

    def _start(self) -> None:
        self._timer = None
        if self._task is not None and not self._task.done():
            self.changed()  # the disk is slow
            return
        self._task = self._tasks.spawn("followed_wallets", self._write(list(self._wallets)))

    async def _write(self, wallets: list[str]) -> None:
        try:
            await asyncio.to_thread(_replace, self._path, wallets)
        except OSError as error:
            self.failed_at = monotonic()
            _log.warning("the followed wallets can't be written", error=error.strerror)


def _replace(path: Path, wallets: list[str]) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)  # with whatever rights it was left
    part.touch(mode=MODE)
    part.write_text("".join(f"{wallet}\n" for wallet in sorted(wallets)), "ascii")
    part.replace(path)
