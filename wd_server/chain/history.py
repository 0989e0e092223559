"""One wallet's transactions, oldest first, whichever method the upstream has.

The wallet's signatures are listed first, newest to oldest, since each page tells where the next
begins. What the upstream's limit leaves unused meanwhile fetches transactions from the newest end
of what is listed so far; when it ends, the others follow from the oldest on, in chunks, several in
flight.
"""

import asyncio
import math
import random as chance
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec
import structlog
from msgspec import Raw, Struct

from wd_server.chain.chunks import Chunk, HeldBytes
from wd_server.chain.faults import MethodUnavailable, unavailable
from wd_server.chain.listing import Cursor, ListedSignature, Listing
from wd_server.chain.pages import COMMITMENT, SignaturePage, page_options
from wd_server.chain.payloads import ListedTransaction, Slot, readable
from wd_server.chain.rpc import RpcClient
from wd_server.chain.transactions import FIRST_PAGE, MAX_BARREN_PAGES, SLICE, Mode, Transactions
from wd_server.chain.turns import Turn
from wd_server.errors import UpstreamError

LISTING_PAGE = 1000  # signatures; the upstream's maximum
# Pages after which a listing counts as long: it is begun at its other end, too, and transactions
# are fetched beside it. Before, that would only put off the oldest, which are wanted first.
LONG_PAGES = 2
NEWEST = 50  # transactions fetched first of all, for a preview of 25 trades
NEWEST_SECONDS = 10.0  # until the preview is given up; the listing waits no longer for it
# Seconds for which one answer does for all wallets. A slot takes 0.4, and is final after 13.
FINAL_SECONDS = 2.0
# The same for a wallet's first read, when somebody waits for the preview: a round trip less, and a
# minute's transactions more that count as not final until the next read.
FIRST_FINAL_SECONDS = 60.0
# Chunks in flight or waiting for older ones, for one read. Ten fill 50 requests a second, the
# limit of a common plan, at a fifth of a second each.
CHUNKS_AHEAD = 10
# Transactions handed on before older ones, over all reads: the reader keeps what they meant in
# memory, up to 1 KB each.
AHEAD_TRANSACTIONS = 50_000


NOTHING_KNOWN: Mapping[str, int] = MappingProxyType({})

_listed_signature = msgspec.json.Decoder(ListedSignature)
_log = structlog.get_logger("upstream")


class Listed(Struct, frozen=True):
    """How far the listing is. `truncated`: what is older than the limit allows is left out.
    `signatures`: all of it, oldest first, when it is `finished` and some of it was known."""

    signatures_found: int
    finished: bool
    truncated: bool
    signatures: Sequence[ListedSignature] = ()


class Newest(Struct, frozen=True):
    """Transactions in chain order, before older ones were read: those of the next `Newest` come
    right before them on the chain, and all that are `Fetched` before these. Each comes only
    once."""

    transactions: list[ListedTransaction]


class Fetched(Struct, frozen=True):
    """The next transactions in chain order, failed and unreadable ones included; `done` counts all
    so far, those of `Newest` too."""

    transactions: list[ListedTransaction]
    done: int


class HistoryStatistics(Struct, frozen=True):
    """`mode`: the method in use; `batch`: calls in a JSON-RPC batch that the upstream takes;
    `unlisted`: signatures in listings that couldn't be read; `unread`: transactions that couldn't
    be read."""

    mode: Mode
    batch: int
    unlisted: int
    unread: int


class _Page(NamedTuple):
    """A page of the listing, newest first, and how to ask for the next: None after the last.

    `would_show_cursor`: the listing goes down to the cursor's transaction, not just before it.
    """

    listed: list[ListedSignature]
    next: str | None
    would_show_cursor: bool


_ListPage = Callable[[str | None], Awaitable[_Page]]


@dataclass(slots=True)
class _Read:
    """One read. `asked`: how many of the newest were asked for beside the listing, `done`: how
    many were handed on; `beside`: the chunks of those in between, newest first."""

    wallet: str
    after: Cursor | None
    limit: int
    known: Mapping[str, int]
    turn: Turn | None
    asked: int = 0
    done: int = 0
    beside: deque[Chunk] = field(default_factory=deque)


