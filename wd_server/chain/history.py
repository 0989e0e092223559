"""One wallet's transactions, oldest first, whichever method the upstream has.

The wallet's signatures are listed first, newest to oldest, then the transactions fetched in chunks
of that list, several in flight, and handed on in its order. What the list holds is joined by
signature and never missing: an upstream that can't give a listed transaction ends the read.
"""

import asyncio
import itertools
import math
import random as chance
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from wd_server.chain.faults import BatchRefused, KeyRefused, MethodUnavailable, unavailable
from wd_server.chain.listing import Cursor, Entry, Listing
from wd_server.chain.pacing import backoff
from wd_server.chain.pages import (
    COMMITMENT,
    TRANSACTION_OPTIONS,
    SignaturePage,
    TransactionPage,
    cost_of,
    page_options,
)
from wd_server.chain.payloads import Transaction
from wd_server.chain.rpc import RpcClient
from wd_server.errors import UpstreamError, UpstreamRejected

LISTING_PAGE = 1000  # signatures; the upstream's maximum
BATCH = 100  # transactions in a JSON-RPC batch; the upstream's maximum
PAGE = 1000  # full transactions in a page; the upstream's maximum
FIRST_PAGE = 100  # transactions; small, since their size isn't known yet and somebody waits
# Bytes of a page to aim at: its envelope is copied and scanned in one go, at 0.8 GB/s: 2 ms of
# the 5 that the loop may be held. Transactions are 1 to 15 KB.
PAGE_BYTES = 1_500_000
NEWEST = 50  # transactions fetched early, for a preview of 25 trades
# Chunks in flight or waiting to be consumed, for one read: hides the upstream's latency, and
# bounds what a read holds in memory to about twice as many pages.
CHUNKS_AHEAD = 4
# Transactions decoded in one go and handed on: 150 KB, which a processor's own cache holds, and a
# fraction of a millisecond.
SLICE = 10
# Pages in a row that bring nothing new before the upstream is said to go in circles. Empty pages
# with a token are legal: it scans on.
MAX_BARREN_PAGES = 50
# Seconds that a listed transaction may be null. At `confirmed` it takes a node some seconds.
NULL_SECONDS = 30.0
MODE_SECONDS = 6 * 3600.0  # until a method that was refused is tried again: plans change
NEWEST_SECONDS = 10.0  # until the preview is given up; the listing waits no longer for it
SMALL_PAGE = 100  # full transactions; the most that some plans allow

Mode = Literal["undecided", "transactions_for_address", "signatures_for_address"]


class Listed(Struct, frozen=True):
    """How far the listing is. `truncated`: what is older than the limit allows is left out."""

    signatures_found: int
    finished: bool
    truncated: bool


class Newest(Struct, frozen=True):
    """The newest transactions in chain order, ahead of their turn; they come again in `Fetched`."""

    transactions: list[Transaction]


class Fetched(Struct, frozen=True):
    """The next transactions in chain order, failed ones included; `done` counts them all so far."""

    transactions: list[Transaction]
    done: int


class HistoryStatistics(Struct, frozen=True):
    """`mode`: the method in use; `batch`: calls in a JSON-RPC batch that the upstream takes."""

    mode: Mode
    batch: int


class _Signatures(Struct, gc=False):
    signatures: Annotated[list[str], msgspec.Meta(min_length=1)]


class _SignedAnswer(Struct, gc=False):
    """Just enough of a transaction to tell which it is."""

    transaction: _Signatures


class _Page(NamedTuple):
    """A page of the listing, newest first, and how to ask for the next: None after the last.

    `would_show_cursor`: the listing goes down to the cursor's transaction, not just before it.
    """

    entries: list[Entry]
    next: str | None
    would_show_cursor: bool


_ListPage = Callable[[str | None], Awaitable[_Page]]


