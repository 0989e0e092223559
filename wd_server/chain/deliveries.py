"""What Helius delivers to the webhook: stored first, read afterwards.

A delivery is an array of transactions, raw or enhanced. One that can't be read doesn't keep the
others from being told of; wallets that nobody follows cost no more than to see that.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog
from msgspec import Raw, Struct

from wd_server.chain.credits import DELIVERY_CREDITS, Credits
from wd_server.chain.live import Pushed
from wd_server.chain.payloads import AnyTransaction, EnhancedTransaction, Transaction
from wd_server.chain.spool import DELIVERIES_MAX, Spool
from wd_server.errors import InvalidParameter, StoreUnavailable

# Signatures of which is remembered that they came: deliveries are repeated within seconds. 10 MB.
REMEMBERED = 50_000
# Transactions read in one go, about 2 ms.
SLICE = 20
# Bytes of a delivery that other nodes are told of. A larger one they find in the history.
RELAYED_BYTES = 1024 * 1024
# Bytes that are looked through on the loop, in a millisecond; more is done in a thread.
LOOKED_THROUGH_HERE = 1024 * 1024

_array = msgspec.json.Decoder(list[Raw])
_raw = msgspec.json.Decoder(Transaction)
_enhanced = msgspec.json.Decoder(EnhancedTransaction)
_log = structlog.get_logger("webhook")


class DeliveryStatistics(Struct):
    """`transactions` came, `repeated` of them had come before, `unread` can't be read; `told`: to
    somebody who follows. `waiting` are deliveries."""

    transactions: int = 0
    repeated: int = 0
    unread: int = 0
    told: int = 0
    waiting: int = 0


class Deliveries:
    """`relay` hands a delivery that came here to other nodes, which `hear` it."""

    def __init__(
        self,
        spool: Spool,
        account: Credits,
    ) -> None:
        self._spool = spool
        self._account = account
        self.relay: Callable[[bytes], None] = lambda _: None
        self._told: Pushed | None = None
        # What is stored, and None for the path of what another node has stored.
        self._queue: asyncio.Queue[tuple[Path | None, bytes | None]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[str, None] = {}
        self._statistics = DeliveryStatistics()

    def statistics(self) -> DeliveryStatistics:
        self._statistics.waiting = self._spool.waiting
        return self._statistics

    async def open(self, told: Pushed) -> None:
        """Raises StoreUnavailable."""
        self._told = told
        for path in await self._spool.open():
            self._queue.put_nowait((path, None))
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._spool.close()

    async def take(self, body: bytes) -> int:
        """Store a delivery; how many transactions it has. Raises InvalidParameter for what is no
        array, StoreUnavailable."""
        count = len(await _elements(body))
        path = await self._spool.put(body)
        self._account.spend("webhook", DELIVERY_CREDITS * count)
        self._queue.put_nowait((path, body))
        return count

    def hear(self, body: bytes) -> None:
        """A delivery that came to another node; of too much at once some is dropped."""
        if self._queue.qsize() < DELIVERIES_MAX:
            self._queue.put_nowait((None, body))

    async def _work(self) -> None:
        while True:
            path, body = await self._queue.get()
            try:
                if path is not None:
                    body = await self._spool.read(path) if body is None else body
                    if len(body) <= RELAYED_BYTES:
                        self.relay(body)
                await self._tell(body or b"")
                if path is not None:
                    await self._spool.remove(path)
            except (StoreUnavailable, InvalidParameter) as error:
                _log.warning("a delivery was left", error=error.message)

    async def _tell(self, body: bytes) -> None:
        """Tell who follows of what is in there. Raises InvalidParameter."""
        elements = await _elements(body)
        for start in range(0, len(elements), SLICE):
            for element in elements[start : start + SLICE]:
                self._tell_one(element)
            await asyncio.sleep(0)

    def _tell_one(self, element: Raw) -> None:
        self._statistics.transactions += 1
        transaction = _transaction(element)
        if transaction is None:
            self._statistics.unread += 1
            return
        if transaction.signature in self._seen:
            self._statistics.repeated += 1
            return
        self._seen[transaction.signature] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        told = self._told
        for wallet in transaction.parties():
            if told is not None and told.follows(wallet):
                self._statistics.told += 1
                told.on_transaction(wallet, transaction)


async def _elements(body: bytes) -> Sequence[Raw]:
    try:
        if len(body) > LOOKED_THROUGH_HERE:
            return await asyncio.to_thread(_array.decode, body)
        return _array.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidParameter(
            "A delivery is a JSON array of transactions, and this is none. Nothing of it was taken."
        ) from None


def _transaction(element: Raw) -> AnyTransaction | None:
    """An enhanced one has its signature at the top, a raw one within."""
    for decoder in (_raw, _enhanced):
        try:
            transaction: AnyTransaction = decoder.decode(element)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        return transaction
    return None
