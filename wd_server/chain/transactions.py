"""The transactions that a listing names, whichever method the upstream has for them.

They are fetched by pages of a range of slots or by signature in batches, and joined by signature.
One that left the chain since it was listed is left out; but for that none is missing. A transaction
that can't be read stands in its place as UnreadableTransaction, and one that the upstream can't
give at all ends the read.
"""

import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
import structlog
from msgspec import Struct

from wd_server.chain.faults import (
    BatchRefused,
    KeyRefused,
    MethodUnavailable,
    VersionUnsupported,
    unavailable,
)
from wd_server.chain.listing import ListedSignature
from wd_server.chain.pacing import backoff
from wd_server.chain.pages import TRANSACTION_OPTIONS, TransactionPage, cost_of, page_options
from wd_server.chain.payloads import (
    UNREADABLE,
    ListedTransaction,
    Transaction,
    UnreadableTransaction,
    without_instructions,
)
from wd_server.chain.rpc import RpcClient
from wd_server.chain.turns import Turn
from wd_server.errors import UpstreamRejected

BATCH = 100  # transactions in a JSON-RPC batch; the upstream's maximum
PAGE = 1000  # full transactions in a page; the upstream's maximum
FIRST_PAGE = 100  # transactions; small, since their size isn't known yet and somebody waits
# Bytes of a page to aim at: its envelope is copied and scanned in one go, at 0.8 GB/s: 2 ms of
# the 5 that the loop may be held. Transactions are 1 to 15 KB.
PAGE_BYTES = 1_500_000
# Transactions decoded in one go and handed on: 150 KB, which a processor's own cache holds, and a
# fraction of a millisecond.
SLICE = 10
# Pages in a row that bring nothing new before the upstream is said to go in circles. Empty pages
# with a token are legal: it scans on.
MAX_BARREN_PAGES = 50
MODE_SECONDS = 6 * 3600.0  # until a method that was refused is tried again: plans change
SMALL_PAGE = 100  # full transactions; the most that some plans allow
# Seconds that a listed transaction may be null. At `confirmed` it takes a node some seconds.
NULL_SECONDS = 30.0
# Of them, those after which the upstream is asked whether it left the chain.
GONE_SECONDS = 4.0
STATUSES = 256  # signatures in one getSignatureStatuses; the upstream's maximum

# Signatures of transactions that couldn't be read which are remembered, at some 200 bytes each.
UNREAD_REMEMBERED = 1000

# Stands for a transaction that left the chain.
GONE: Final = msgspec.Raw(b"null")
# Stands for a transaction of a version that this server doesn't know, and so the upstream doesn't
# give it.
UNKNOWN_VERSION: Final = msgspec.Raw(b'"unknown version"')

_log = structlog.get_logger("upstream")

Mode = Literal["undecided", "transactions_for_address", "signatures_for_address"]


class _Signatures(Struct, gc=False):
    signatures: Annotated[list[str], msgspec.Meta(min_length=1)]


class _Statuses(Struct):
    """`value`: of each signature, None if the upstream knows of none."""

    value: list[dict[str, Any] | None]


class _SignedAnswer(Struct, gc=False):
    """Just enough of a transaction to tell which it is."""

    transaction: _Signatures