class History:
    """Reads wallets from one upstream and remembers which methods it has."""

    def __init__(
        self,
        rpc: RpcClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rpc = rpc
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._mode: Mode = "undecided"
        self._retry_mode_at = math.inf
        self._batch = BATCH
        self._page = FIRST_PAGE
        self._page_limit = PAGE
        self._decoder = msgspec.json.Decoder(Transaction)
        self._signatures = msgspec.json.Decoder(_SignedAnswer)

    def statistics(self) -> HistoryStatistics:
        return HistoryStatistics(self._mode, self._batch)

    async def read(
        self, wallet: str, after: Cursor | None, limit: int
    ) -> AsyncGenerator[Listed | Newest | Fetched, None]:
        """What happened to `wallet` after the cursor, at most the `limit` newest transactions.

        Gives `Listed` as the listing goes on, the last one `finished`; `Newest` at most once, when
        there is more than a page to list; then `Fetched`. A cursor that left the chain counts by
        its slot: what is in later slots is new. Close the generator (`contextlib.aclosing`) to end
        its requests. Raises the four upstream errors, and then what came before stays right.
        """
        entries: list[Entry] = []
        async with aclosing(self._list(wallet, after, limit)) as listing:
            async for step in listing:
                if isinstance(step, list):
                    entries = step
                else:
                    yield step
        done = 0
        async with aclosing(self._fetch(wallet, entries)) as fetching:
            async for transactions in fetching:
                done += len(transactions)
                yield Fetched(transactions, done)

    async def _list(
        self, wallet: str, after: Cursor | None, limit: int
    ) -> AsyncGenerator[Listed | Newest | list[Entry], None]:
        """Ends with the list of entries in chain order."""
        list_page, page = await self._first_page(wallet, after)
        listing = Listing(after)
        listing.add(page.entries)
        tokens: set[str] = set()
        while page.next is not None and not listing.passed_cursor and len(listing) <= limit:
            if page.next in tokens or listing.barren_pages > MAX_BARREN_PAGES:
                raise unavailable("its listing goes in circles")
            yield Listed(len(listing), finished=False, truncated=False)
            upcoming = asyncio.ensure_future(list_page(page.next))
            try:
                if not tokens and len(listing) >= FIRST_PAGE:
                    newest = await self._newest(wallet, listing.newest(NEWEST))
                    if newest:
                        yield Newest(newest)
                tokens.add(page.next)
                page = await upcoming
            finally:
                await _end([upcoming])
            listing.add(page.entries)
        ended = page.next is None
        entries = listing.in_chain_order(cursor_gone=ended and page.would_show_cursor)
        yield Listed(min(len(entries), limit), finished=True, truncated=len(entries) > limit)
        yield entries[-limit:]

    async def _first_page(self, wallet: str, after: Cursor | None) -> tuple[_ListPage, _Page]:
        """The upstream's method is known by what it answers here."""
        if self._mode != "signatures_for_address" or self._clock() >= self._retry_mode_at:
            list_page = partial(self._list_transactions, wallet, after)
            try:
                page = await list_page(None)
            except MethodUnavailable:
                self._fall_back()
            else:
                self._mode = "transactions_for_address"
                return list_page, page
        list_page = partial(self._list_signatures, wallet, after)
        return list_page, await list_page(None)

    def _fall_back(self) -> None:
        self._mode = "signatures_for_address"
        self._retry_mode_at = self._clock() + MODE_SECONDS

    async def _list_transactions(
        self, wallet: str, after: Cursor | None, token: str | None
    ) -> _Page:
        options = page_options("signatures", "desc", LISTING_PAGE, token)
        if after is not None:
            options["filters"]["slot"] = {"gte": after.slot}
        page = await self._rpc.call("getTransactionsForAddress", [wallet, options], SignaturePage)
        return _Page(page.data, page.pagination_token, would_show_cursor=True)

    async def _list_signatures(self, wallet: str, after: Cursor | None, token: str | None) -> _Page:
        options: dict[str, Any] = {"limit": LISTING_PAGE, "commitment": COMMITMENT}
        if token is not None:
            options["before"] = token
        if after is not None:
            options["until"] = after.signature
        entries = await self._rpc.call("getSignaturesForAddress", [wallet, options], list[Entry])
        # Only an empty page is the end: an upstream may cap pages below what is asked for.
        return _Page(entries, entries[-1].signature if entries else None, would_show_cursor=False)

    async def _newest(self, wallet: str, entries: list[Entry]) -> list[Transaction]:
        """For the preview, which is left out rather than waited for."""
        newest: list[Transaction] = []
        try:
            async with asyncio.timeout(NEWEST_SECONDS):
                answers = await self._chunk(wallet, entries)
                for first in range(0, len(entries), SLICE):
                    newest += await self._decoded(entries, answers, first)
        except (UpstreamError, TimeoutError):
            return []
        return newest

    async def _fetch(
        self, wallet: str, entries: list[Entry]
    ) -> AsyncGenerator[list[Transaction], None]:
        chunks: deque[tuple[list[Entry], asyncio.Task[list[msgspec.Raw]]]] = deque()
        start = 0
        try:
            while chunks or start < len(entries):
                while start < len(entries) and len(chunks) < CHUNKS_AHEAD:
                    by_page = self._mode == "transactions_for_address"
                    chunk = entries[start : start + (self._page if by_page else self._batch)]
                    chunks.append((chunk, asyncio.create_task(self._chunk(wallet, chunk))))
                    start += len(chunk)
                chunk, fetching = chunks[0]
                answers = await fetching
                chunks.popleft()
                for first in range(0, len(chunk), SLICE):
                    yield await self._decoded(chunk, answers, first)
        finally:
            await _end([fetching for _, fetching in chunks])

    async def _chunk(self, wallet: str, entries: list[Entry]) -> list[msgspec.Raw]:
        """An answer for each of these entries: what it is for shows when it is decoded."""
        if entries and self._mode == "transactions_for_address":
            try:
                answers = await self._fetch_pages(wallet, entries)
            except MethodUnavailable:
                self._fall_back()
            else:
                if len(answers) == len(entries):
                    return answers
                return await self._joined(entries, answers)
        return await self._joined(entries, [])

    async def _decoded(
        self, entries: list[Entry], answers: list[msgspec.Raw], first: int
    ) -> list[Transaction]:
        """The next few transactions of a chunk. `answers` are put in order if they aren't.

        They are decoded only now, since they are worked on while they are in the processor's
        cache then: all that follows takes two thirds of the time that it takes by the hundred.
        """
        listed = [each.signature for each in entries[first : first + SLICE]]
        transactions = self._decode(answers[first : first + SLICE])
        if [each.signature for each in transactions] != listed:
            answers[:] = await self._joined(entries, answers)
            transactions = self._decode(answers[first : first + SLICE])
            if [each.signature for each in transactions] != listed:
                raise unavailable("it gives other transactions than it lists")
        return transactions

    async def _joined(
        self, entries: list[Entry], answers: Sequence[msgspec.Raw]
    ) -> list[msgspec.Raw]:
        """The answers in the order of the entries; what is missing among them is asked for."""
        found: dict[str, msgspec.Raw] = {}
        for answer in answers:
            found[self._signed(answer)] = answer
        await self._fetch_signatures([each.signature for each in entries], found)
        return [found[each.signature] for each in entries]

    async def _fetch_pages(self, wallet: str, entries: list[Entry]) -> list[msgspec.Raw]:
        slots = {"gte": entries[0].slot, "lte": entries[-1].slot}
        answers: list[msgspec.Raw] = []
        token: str | None = None
        tokens: set[str | None] = {None}
        while True:
            options = page_options("full", "asc", self._page_limit, token)
            options["filters"]["slot"] = slots
            page = await self._full_page(wallet, options)
            self._fit_page(page.data)
            answers += page.data
            token = page.pagination_token
            if token is None or len(answers) >= len(entries):
                return answers
            if token in tokens or len(tokens) > MAX_BARREN_PAGES:
                raise unavailable("its pages go in circles")
            tokens.add(token)

    async def _full_page(self, wallet: str, options: dict[str, Any]) -> TransactionPage:
        method = "getTransactionsForAddress"
        try:
            return await self._rpc.call(method, [wallet, options], TransactionPage, cost=cost_of)
        except (MethodUnavailable, KeyRefused):
            raise
        except UpstreamRejected:
            if options["limit"] <= SMALL_PAGE:
                raise
        self._page_limit = self._page = options["limit"] = SMALL_PAGE
        return await self._rpc.call(method, [wallet, options], TransactionPage, cost=cost_of)

    def _fit_page(self, data: Sequence[msgspec.Raw]) -> None:
        """Size the next pages by what this one's transactions weigh, in whole hundreds: that is
        how they are charged."""
        if data:
            fitting = PAGE_BYTES * len(data) // sum(len(memoryview(each)) for each in data)
            self._page = min(max(fitting // SMALL_PAGE, 1) * SMALL_PAGE, self._page_limit)

    async def _fetch_signatures(self, signatures: list[str], found: dict[str, msgspec.Raw]) -> None:
        """Fetch those that aren't in `found` yet, until all are."""
        deadline = self._clock() + NULL_SECONDS
        for attempt in itertools.count():
            missing = [each for each in signatures if each not in found]
            if not missing:
                return
            wait = backoff(attempt - 1, self._random()) if attempt else 0.0
            if self._clock() + wait > deadline:
                raise unavailable("it lists transactions that it doesn't give")
            await self._sleep(wait)
            answers = await self._ask(missing)
            pairs = zip(missing, answers, strict=True)
            found |= {each: answer for each, answer in pairs if bytes(answer) != b"null"}

    async def _ask(self, signatures: list[str]) -> list[msgspec.Raw]:
        """The results, null for those that the upstream doesn't have yet. A batch that is refused
        is halved, and so are all later ones."""
        params = [[signature, TRANSACTION_OPTIONS] for signature in signatures]
        if len(params) == 1:
            return [await self._rpc.call("getTransaction", params[0], msgspec.Raw)]
        if len(params) <= self._batch:
            try:
                return await self._rpc.batch("getTransaction", params, msgspec.Raw)
            except BatchRefused:
                self._batch = min(self._batch, max(1, len(params) // 2))
        answers: list[msgspec.Raw] = []
        size = self._batch
        for first in range(0, len(signatures), size):
            answers += await self._ask(signatures[first : first + size])
        return answers

    def _decode(self, answers: Sequence[msgspec.Raw]) -> list[Transaction]:
        try:
            return [self._decoder.decode(answer) for answer in answers]
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise unavailable("a transaction it gave can't be read") from None

    def _signed(self, answer: msgspec.Raw) -> str:
        try:
            return self._signatures.decode(answer).transaction.signatures[0]
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise unavailable("a transaction it gave can't be read") from None


async def _end(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancel what still runs and wait until it is over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
