"""The data of events, and the words that stand in it.

Shapes and meanings are those of section 2 of the public contract. What holds for each kind of event
stands in kinds.py; an `error` has the codes of errors.py.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

from msgspec import UNSET, Struct, UnsetType

from wd_server.trading.summary import Summary
from wd_server.trading.trade import PostedAmount, Trade

Step = Literal[
    "initializing",
    "fetching_signatures",
    "fetching_transactions",
    "processing_trades",
    "calculating_pnl",
    "complete",
]
GapReason = Literal["unknown_id", "expired", "reset"]
ByeReason = Literal["shutdown", "lifetime", "token_expired", "revoked", "slow", "closed_by_owner"]

# The reason of a movement that takes back what an earlier one told of its transaction.
RETRACTED: Final = "retracted"
# Fields whose names end so are null where a stream has `skip_pricing`.
USD_SUFFIX: Final = "_usd"


class Event(Struct):
    """Data of one kind of event. A trade and the totals stand in `trading`."""


class Connected(Event):
    """`wallet` None: there are several, `wallets`."""

    stream_id: str
    wallet: str | None
    timestamp: int
    resumed: bool
    heartbeat_seconds: int
    follow: bool
    server: str
    wallets: Sequence[str] | UnsetType = UNSET


class Preview(Event):
    trades: Sequence[Trade]
    timestamp: int


class Trades(Event):
    """A batch. `View` writes it around stored trades, which are encoded already."""

    trades: Sequence[Trade]
    batch_num: int
    total_yielded: int
    has_more: bool
    timestamp: int


class Progress(Event):
    message: str
    percentage: int
    step: Step
    signatures_found: int
    transactions_done: int
    trades_found: int
    timestamp: int


class SyncMetrics(Struct):
    """What the sync pass read, in counts. `unexplained_sol` is without signs: what came and what
    went don't cancel each other out."""

    signatures_found: int
    transactions: int
    failed_transactions: int
    unpriced_trades: int
    movements: int
    unexplained_transactions: int
    unexplained_sol: Decimal
    unexplained_reasons: Mapping[str, int]


ReconciliationStatus = Literal["agrees", "differs", "unavailable"]
ReconciliationReason = Literal["truncated", "unexplained", "refused", "no_answer", "behind"]


class SolBalance(Struct, frozen=True):
    """`difference`: what the chain has more than the books."""

    chain: Decimal
    books: Decimal
    difference: Decimal


class BalanceDifference(Struct, frozen=True):
    """A mint of which the chain has another amount than the books. `account`: the one token account
    that differs, None if there are several or the difference arose earlier."""

    mint: str
    account: str | None
    decimals: int
    chain_raw: str
    books_raw: str


class Reconciliation(Struct, frozen=True):
    """The books held against the balances that the chain has in `slot`."""

    status: ReconciliationStatus
    reason: ReconciliationReason | None
    slot: int | None
    sol: SolBalance | None
    tokens_agree: int
    tokens_differ: int
    differences: Sequence[BalanceDifference]
    opening_sol: Decimal
    closing_sol: Decimal
    checked_at: int


class Complete(Event):
    """`duration`: seconds of the sync pass that wrote it. `entries` and `digest` are the count and
    the hash chain of the counted entries before it, `entries_all` and `digest_all` those of the
    movements, too (sync/proof.py)."""

    status: Literal["complete"]
    trades_found: int
    duration: float
    summary: Summary
    metrics: SyncMetrics
    truncated: bool
    timestamp: int
    entries: int
    digest: str
    entries_all: int
    digest_all: str
    reconciliation: Reconciliation | UnsetType = UNSET


class Retract(Event):
    """A trade that left the chain, or that comes again with other numbers."""

    signature: str
    number: int


class Movement(Event):
    """What a transaction without a trade moved. A later one with the same signature stands in its
    place; one with the reason RETRACTED and without postings takes it back. `block_index` is None
    where the upstream doesn't say it. `complete` is the id of the `complete` that the movement
    doesn't overtake: between the two are movements only. So the newest entry of a journal always
    says whether a `complete` holds."""

    signature: str
    slot: int
    block_index: int | None
    timestamp: int
    reason: str
    postings: Sequence[PostedAmount]
    commitment: str
    emitted_at: int
    complete: str | UnsetType = UNSET


class Heartbeat(Event):
    timestamp: int


class Gap(Event, rename={"from_id": "from", "to_id": "to"}):
    reason: GapReason
    from_id: str
    to_id: str | None


class ErrorDetails(Struct, omit_defaults=True):
    retry_after: float | None = None


class Error(Event):
    error: str
    code: str
    details: ErrorDetails
    timestamp: int


class Bye(Event):
    """`reason` is a `ByeReason`."""

    reason: str
    reconnect_after_ms: int
