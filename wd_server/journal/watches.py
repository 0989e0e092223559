"""Who on this node is told of a wallet's entries, and who has its line open."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from wd_server.journal.base import Entry, Line, Listener, OnAppend, Watch

Send = Callable[[str, bytes, bytes], None]
"""Tell others on a wallet's line: the wallet, who says it, what."""


@dataclass(slots=True)
class _Audience:
    """One wallet's."""

    watches: list["_Watch"] = field(default_factory=list)
    lines: list["_Line"] = field(default_factory=list)


class Watches:
    """`node` makes the names of lines differ from those of other nodes. `opened` is called for a
    wallet before its first watch or line is there, `closed` after the last one is gone."""

    def __init__(
        self,
        node: str = "",
        opened: Callable[[str], None] = lambda wallet: None,
        closed: Callable[[str], None] = lambda wallet: None,
    ) -> None:
        self._node = node
        self._opened = opened
        self._closed = closed
        self._audiences: dict[str, _Audience] = {}
        self._names = count()

    def __contains__(self, wallet: str) -> bool:
        return wallet in self._audiences

    def watch(self, wallet: str, on_append: OnAppend) -> Watch:
        watch = _Watch(self, wallet, on_append)
        audience = self._audience(wallet)
        audience.watches = [*audience.watches, watch]
        return watch

    def line(self, wallet: str, listener: Listener, send: Send) -> Line:
        line = _Line(self, wallet, listener, send, f"{self._node}/{next(self._names)}".encode())
        audience = self._audience(wallet)
        audience.lines = [*audience.lines, line]
        return line

    def tell(self, wallet: str, run: int, entries: Sequence[Entry]) -> None:
        for watch in self._now(wallet).watches:
            if watch.closed:  # by a watcher told before it
                continue
            try:
                watch.on_append(run, entries)
            except Exception as error:  # noqa: BLE001 - a bug of the watcher, not of who appended
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "A journal's watcher raised", "exception": error}
                )

    def notice(self, wallet: str, sender: bytes, notice: bytes) -> None:
        """Somebody on the line said something; all others hear it."""
        for line in self._now(wallet).lines:
            if not line.closed and line.name != sender:
                line.listener.on_notice(notice)

    def vacant(self, wallet: str) -> None:
        for line in self._now(wallet).lines:
            if not line.closed:
                line.listener.on_vacant()

    def close(self, closing: "_Watch | _Line") -> None:
        if closing.closed:
            return
        closing.closed = True
        audience = self._audiences[closing.wallet]
        audience.watches = [watch for watch in audience.watches if watch is not closing]
        audience.lines = [line for line in audience.lines if line is not closing]
        if not (audience.watches or audience.lines):
            del self._audiences[closing.wallet]
            self._closed(closing.wallet)

    def _audience(self, wallet: str) -> _Audience:
        audience = self._audiences.get(wallet)
        if audience is None:
            self._opened(wallet)
            audience = self._audiences[wallet] = _Audience()
        return audience

    def _now(self, wallet: str) -> _Audience:
        """Its lists stay as they are, whoever closes meanwhile."""
        audience = self._audiences.get(wallet)
        if audience is None:
            return _Audience()
        return _Audience(audience.watches, audience.lines)


class _Watch:
    __slots__ = ("_watches", "closed", "on_append", "wallet")

    def __init__(self, watches: Watches, wallet: str, on_append: OnAppend) -> None:
        self._watches = watches
        self.wallet = wallet
        self.on_append = on_append
        self.closed = False

    def close(self) -> None:
        self._watches.close(self)


class _Line:
    __slots__ = ("_send", "_watches", "closed", "listener", "name", "wallet")

    def __init__(
        self, watches: Watches, wallet: str, listener: Listener, send: Send, name: bytes
    ) -> None:
        self._watches = watches
        self._send = send
        self.wallet = wallet
        self.listener = listener
        self.name = name
        self.closed = False

    def notify(self, notice: bytes) -> None:
        self._send(self.wallet, self.name, notice)

    def close(self) -> None:
        self._watches.close(self)