class Transactions:
    """Gives transactions of one upstream and remembers which methods it has. `mode` is the one in
    use, `batch` how many calls the upstream takes in a JSON-RPC batch; `final_slot`: what is above
    it may leave the chain. `unread`: transactions that couldn't be read."""

    def __init__(
        self,
        rpc: RpcClient,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.mode: Mode = "undecided"
        self.batch = BATCH
        self.final_slot = math.inf
        self.unread = 0
        self._rpc = rpc
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._retry_mode_at = math.inf
        self._page = FIRST_PAGE
        self._page_limit = PAGE
        # Of those that couldn't be read: each is counted and logged once, not with each read.
        self._unread: dict[str, None] = {}
        self._decoder = msgspec.json.Decoder(Transaction)
        self._signatures = msgspec.json.Decoder(_SignedAnswer)

    @property
    def may_be_paged(self) -> bool:
        """The upstream isn't known to lack the better method, or was asked long ago."""
        return self.mode != "signatures_for_address" or self._clock() >= self._retry_mode_at

    @property
    def chunk(self) -> int:
        """How many to ask for at a time."""
        return self._page if self.mode == "transactions_for_address" else self.batch

    def fall_back(self) -> None:
        self.mode = "signatures_for_address"
        self._retry_mode_at = self._clock() + MODE_SECONDS

    async def answers(
        self, wallet: str, listed: list[ListedSignature], turn: Turn | None
    ) -> list[msgspec.Raw]:
        """An answer for each of these signatures, perhaps GONE: what it is for shows when it is
        decoded."""
        if listed and self.mode == "transactions_for_address":
            try:
                answers = await self._fetch_pages(wallet, listed, turn)
            except MethodUnavailable:
                self.fall_back()
            except VersionUnsupported:
                pass  # asked one by one, the others are there
            else:
                if len(answers) == len(listed):
                    return answers
                return await self._joined(listed, answers, turn)
        return await self._joined(listed, [], turn)

    async def by_signature(
        self, listed: list[ListedSignature], turn: Turn | None
    ) -> list[Transaction]:
        """These transactions, whosever listing has them. Without those that left the chain or
        can't be read."""
        answers = await self._joined(listed, [], turn)
        transactions: list[Transaction] = []
        for first in range(0, len(listed), SLICE):
            decoded = await self.decoded(listed, answers, first, turn)
            transactions += [each for each in decoded if isinstance(each, Transaction)]
        return transactions

    async def decoded(
        self,
        listed: list[ListedSignature],
        answers: list[msgspec.Raw],
        first: int,
        turn: Turn | None,
    ) -> list[ListedTransaction]:
        """The next few transactions of a chunk. `answers` are put in order if they aren't. One that
        can't be read is nothing to the wallet's others.

        They are decoded only now, since they are worked on while they are in the processor's
        cache then: all that follows takes two thirds of the time that it takes by the hundred.
        """
        part = listed[first : first + SLICE]
        transactions = self._decode(part, answers[first : first + SLICE], in_order=False)
        if transactions is None:
            answers[:] = await self._joined(listed, answers, turn)
            transactions = self._decode(part, answers[first : first + SLICE], in_order=True)
            if transactions is None:
                raise unavailable("it gives other transactions than it lists")
        return transactions

    async def _joined(
        self, listed: list[ListedSignature], answers: Sequence[msgspec.Raw], turn: Turn | None
    ) -> list[msgspec.Raw]:
        """The answers in the order of `listed`; what is missing among them is asked for."""
        found: dict[str, msgspec.Raw] = {}
        for answer in answers:
            signature = self._signed(answer)
            if signature is not None:
                found[signature] = answer
        await self._fetch_missing(listed, found, turn)
        return [found[each.signature] for each in listed]

    async def _fetch_pages(
        self, wallet: str, listed: list[ListedSignature], turn: Turn | None
    ) -> list[msgspec.Raw]:
        slots = {"gte": listed[0].slot, "lte": listed[-1].slot}
        answers: list[msgspec.Raw] = []
        token: str | None = None
        tokens: set[str | None] = {None}
        while True:
            options = page_options("full", "asc", self._page_limit, token)
            options["filters"]["slot"] = slots
            page = await self._full_page([wallet, options], turn)
            self._fit_page(page.data)
            answers += page.data
            token = page.pagination_token
            if token is None or len(answers) >= len(listed):
                return answers
            if token in tokens or len(tokens) > MAX_BARREN_PAGES:
                raise unavailable("its pages go in circles")
            tokens.add(token)

    async def _full_page(self, params: list[Any], turn: Turn | None) -> TransactionPage:
        options = params[-1]
        ask = partial(
            self._rpc.call,
            "getTransactionsForAddress",
            params,
            TransactionPage,
            cost=cost_of,
            turn=turn,
        )
        try:
            return await ask()
        except (MethodUnavailable, KeyRefused, VersionUnsupported):
            raise
        except UpstreamRejected:
            if options["limit"] <= SMALL_PAGE:
                raise
        self._page_limit = self._page = options["limit"] = SMALL_PAGE
        return await ask()

    def _fit_page(self, data: Sequence[msgspec.Raw]) -> None:
        """Size the next pages by what this one's transactions weigh, in whole hundreds: that is
        how they are charged."""
        if data:
            fitting = PAGE_BYTES * len(data) // sum(len(memoryview(each)) for each in data)
            self._page = min(max(fitting // SMALL_PAGE, 1) * SMALL_PAGE, self._page_limit)

    async def _fetch_missing(
        self, listed: list[ListedSignature], found: dict[str, msgspec.Raw], turn: Turn | None
    ) -> None:
        """Fetch those that aren't in `found` yet, until all are."""
        started = self._clock()
        for attempt in itertools.count():
            missing = [each.signature for each in listed if each.signature not in found]
            if not missing:
                return
            wait = backoff(attempt - 1, self._random()) if attempt else 0.0
            if self._clock() + wait > started + NULL_SECONDS:
                raise unavailable("it lists transactions that it doesn't give")
            await self._sleep(wait)
            answers = await self._ask(missing, turn)
            pairs = zip(missing, answers, strict=True)
            found |= {each: answer for each, answer in pairs if bytes(answer) != b"null"}
            if self._clock() >= started + GONE_SECONDS:
                nulls = [each for each in listed if each.signature not in found]
                found |= dict.fromkeys(await self._gone(nulls, turn), GONE)

    async def _gone(self, listed: list[ListedSignature], turn: Turn | None) -> list[str]:
        """The signatures that the upstream doesn't know any more. A final transaction can't be
        gone."""
        signatures = [each.signature for each in listed if each.slot > self.final_slot]
        gone: list[str] = []
        for first in range(0, len(signatures), STATUSES):
            part = signatures[first : first + STATUSES]
            try:
                found = await self._rpc.call("getSignatureStatuses", [part], _Statuses, turn=turn)
            except UpstreamRejected:
                return gone  # it has no such method
            pairs = zip(part, found.value, strict=False)
            gone += [signature for signature, status in pairs if status is None]
        return gone

    async def _ask(self, signatures: list[str], turn: Turn | None) -> list[msgspec.Raw]:
        """The results, null for those that the upstream doesn't have yet. A batch that is refused
        is halved, and so are all later ones."""
        params = [[signature, TRANSACTION_OPTIONS] for signature in signatures]
        size = self.batch
        try:
            if len(params) == 1:
                return [await self._rpc.call("getTransaction", params[0], msgspec.Raw, turn=turn)]
            if len(params) <= size:
                return await self._rpc.batch("getTransaction", params, msgspec.Raw, turn=turn)
        except BatchRefused:
            size = self.batch = min(self.batch, max(1, len(params) // 2))
        except VersionUnsupported:
            if len(params) == 1:
                return [UNKNOWN_VERSION]
            size = len(params) // 2
        answers: list[msgspec.Raw] = []
        for first in range(0, len(signatures), size):
            answers += await self._ask(signatures[first : first + size], turn)
        return answers

    def _decode(
        self, listed: Sequence[ListedSignature], answers: Sequence[msgspec.Raw], *, in_order: bool
    ) -> list[ListedTransaction] | None:
        """Without those that are GONE; None if the answers are for others than these. `in_order`:
        an answer that doesn't say whose it is belongs to the signature in its place."""
        transactions: list[ListedTransaction] = []
        for one, answer in zip(listed, answers, strict=True):
            if answer is GONE:
                continue
            try:
                transaction = self._decoder.decode(answer)
            except UNREADABLE as error:
                signature = self._signed(answer)
                if signature != one.signature and not (in_order and signature is None):
                    return None
                transactions.append(self._unreadable(one, answer, error))
                continue
            if transaction.signature != one.signature:
                return None
            transactions.append(transaction)
        return transactions

    def _signed(self, answer: msgspec.Raw) -> str | None:
        """Whose answer it is; None if it doesn't say."""
        try:
            return self._signatures.decode(answer).transaction.signatures[0]
        except UNREADABLE:
            return None

    def _unreadable(
        self, one: ListedSignature, answer: msgspec.Raw, error: Exception
    ) -> UnreadableTransaction:
        signature, reason = one.signature, str(error)
        if signature not in self._unread:
            self._unread[signature] = None
            if len(self._unread) > UNREAD_REMEMBERED:
                del self._unread[next(iter(self._unread))]
            self.unread += 1
            _log.warning("a transaction can't be read", signature=signature, reason=reason)
        balances = without_instructions(answer, signature)
        return UnreadableTransaction(
            signature, one.slot, reason, one.transaction_index, balances, one.block_time
        )
