"""Prices in USD by the minute, over HTTP: the upstream border for prices.

A price source is a convenience: whatever goes wrong with one means fewer prices, never an error.
It is counted, and the source is left alone for a while. Historic prices don't change, so they are
remembered.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

import pycurl
from msgspec import Struct
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from wd_server.chain.payloads import UNREADABLE
from wd_server.chain.price_sources import PriceKey, PriceSource, Question

# Prices remembered, about 250 bytes each: 25 MB, or two months of SOL by the minute.
CACHE_PRICES = 100_000
# Seconds until a price that wasn't there is asked for again: a new minute is published late.
MISSING_SECONDS = 600.0
# Seconds a caller waits at most: a batch of trades goes on unpriced rather than late.
DEADLINE_SECONDS = 8.0
# Seconds a request may take. Less than half the above, so that a source that hangs is found out.
REQUEST_SECONDS = 3.5
# Requests at once to a source that sets no pace; what a polite client does.
PARALLEL_REQUESTS = 4
# Seconds a failing source is left alone: at first, doubled by each failure, at most.
BACKOFF_FIRST_SECONDS = 5.0
BACKOFF_MAX_SECONDS = 300.0
# Present prices that are asked for at a time, and seconds that somebody waits for them.
PRESENT_PRICES = 120
PRESENT_SECONDS = 2.0
# Bytes of an answer. A full one of any source is below 200 KB.
BODY_MAX = 2_000_000

# USD a unit. Below and above lies nothing that was ever traded, only broken feeds.
PRICE_MIN = Decimal("1e-24")
PRICE_MAX = Decimal("1e9")
# Digits of a price. A binary64 has 17 that count; the rest of a longer one is only work.
PRICE_DIGITS_MAX = 60

T = TypeVar("T")


class QuoteStatistics(Struct, frozen=True):
    """`failures` by kind: `late` (the deadline passed), `rate_limit`, `refused` (401, 403),
    `unavailable` (connection, timeout, other status) and `bad_body`. `rejected`: prices that
    can't be true, and points that can't be read."""

    requests: int
    failures: Mapping[str, int]
    cached: int
    hits: int
    misses: int
    rejected: int
    backing_off: bool


class Quotes(Protocol):
    async def prices(self, wanted: Iterable[PriceKey]) -> Mapping[PriceKey, Decimal]:
        """USD per whole unit for as many of `wanted` as are known in time. Never fails."""

    def statistics(self) -> QuoteStatistics: ...


async def present_prices(quotes: Quotes, mints: Sequence[str], now: float) -> Mapping[str, Decimal]:
    """USD per whole unit at `now` (unix seconds), by mint, as far as they are known in time. Of
    very many mints the last ones count."""
    minute = int(now) // 60
    wanted = {(mint, minute) for mint in mints[-PRESENT_PRICES:]}
    with suppress(TimeoutError):
        async with asyncio.timeout(PRESENT_SECONDS):
            found = await quotes.prices(wanted) if wanted else {}
            return {mint: price for (mint, _), price in found.items()}
    return {}


class NoQuotes:
    """`PRICE_SOURCE=none`."""

    async def prices(self, wanted: Iterable[PriceKey]) -> Mapping[PriceKey, Decimal]:
        return {}

    def statistics(self) -> QuoteStatistics:
        return QuoteStatistics(0, {}, 0, 0, 0, 0, False)


class HttpQuotes:
    """Quotes of a source: remembered, asked for in batches, within a deadline (seconds)."""

    def __init__(
        self,
        client: AsyncHTTPClient,
        source: PriceSource,
        *,
        deadline: float = DEADLINE_SECONDS,
        request_timeout: float = REQUEST_SECONDS,
        cache_size: int = CACHE_PRICES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._source = source
        self._deadline = deadline
        self._request_timeout = request_timeout
        self._clock = clock
        self._known: _Recent[Decimal] = _Recent(cache_size)
        self._missing: _Recent[float] = _Recent(cache_size)
        self._requests_at_once = asyncio.Semaphore(1 if source.spacing else PARALLEL_REQUESTS)
        self._next_request = 0.0
        self._asleep_until = 0.0
        self._failed_in_a_row = 0
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    async def prices(self, wanted: Iterable[PriceKey]) -> Mapping[PriceKey, Decimal]:
        """USD per whole unit for as many of `wanted` as are known in time. Never fails."""
        found: dict[PriceKey, Decimal] = {}
        unknown = self._recall(sorted(set(wanted)), found)
        if unknown and not self._is_asleep():
            try:
                async with asyncio.timeout(self._deadline), asyncio.TaskGroup() as tasks:
                    for question in self._source.questions(unknown):
                        tasks.create_task(self._ask(question, found))
            except TimeoutError:
                self._failures["late"] += 1
        return found

    def statistics(self) -> QuoteStatistics:
        return QuoteStatistics(
            requests=self._counts["requests"],
            failures=dict(self._failures),
            cached=len(self._known),
            hits=self._counts["hits"],
            misses=self._counts["misses"],
            rejected=self._counts["rejected"],
            backing_off=self._is_asleep(),
        )

    def _recall(self, keys: Sequence[PriceKey], found: dict[PriceKey, Decimal]) -> list[PriceKey]:
        """Put what is remembered into `found`; returns what has to be asked for."""
        now = self._clock()
        unknown = []
        for key in keys:
            price = self._known.get(key)
            if price is not None:
                found[key] = price
            elif (self._missing.get(key) or now) <= now:
                unknown.append(key)
        self._counts["misses"] += len(unknown)
        self._counts["hits"] += len(keys) - len(unknown)
        return unknown

    def _is_asleep(self) -> bool:
        return self._clock() < self._asleep_until

    async def _ask(self, question: Question, found: dict[PriceKey, Decimal]) -> None:
        async with self._requests_at_once:
            if self._source.spacing:
                await asyncio.sleep(self._next_request - self._clock())
                self._next_request = self._clock() + self._source.spacing
            if self._is_asleep():  # another request failed while this one waited
                return
            self._counts["requests"] += 1
            body = await self._fetch(self._source.base_url + question.path)
        if body is None:
            return
        try:
            answers = self._source.answers(question, body)
        except UNREADABLE:
            self._fail("bad_body")
            return
        self._failed_in_a_row = 0
        self._counts["rejected"] += answers.unread
        self._remember(question, answers.prices, found)

    async def _fetch(self, url: str) -> bytes | None:
        request = HTTPRequest(
            url,
            headers=dict(self._source.headers),
            connect_timeout=self._request_timeout,
            request_timeout=self._request_timeout,
            follow_redirects=False,
            # Answers are small, and a compressed one could be as large as it likes.
            decompress_response=False,
            prepare_curl_callback=_set_up,
        )
        try:
            transfer = self._client.fetch(request, raise_error=False)
        except RuntimeError:
            self._fail("unavailable")  # the client was closed
            return None
        # Past the deadline the transfer ends by its own timeout, unheard.
        transfer.add_done_callback(_look_at_error)
        await asyncio.wait((transfer,))
        try:
            response = transfer.result()
        except (HTTPClientError, OSError):
            self._fail("unavailable")
            return None
        return self._body(response)

    def _body(self, response: HTTPResponse) -> bytes | None:
        if response.code == 200:
            return response.body
        advised = response.headers.get("Retry-After", "")
        if response.code == 429:
            self._fail("rate_limit", float(advised) if advised.isdecimal() else 0.0)
        elif response.code in (401, 403):
            self._fail("refused", BACKOFF_MAX_SECONDS)
        else:
            self._fail("unavailable")
        return None

    def _fail(self, kind: str, advised: float = 0.0) -> None:
        """Count it, and leave the source alone: longer each time, or as long as it says."""
        self._failures[kind] += 1
        if not self._is_asleep():  # requests that fail together are one failure
            grown = BACKOFF_FIRST_SECONDS * 2.0 ** min(self._failed_in_a_row, 10)
            pause = min(max(grown, advised), BACKOFF_MAX_SECONDS)
            self._asleep_until = self._clock() + pause
            self._failed_in_a_row += 1

    def _remember(
        self,
        question: Question,
        answers: Sequence[tuple[PriceKey, Decimal]],
        found: dict[PriceKey, Decimal],
    ) -> None:
        for key, price in answers:
            if _is_sane(price):
                found[key] = price
                self._known.put(key, price)
            else:
                self._counts["rejected"] += 1
        ask_again = self._clock() + MISSING_SECONDS
        for key in question.keys:
            if key not in found:
                self._missing.put(key, ask_again)


class _Recent(Generic[T]):
    """The `size` entries used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[PriceKey, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: PriceKey) -> T | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: PriceKey, entry: T) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


def _is_sane(price: Decimal) -> bool:
    return (
        price.is_finite()
        and len(price.as_tuple().digits) <= PRICE_DIGITS_MAX
        and PRICE_MIN <= price <= PRICE_MAX
    )


def _set_up(curl: pycurl.Curl) -> None:
    curl.setopt(pycurl.VERBOSE, 0)  # it would log the headers, and a key with them
    curl.setopt(pycurl.MAXFILESIZE, BODY_MAX)


def _look_at_error(transfer: asyncio.Future[HTTPResponse]) -> None:
    if not transfer.cancelled():
        transfer.exception()
