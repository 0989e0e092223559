"""Takes the deliveries of Helius' webhook: stores them first, reads them afterwards.

A delivery is an array of transactions, raw or enhanced. A transaction that can't be read doesn't
keep the others from being handed on, and the followed wallets that it names are read anew. A
wallet that nobody follows costs one look into a table.

A delivery is tried once more, behind those that wait, if handing on one of its transactions failed.
If that fails again it is put in quarantine, from where it can be replayed when the cause is found.
The other deliveries go on meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta, Raw, Struct

from wd_server.chain.credits import DELIVERY_CREDITS, Credits
from wd_server.chain.live import PushObserver
from wd_server.chain.payloads import (
    ADDRESS_CHARACTERS,
    UNREADABLE,
    EnhancedTransaction,
    PushedTransaction,
    Transaction,
)
from wd_server.chain.spool import DELIVERIES_MAX, Spool
from wd_server.errors import InvalidParameter, StoreUnavailable
from wd_server.tasks import Tasks

# Signatures of which is remembered that they came: deliveries are repeated within seconds. 10 MB.
REMEMBERED = 50_000
# Transactions read in one go, about 2 ms.
SLICE = 20
# Times that a delivery is worked on. A failure that repeats isn't mended by waiting.
TRIES = 2
# Seconds for one. The largest takes two.
WORK_SECONDS = 60.0
# Seconds between two counts of the quarantine. Whoever looks after it doesn't look more often.
COUNT_SECONDS = 60.0
# Bytes of a delivery that other nodes are told of. A larger one they find in the history.
RELAYED_BYTES = 1024 * 1024
# Bytes that are looked through on the loop, in a millisecond; more is done in a thread.
LOOKED_THROUGH_HERE = 1024 * 1024

# Transactions in one. Helius sends 100 at most.
ELEMENTS_MAX = 10_000

_array: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(
    Annotated[list[Raw], Meta(max_length=ELEMENTS_MAX)]
)
_raw = msgspec.json.Decoder(Transaction)
_enhanced = msgspec.json.Decoder(EnhancedTransaction)
_log = structlog.get_logger("webhook")


class DeliveryStatistics(Struct):
    """`transactions` came, `repeated` of them had come before, `unread` can't be read; `told`: how
    often one was handed to the observer. The transactions of a delivery count once, however often
    it is tried. `waiting` and `quarantined` are deliveries."""

    transactions: int = 0
    repeated: int = 0
    unread: int = 0
    told: int = 0
    waiting: int = 0
    quarantined: int = 0


class _Delivery(Struct, eq=False):
    """`path`: where it is stored, None for what another node has stored; `body` None: still to be
    read. `tries` that failed; `done`: nothing is left to do."""

    path: Path | None
    body: bytes | None
    tries: int = 0
    done: bool = False


class Deliveries:
    """`relay` hands a delivery that came here to other nodes, which `hear` of it."""

    def __init__(
        self,
        spool: Spool,
        account: Credits,
        tasks: Tasks | None = None,
    ) -> None:
        self._spool = spool
        self._account = account
        self.relay: Callable[[bytes], None] = lambda _: None
        self._observer: PushObserver | None = None
        self._tasks = tasks or Tasks()
        self._queue: asyncio.Queue[_Delivery] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._counting: asyncio.Task[None] | None = None
        self._seen: dict[str, None] = {}
        self._statistics = DeliveryStatistics()

    def statistics(self) -> DeliveryStatistics:
        self._statistics.waiting = self._spool.waiting
        self._statistics.quarantined = self._spool.quarantined
        return self._statistics

    @property
    def failed_at(self) -> float:
        """When a delivery could not be stored last, in monotonic seconds."""
        return self._spool.failed_at

    async def open(self, observer: PushObserver) -> None:
        """Raises StoreUnavailable."""
        self._observer = observer
        for path in await self._spool.open():
            self._queue.put_nowait(_Delivery(path, None))
        self._task = self._tasks.keep("deliveries", self._work)
        count = self._spool.count_quarantined
        self._counting = self._tasks.every("quarantine", COUNT_SECONDS, count)

    async def close(self) -> None:
        await self._tasks.end(self._task, self._counting)
        await self._spool.close()

    async def take(self, body: bytes) -> int:
        """Store a delivery; how many transactions it has. Raises InvalidParameter for what is no
        array, StoreUnavailable."""
        count = len(await _elements(body))
        path = await self._spool.put(body)
        self._account.spend("webhook", DELIVERY_CREDITS * count)
        self._queue.put_nowait(_Delivery(path, body))
        return count

    def hear(self, body: bytes) -> None:
        """A delivery that came to another node; of too much at once some is dropped."""
        if self._queue.qsize() < DELIVERIES_MAX:
            self._queue.put_nowait(_Delivery(None, body))

    async def _work(self) -> None:
        while True:
            delivery = await self._queue.get()
            # A task of its own, so that whatever it meets costs only this one.
            name = None if delivery.path is None else delivery.path.name
            await self._tasks.spawn("delivery", self._work_on(delivery), delivery=name)
            if delivery.path is not None and not delivery.done:
                await self._leave(delivery, delivery.path)

    async def _work_on(self, delivery: _Delivery) -> None:
        path = delivery.path
        try:
            async with asyncio.timeout(WORK_SECONDS):
                if path is not None and delivery.body is None:
                    delivery.body = await self._spool.read(path)
                body = delivery.body or b""
                if path is not None and not delivery.tries and len(body) <= RELAYED_BYTES:
                    self.relay(body)
                if await self._hand_on(delivery, body) and path is not None:
                    await self._spool.remove(path)
                    delivery.done = True
        except (StoreUnavailable, InvalidParameter) as error:
            _log.warning("a delivery can't be worked on", error=error.message)

    async def _leave(self, delivery: _Delivery, path: Path) -> None:
        """It failed: for later, or for somebody to look at."""
        delivery.tries += 1
        if delivery.tries < TRIES:
            self._queue.put_nowait(delivery)
            return
        try:
            kept = await self._spool.set_aside(path)
        except StoreUnavailable as error:  # the next start finds it where it is
            _log.warning("a delivery was left", error=error.message)
        else:
            _log.error("a delivery was put in quarantine", delivery=kept.name)

    async def _hand_on(self, delivery: _Delivery, body: bytes) -> bool:
        """Hand the transactions to the observer. Returns whether none failed. Raises
        InvalidParameter."""
        elements = await _elements(body)
        failed = 0
        for start in range(0, len(elements), SLICE):
            for element in elements[start : start + SLICE]:
                hand_on = partial(self._hand_on_one, element, again=delivery.tries > 0)
                failed += not self._tasks.attempt("delivered_transaction", hand_on)
            await asyncio.sleep(0)
        if delivery.path is None or delivery.tries == TRIES - 1:  # it isn't tried again
            self._statistics.unread += failed
        return not failed

    def _hand_on_one(self, element: Raw, *, again: bool) -> None:
        """`again`: its delivery was tried before, and this was counted then."""
        self._statistics.transactions += not again
        transaction = _transaction(element)
        if transaction is None:
            self._statistics.unread += not again
            self._tell_gap(element)
            return
        if transaction.signature in self._seen:
            self._statistics.repeated += not again
            return
        observer, count = self._observer, 0
        for wallet in transaction.parties():
            if observer is not None and observer.follows(wallet):
                observer.on_transaction(wallet, transaction)
                count += 1
        self._statistics.told += count
        self._seen[transaction.signature] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _tell_gap(self, element: Raw) -> None:
        """Followed wallets that an unreadable element names anywhere find it in their history."""
        observer = self._observer
        if observer is not None:
            wallets = [text for text in _texts(element) if observer.follows(text)]
            if wallets:
                observer.on_gap(wallets)


async def _elements(body: bytes) -> Sequence[Raw]:
    try:
        if len(body) > LOOKED_THROUGH_HERE:
            return await asyncio.to_thread(_array.decode, body)
        return _array.decode(body)
    except UNREADABLE:
        raise InvalidParameter(
            f"A delivery is a JSON array of at most {ELEMENTS_MAX:,} transactions, and this is "
            "none. Nothing of it was taken."
        ) from None


def _transaction(element: Raw) -> PushedTransaction | None:
    """An enhanced one has its signature at the top, a raw one within."""
    for decoder in (_raw, _enhanced):
        try:
            transaction: PushedTransaction = decoder.decode(element)
        except UNREADABLE:
            continue
        return transaction
    return None


def _texts(element: Raw) -> set[str]:
    """All text in an element that may be an address."""
    found: set[str] = set()
    try:
        left: list[object] = [msgspec.json.decode(element)]
    except UNREADABLE:
        return found
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str) and len(one) <= ADDRESS_CHARACTERS:
            found.add(one)
    return found
