"""Fetches transactions of which only the signature was pushed, many at once.

They are handed on in the order in which their signatures came, which is the chain's more often than
not; but a transaction that isn't there yet doesn't hold up the others.
"""

import asyncio
import random as chance
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog
from msgspec import Raw, Struct

from wd_server.chain.faults import BatchRefused
from wd_server.chain.pacing import backoff
from wd_server.chain.pages import TRANSACTION_OPTIONS
from wd_server.chain.payloads import UNREADABLE, Transaction
from wd_server.chain.rpc import RpcClient
from wd_server.errors import UpstreamError
from wd_server.tasks import Tasks

# Transactions in a JSON-RPC batch; the upstream's maximum.
BATCH = 100
# Batches in flight: what is heard of meanwhile goes together into the next.
BATCHES_AT_ONCE = 4
# Times that a transaction is asked for that isn't there yet: with backoff about 15 seconds. What
# is given up then is found in the wallet's history, if it is on the chain.
TRIES = 8
# Transactions that wait. More than this is lost to whoever can't keep up; their history has it.
WAITING_MAX = 10_000

_log = structlog.get_logger("upstream")


class _Lookup(Struct, eq=False):
    """`done`: there is a transaction, or nobody is to wait for it. `unread`: what came can't be
    read."""

    signature: str
    wallets: list[str]
    tries: int = 0
    done: bool = False
    unread: bool = False
    transaction: Transaction | None = None


_decoder = msgspec.json.Decoder(Transaction | None)


class Lookups:
    """`found` is called with each transaction and the wallets that it was asked for, `missed` with
    the wallets whose transaction can't be had. `unread`: transactions that can't be read."""

    def __init__(
        self,
        rpc: RpcClient,
        found: Callable[[Transaction, list[str]], None],
        missed: Callable[[list[str]], None],
        *,
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tasks: Tasks | None = None,
    ) -> None:
        self.unread = 0
        self._rpc = rpc
        self._found = found
        self._missed = missed
        self._random = random
        self._sleep = sleep
        self._background = tasks or Tasks()
        self._waiting: dict[str, _Lookup] = {}
        self._heard: deque[_Lookup] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._batches = 0
        self._size = BATCH

    def look_up(self, signature: str, wallet: str) -> None:
        lookup = self._waiting.get(signature)
        if lookup is not None:
            lookup.wallets.append(wallet)
        elif len(self._waiting) >= WAITING_MAX:
            self._missed([wallet])
        else:
            self._waiting[signature] = lookup = _Lookup(signature, [wallet])
            self._heard.append(lookup)
            self._go_on()

    async def close(self) -> None:
        await self._background.end(*self._tasks)

    def _go_on(self) -> None:
        while self._waiting and self._batches < BATCHES_AT_ONCE:
            lookups = [self._waiting.pop(each) for each in list(self._waiting)[: self._size]]
            self._batches += 1
            self._start(self._look(lookups), lookups)

    def _start(self, work: Coroutine[Any, Any, None], lookups: list[_Lookup]) -> None:
        give_up = partial(self._give_up, lookups)
        task = self._background.spawn("lookups", work, on_failure=give_up)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, lookups: list[_Lookup]) -> None:
        hopeless = False
        try:
            for lookup, answer in zip(lookups, await self._ask(lookups), strict=True):
                self._read(lookup, answer)
        except BatchRefused:
            self._size = max(1, len(lookups) // 2)
        except UpstreamError as error:
            _log.warning("transactions can't be fetched", kind=type(error).__name__)
            hopeless = True
        finally:
            self._batches -= 1
            asyncio.get_running_loop().call_soon(self._go_on)
        for lookup in lookups:
            lookup.done, transaction = True, lookup.transaction
            if transaction is not None and lookup.tries:  # out of its turn
                self._hand_over(transaction, lookup.wallets)
            elif transaction is None and (hopeless or lookup.unread or lookup.tries >= TRIES):
                self._missed(lookup.wallets)
            elif transaction is None:
                self._start(self._again(lookup), [lookup])
        self._hand_on()

    def _read(self, lookup: _Lookup, answer: Raw) -> None:
        """One that can't be read is nothing to the others that were asked for with it."""
        try:
            lookup.transaction = _decoder.decode(answer)
        except UNREADABLE:
            lookup.unread = True
            self.unread += 1
            _log.warning("a transaction can't be read", signature=lookup.signature)

    def _give_up(self, lookups: list[_Lookup]) -> None:
        """Nothing is to wait for these, whatever went wrong with them."""
        for lookup in lookups:
            if not lookup.done:
                lookup.done = True
                self._missed(lookup.wallets)
        self._hand_on()

    def _hand_on(self) -> None:
        while self._heard and self._heard[0].done:
            lookup = self._heard.popleft()
            if lookup.transaction is not None and not lookup.tries:
                self._hand_over(lookup.transaction, lookup.wallets)

    def _hand_over(self, transaction: Transaction, wallets: list[str]) -> None:
        if not self._background.attempt("lookup", lambda: self._found(transaction, wallets)):
            self._missed(wallets)

    async def _ask(self, lookups: list[_Lookup]) -> list[Raw]:
        params = [[each.signature, TRANSACTION_OPTIONS] for each in lookups]
        if len(params) == 1:
            return [await self._rpc.call("getTransaction", params[0], Raw)]
        return await self._rpc.batch("getTransaction", params, Raw)

    async def _again(self, lookup: _Lookup) -> None:
        """A node may hear of a transaction before another has it."""
        await self._sleep(backoff(lookup.tries, self._random()))
        lookup.tries += 1
        self._waiting[lookup.signature] = lookup
        self._go_on()