class History:
    """Reads wallets from one upstream and remembers which methods it has: `transactions`."""

    def __init__(
        self,
        rpc: RpcClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rpc = rpc
        self.transactions = Transactions(rpc, clock=clock, random=random, sleep=sleep)
        self._clock = clock
        self._held = HeldBytes()
        self._ahead = 0
        self._unlisted = 0
        self._asking_final = asyncio.Lock()
        self._final_at = -math.inf

    async def final_slot(self, *, first: bool) -> float:
        """The newest slot that isn't taken back any more, as it was FINAL_SECONDS ago at most;
        before a wallet's `first` read FIRST_FINAL_SECONDS."""
        seconds = FIRST_FINAL_SECONDS if first else FINAL_SECONDS
        if self._clock() >= self._final_at + seconds:
            async with self._asking_final:
                if self._clock() >= self._final_at + seconds:
                    options = [{"commitment": "finalized"}]
                    slot = await self._rpc.call("getSlot", options, Slot)
                    self.transactions.final_slot = slot
                    self._final_at = self._clock()
        return self.transactions.final_slot

    def statistics(self) -> HistoryStatistics:
        read = self.transactions
        return HistoryStatistics(read.mode, read.batch, self._unlisted, read.unread)

    async def read(
        self,
        wallet: str,
        after: Cursor | None,
        limit: int,
        known: Mapping[str, int] = NOTHING_KNOWN,
        turn: Turn | None = None,
    ) -> AsyncGenerator[Listed | Newest | Fetched, None]:
        """The transactions of `wallet` after the cursor, at most the `limit` newest. Those in
        `known`, by signature, are listed and not fetched, where that saves calls; one that is in
        another slot now is fetched. Calls wait in `turn`.

        Gives `Listed` as the listing goes on, the last one `finished`; in between `Newest` where
        there is more than a page to list, at first NEWEST transactions; then `Fetched`. A cursor
        that left the chain counts by its slot: what is in later slots is new. What leaves it while
        it is read is left out, once `final_slot` was asked for. Close the generator
        (`contextlib.aclosing`) to end its requests. Raises the four upstream errors, and then what
        came before stays right.
        """
        read = _Read(wallet, after, limit, known, turn)
        listed: list[ListedSignature] = []
        try:
            async with aclosing(self._list(read)) as listing:
                async for step in listing:
                    if isinstance(step, list):
                        listed = step
                    else:
                        yield step
            async with aclosing(self._fetch(read, listed)) as fetching:
                async for transactions in fetching:
                    read.done += len(transactions)
                    yield Fetched(transactions, read.done)
        finally:
            self._ahead -= read.asked
            await _drop(read.beside)

    async def _list(
        self, read: _Read
    ) -> AsyncGenerator[Listed | Newest | list[ListedSignature], None]:
        """Ends with the listed signatures in chain order."""
        list_page, page = await self._first_page(read)
        listing = Listing(read.after, read.limit)
        listing.add(page.listed)
        tokens: set[str] = set()
        tasks: set[asyncio.Future[Any]] = set()
        try:
            while page.next is not None and not listing.is_enough:
                if page.next in tokens or listing.barren_pages > MAX_BARREN_PAGES:
                    raise unavailable("its listing goes in circles")
                yield Listed(len(listing), finished=False, truncated=False)
                upcoming = asyncio.ensure_future(list_page(page.next))
                tasks.add(upcoming)
                is_long = len(tokens) + 1 >= LONG_PAGES
                if len(tokens) + 1 == LONG_PAGES and read.after is None:
                    tasks.add(asyncio.ensure_future(self._list_from_oldest(read, listing)))
                async with aclosing(self._read_ahead(read, listing, is_long)) as ahead:
                    async for newest in ahead:
                        yield newest
                tokens.add(page.next)
                page = await upcoming
                tasks.discard(upcoming)
                listing.add(page.listed)
        finally:
            await _end(tasks)
        ended = page.next is None
        listed = listing.in_chain_order(cursor_gone=ended and page.would_show_cursor)
        limit = read.limit
        wanted = listed[-limit:]
        told = wanted if read.known else ()
        yield Listed(len(wanted), finished=True, truncated=len(listed) > limit, signatures=told)
        yield wanted

    async def _first_page(self, read: _Read) -> tuple[_ListPage, _Page]:
        """The upstream's method is known by what it answers here."""
        if self.transactions.may_be_paged:
            list_page = partial(self._list_transactions, read, read.after)
            try:
                page = await list_page(None)
            except MethodUnavailable:
                self.transactions.fall_back()
            else:
                self.transactions.mode = "transactions_for_address"
                return list_page, page
        list_page = partial(self._list_signatures, read)
        return list_page, await list_page(None)

    async def _list_from_oldest(self, read: _Read, listing: Listing) -> None:
        """Meet the listing half way, if the upstream has such a method."""
        token: str | None = None
        wanted = self.transactions.mode == "transactions_for_address"
        try:
            while wanted:
                page = await self._list_transactions(read, None, token, "asc")
                token = page.next
                wanted = bool(page.listed) and listing.add_from_oldest(page.listed)
                wanted = wanted and token is not None
        except UpstreamError:
            listing.forget_from_oldest()  # the listing itself will meet it, or do without

    async def _list_transactions(
        self,
        read: _Read,
        after: Cursor | None,
        token: str | None,
        order: Literal["asc", "desc"] = "desc",
    ) -> _Page:
        options = page_options("signatures", order, LISTING_PAGE, token)
        if after is not None:
            options["filters"]["slot"] = {"gte": after.slot}
        params = [read.wallet, options]
        page = await self._rpc.call(
            "getTransactionsForAddress", params, SignaturePage, turn=read.turn
        )
        return _Page(self._readable(page.data), page.pagination_token, would_show_cursor=True)

    async def _list_signatures(self, read: _Read, token: str | None) -> _Page:
        options: dict[str, Any] = {"limit": LISTING_PAGE, "commitment": COMMITMENT}
        if token is not None:
            options["before"] = token
        if read.after is not None:
            options["until"] = read.after.signature
        params = [read.wallet, options]
        data = await self._rpc.call("getSignaturesForAddress", params, list[Raw], turn=read.turn)
        listed = self._readable(data)
        # Only an empty page is the end: an upstream may cap pages below what is asked for.
        return _Page(listed, listed[-1].signature if listed else None, would_show_cursor=False)

    def _readable(self, data: Sequence[Raw]) -> list[ListedSignature]:
        """The signatures that can be read. Raises UpstreamUnavailable if there are some and none
        can be: an empty page would mean the end of the wallet."""
        listed = readable(data, _listed_signature)
        unread = len(data) - len(listed)
        if unread:
            _log.warning("signatures that are listed can't be read", count=unread)
            self._unlisted += unread
        if data and not listed:
            raise unavailable("its listing can't be read")
        return listed

    async def _read_ahead(
        self, read: _Read, listing: Listing, is_long: bool
    ) -> AsyncGenerator[Newest, None]:
        """Hand on what was asked for beside the page before, and ask for more beside the next. A
        chunk that isn't there yet, or failed, is handed on in chain order."""
        if len(listing) < FIRST_PAGE:
            return
        arrived = list(read.beside)
        if not read.asked and self._ask_beside(read, listing, NEWEST):
            arrived = list(read.beside)
            await arrived[0].wait(NEWEST_SECONDS)
        under_way = sum(not each.is_there for each in read.beside)
        for _ in range(min(self._rpc.room, CHUNKS_AHEAD - under_way) if is_long else 0):
            if not self._ask_beside(read, listing, self.transactions.chunk):
                break
        for chunk in arrived:
            if not chunk.is_there:
                return
            answers, size = await chunk.answers(), len(chunk.listed)
            step = size if size == NEWEST else SLICE
            for first in reversed(range(0, size, step)):
                transactions: list[ListedTransaction] = []
                for start in range(first, min(first + step, size), SLICE):
                    transactions += await self.transactions.decoded(
                        chunk.listed, answers, start, read.turn
                    )
                read.done += len(transactions)
                yield Newest(transactions)
            await read.beside.popleft().drop()

    def _ask_beside(self, read: _Read, listing: Listing, size: int) -> bool:
        """Ask for so many before those that were asked for; whether that is right already."""
        listed = listing.newest(size, read.asked)
        if (
            len(listed) < size
            or read.asked + size > read.limit
            or (read.after is not None and listed[0].slot <= read.after.slot)
            or self._ahead + size > AHEAD_TRANSACTIONS
            or self._held.is_full
        ):
            return False
        read.beside.append(self._ask(read, listed, early=True))
        read.asked += size
        self._ahead += size
        return True

    def _ask(self, read: _Read, listed: list[ListedSignature], *, early: bool) -> Chunk:
        answers = self.transactions.answers(read.wallet, listed, read.turn)
        return Chunk(listed, answers, self._held, early=early)

    async def _fetch(
        self, read: _Read, listed: list[ListedSignature]
    ) -> AsyncGenerator[list[ListedTransaction], None]:
        """The transactions that were not handed on yet."""
        chunks: deque[Chunk] = deque()
        listed = listed[: len(listed) - read.asked]
        if read.known:
            known = read.known
            listed = [each for each in listed if known.get(each.signature) != each.slot]
        start, end = 0, len(listed)
        try:
            while chunks or read.beside or start < end:
                while start < end and self._may_ask(chunks):
                    part = listed[start : min(start + self.transactions.chunk, end)]
                    chunks.append(self._ask(read, part, early=False))
                    start += len(part)
                if start == end:
                    chunks.extend(reversed(read.beside))
                    read.beside.clear()
                answers = await self._answers(read, chunks[0])
                chunk = chunks[0].listed
                for first in range(0, len(chunk), SLICE):
                    yield await self.transactions.decoded(chunk, answers, first, read.turn)
                await chunks.popleft().drop()
        finally:
            await _drop(chunks)

    def _may_ask(self, chunks: Collection[Chunk]) -> bool:
        return not chunks or (len(chunks) < CHUNKS_AHEAD and not self._held.is_full)

    async def _answers(self, read: _Read, chunk: Chunk) -> list[Raw]:
        try:
            return await chunk.answers()
        except UpstreamError:
            if not chunk.early:
                raise
        # It may work now.
        return await self.transactions.answers(read.wallet, chunk.listed, read.turn)


async def _end(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancel what still runs and wait until it is over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _drop(chunks: Collection[Chunk]) -> None:
    await asyncio.gather(*(each.drop() for each in chunks))
