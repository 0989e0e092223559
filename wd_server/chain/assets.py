"""Token symbols by mint from the upstream's DAS, cached. They are decoration: nothing waits long.

A symbol was written by whoever made the token: it is cleaned and cut before it is shown.
"""

import asyncio
import re
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from wd_server.chain.faults import KeyRefused, MethodUnavailable
from wd_server.chain.payloads import UNREADABLE
from wd_server.chain.rpc import RpcClient
from wd_server.chain.turns import Turn
from wd_server.errors import UpstreamError, UpstreamRejected
from wd_server.tasks import Tasks

BATCH = 100  # mints in a call; 1,000 are allowed, but an asset weighs kilobytes
MAX_CACHED = 50_000  # mints, about 10 MB; a large wallet trades some thousands
# Mints being asked for; beyond it the mint itself has to do. 2,000 take 10 s on the smallest plan.
MAX_LOADING = 2_000
KNOWN_SECONDS = 24 * 3600.0  # a token rarely changes its symbol
UNKNOWN_SECONDS = 600.0  # a new token's metadata may follow soon
FAILED_SECONDS = 30.0  # after a call failed: longer than until a sync pass asks for it again
REFUSED_SECONDS = 3600.0  # an upstream without DAS is left alone for that long
MAX_SYMBOL = 16  # characters shown; on chain it is at most 10 bytes, elsewhere anything
MAX_RAW_SYMBOL = 256  # characters looked at
# What isn't seen and isn't of category C: the rest of Default_Ignorable_Code_Point in Unicode 15's
# DerivedCoreProperties.txt (fillers, joiners, variation selectors).
INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
BLANK: Final = "\u2800"  # BRAILLE PATTERN BLANK, a symbol by its category


class _Metadata(Struct):
    symbol: object = None
    name: object = None


class _Content(Struct):
    metadata: _Metadata | None = None


class _TokenInfo(Struct):
    symbol: object = None


class _Asset(Struct):
    id: str
    content: _Content | None = None
    token_info: _TokenInfo | None = None


class AssetsStatistics(Struct, frozen=True):
    """`unread`: assets that couldn't be read."""

    cached: int
    loading: int
    unread: int


class Assets:
    """Symbols of tokens, asked for once however many ask. Close it: it owns tasks."""

    def __init__(
        self,
        rpc: RpcClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        capacity: int = MAX_CACHED,
        tasks: Tasks | None = None,
    ) -> None:
        self._rpc = rpc
        self._clock = clock
        self._capacity = capacity
        # mint -> symbol or None, and when to ask again; least recently used first
        self._known: OrderedDict[str, tuple[str | None, float]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._refused_until = 0.0
        self._unread = 0
        self._decoder = msgspec.json.Decoder(_Asset | None)
        self._tasks = tasks or Tasks()
        self._closed = False

    def statistics(self) -> AssetsStatistics:
        return AssetsStatistics(len(self._known), len(self._loading), self._unread)

    async def symbols(
        self,
        mints: Collection[str],
        timeout: float = 1.0,  # noqa: ASYNC109
        turn: Turn | None = None,
    ) -> dict[str, str]:
        """The symbols known within `timeout` seconds, by mint; what comes later is there for the
        next to ask. Calls wait in `turn`. Never raises: a mint that is missing has no symbol, or
        none yet."""
        self._load([mint for mint in dict.fromkeys(mints) if not self._is_fresh(mint)], turn)
        tasks = {self._loading[mint] for mint in mints if mint in self._loading}
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        found = {mint: self._known[mint][0] for mint in mints if mint in self._known}
        for mint in found:
            self._known.move_to_end(mint)
        return {mint: symbol for mint, symbol in found.items() if symbol is not None}

    async def close(self) -> None:
        self._closed = True
        await self._tasks.end(*self._loading.values())

    def _is_fresh(self, mint: str) -> bool:
        return mint in self._known and self._clock() < self._known[mint][1]

    def _load(self, mints: list[str], turn: Turn | None) -> None:
        if self._closed or self._clock() < self._refused_until:
            return
        wanted = [mint for mint in mints if mint not in self._loading]
        del wanted[max(0, MAX_LOADING - len(self._loading)) :]
        for first in range(0, len(wanted), BATCH):
            batch = wanted[first : first + BATCH]
            task = self._tasks.spawn("symbols", self._load_batch(batch, turn))
            self._loading.update(dict.fromkeys(batch, task))
            task.add_done_callback(partial(self._loaded, batch))

    def _loaded(self, batch: list[str], _: asyncio.Task[None]) -> None:
        for mint in batch:
            del self._loading[mint]

    async def _load_batch(self, mints: list[str], turn: Turn | None) -> None:
        symbols: dict[str, str | None] = {}
        keep = UNKNOWN_SECONDS
        try:
            answer = await self._rpc.call(
                "getAssetBatch", {"ids": mints}, list[msgspec.Raw], turn=turn
            )
            symbols = dict(filter(None, map(self._read, answer)))
        except (MethodUnavailable, KeyRefused):
            self._refused_until = self._clock() + REFUSED_SECONDS
            return
        except UpstreamError as error:
            keep = UNKNOWN_SECONDS if isinstance(error, UpstreamRejected) else FAILED_SECONDS
        for mint in mints:
            self._remember(mint, symbols.get(mint), keep)

    def _read(self, raw: msgspec.Raw) -> tuple[str, str | None] | None:
        """An asset's id and symbol; None for what is no asset."""
        try:
            asset = self._decoder.decode(raw)
        except UNREADABLE:
            self._unread += 1
            return None
        if asset is None:
            return None
        metadata = (asset.content and asset.content.metadata) or _Metadata()
        texts = (asset.token_info and asset.token_info.symbol, metadata.symbol, metadata.name)
        return asset.id, next(filter(None, map(clean_symbol, texts)), None)

    def _remember(self, mint: str, symbol: str | None, keep: float) -> None:
        if symbol is not None:
            keep = KNOWN_SECONDS
        elif keep == FAILED_SECONDS and mint in self._known:
            symbol = self._known[mint][0]
        self._known[mint] = symbol, self._clock() + keep
        self._known.move_to_end(mint)
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)


def clean_symbol(text: object) -> str | None:
    """At most MAX_SYMBOL visible characters in one line, or None: no control, format, private or
    unassigned characters (Unicode category C: also what turns the writing direction), nothing else
    that isn't seen, and runs of blanks as one space. Marks are shown on a letter only, so what has
    none is None.

    Letters that look like others stay: this says what can be seen, not what it is worth."""
    if not isinstance(text, str):
        return None
    visible, has_base = "", False
    for each in text[:MAX_RAW_SYMBOL]:
        kind = unicodedata.category(each)[0]
        if kind == "Z" or each in BLANK:
            visible += " "
        elif kind != "C" and not INVISIBLE.match(each):
            visible += each
            has_base |= kind != "M"
    shown = " ".join(visible.split())[:MAX_SYMBOL].strip()
    return shown if shown and has_base else None
