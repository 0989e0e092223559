"""The kinds of events, and the data of each as dataclasses.

Written from the server's table of events by `make docs`: don't edit it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from wd_client.base import Event

CONNECTED: Final = "connected"
PREVIEW: Final = "preview"
PROGRESS: Final = "progress"
TRADE: Final = "trade"
TRADES: Final = "trades"
SUMMARY: Final = "summary"
COMPLETE: Final = "complete"
RETRACT: Final = "retract"
MOVEMENT: Final = "movement"
HEARTBEAT: Final = "heartbeat"
GAP: Final = "gap"
ERROR: Final = "error"
BYE: Final = "bye"

# Entries of the wallet's journal.
STORED: Final = frozenset({TRADE, COMPLETE, RETRACT, MOVEMENT})
# Entries that have a `number`, and that the digest of a `complete` proves.
COUNTED: Final = frozenset({TRADE, RETRACT})
# Entries that its `digest_all` proves.
CHAINED: Final = frozenset({TRADE, RETRACT, MOVEMENT})
# Events with an id, which moves a client's position.
WITH_ID: Final = frozenset({TRADE, TRADES, COMPLETE, RETRACT, MOVEMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Event):
    """The stream is open: who it is and how it was taken up.

    `stream_id`: Names this connection, in logs too: give it when you ask for help.
    `timestamp`: Unix seconds when this was sent.
    `resumed`: Whether it goes on where `Last-Event-ID` says.
    `heartbeat_seconds`: The longest silence. After three of them the connection is dead.
    `follow`: Whether it stays open for new trades.
    `server`: Name and version of the server.
    `wallets`: The wallets in the order of the request, where there are several.
    """

    stream_id: str
    timestamp: int
    resumed: bool
    heartbeat_seconds: int
    follow: bool
    server: str
    wallets: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`mint`: The token's address. SOL stands under wrapped SOL's.
    `symbol`: As its maker chose it: show it as text. The mint where there is none.
    `decimals`: Decimals of one whole token.
    `amount`: In whole tokens.
    `amount_raw`: In smallest units, an integer with all its digits.
    """

    mint: str
    symbol: str
    decimals: int
    amount: Decimal
    amount_raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedAmount:
    """`kind`: What it was.
    `mint`: The token's address. SOL stands under wrapped SOL's.
    `decimals`: Decimals of one whole token.
    `amount`: In whole tokens; less than 0 where it left the wallet.
    `amount_raw`: In smallest units, an integer with all its digits.
    `symbol`: As its maker chose it: show it as text. Missing where it isn't known.
    `counterparty`: Address that it came from or went to; missing where the transaction doesn't show
    exactly one.
    `place`: Name of the program that keeps it, or why it is unexplained; missing for others.
    """

    kind: str
    mint: str
    decimals: int
    amount: Decimal
    amount_raw: str
    symbol: str | None = None
    counterparty: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade(Event):
    """One trade, in the order of the chain and final: its P&L is known.

    `signature`: The transaction's signature. It and `part` together name a trade.
    `part`: Which trade of its transaction this is, from 0. Part 0 has all its fees.
    `parts`: How many trades the transaction has for this wallet.
    `slot`: The slot of the transaction.
    `block_index`: Its place in the block; None where the upstream doesn't say.
    `timestamp`: Unix seconds of the block.
    `action`: `buy` and `sell` are of a token for SOL or a stable coin; `swap` is of a token for
    another; a `burn` destroys one and gets 0 SOL.
    `token_in`: What the wallet gave.
    `token_out`: What the wallet got.
    `token`: The mint that the trade is about: what a sell gave, else what was got.
    `price_usd`: US dollars for one `token`.
    `price_sol`: The same in SOL.
    `value_usd`: US dollars of the whole trade; None when no price is known.
    `value_sol`: The same in SOL.
    `fee_sol`: Network fee, tips and platform fees together.
    `network_fee_sol`: Base and priority fee, where the wallet paid them.
    `priority_fee_sol`: How much of that the wallet offered to be served sooner.
    `tip_sol`: What the transaction itself paid for being included in a block.
    `platform_fee_sol`: What bots, front ends and venues took out of the wallet's SOL.
    `pnl_usd`: Realized profit or loss; None for a buy, and where no cost is known.
    `pnl_sol`: The same in SOL.
    `cost_basis`: How the cost of what is sold is found.
    `unmatched_amount`: Sold without a known purchase; in no P&L.
    `position_amount`: What is left of `token` after this trade.
    `priced`: Whether a value in US dollars is known.
    `dex`: Where it was traded, `unknown` if no known program took part.
    `confidence`: `low`: no known program took part, or the amounts aren't exact.
    `commitment`: How settled the transaction was when it was read.
    `emitted_at`: Unix milliseconds when the trade was stored: the way from there can be measured.
    `number`: Counts trades and retractions from 1 without holes: one that is missing tells of a
    loss. Missing in previews and in entries of older servers.
    `replaces`: Id of this trade's first version, in whose place it stands; missing where it was
    never corrected.
    `postings`: What the transaction moved beside the legs and fees of its trades, on part 0;
    missing where that is nothing.
    """

    signature: str
    part: int | None = None
    parts: int | None = None
    slot: int
    block_index: int | None = None
    timestamp: int
    action: str
    token_in: Token
    token_out: Token
    token: str | None = None
    price_usd: Decimal | None
    price_sol: Decimal | None = None
    value_usd: Decimal | None
    value_sol: Decimal | None
    fee_sol: Decimal
    network_fee_sol: Decimal | None = None
    priority_fee_sol: Decimal | None = None
    tip_sol: Decimal | None = None
    platform_fee_sol: Decimal | None = None
    pnl_usd: Decimal | None
    pnl_sol: Decimal | None
    cost_basis: str
    unmatched_amount: Decimal
    position_amount: Decimal
    priced: bool
    dex: str
    confidence: str
    commitment: str
    emitted_at: int
    number: int | None = None
    replaces: str | None = None
    postings: tuple[PostedAmount, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview(Event):
    """Up to 25 of the newest trades, without P&L, while a long history is still being listed. It
    may come twice, the second time with names and prices.

    `trades`: Newest last.
    `timestamp`: Unix seconds when this was sent.
    """

    trades: tuple[Trade, ...]
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """How much of the history has been read; at most four a second.

    `message`: A sentence for people.
    `percentage`: 0 to 100; never goes back.
    `step`: What is being done.
    `signatures_found`: Transactions listed so far.
    `transactions_done`: Transactions read so far.
    `trades_found`: Trades among them.
    `timestamp`: Unix seconds when this was sent.
    """

    message: str
    percentage: int
    step: str
    signatures_found: int
    transactions_done: int
    trades_found: int
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades(Event):
    """A batch of trades, where `batch` was asked for. Its id is the last one's.

    `trades`: Oldest first.
    `batch_num`: Counts from 1 on each connection.
    `total_yielded`: Trades sent on this connection so far.
    `has_more`: Whether more is stored that comes at once.
    `timestamp`: Unix seconds when this was sent.
    """

    trades: tuple[Trade, ...]
    batch_num: int
    total_yielded: int
    has_more: bool
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Event):
    """The wallet's totals after new trades, for who follows; at most one a second.

    `cost_basis`: How the cost of what is sold is found.
    `trades`: All trades.
    `buys`: Of these, buys.
    `sells`: Of these, sells.
    `swaps`: Of these, swaps.
    `priced_trades`: Trades with a value in US dollars.
    `unpriced_trades`: Trades without one.
    `volume_sol`: Value of the trades that have one in SOL.
    `volume_usd`: Value of the trades that have one in US dollars.
    `realized_pnl_sol`: Realized profit or loss before fees.
    `realized_pnl_usd`: The same in US dollars.
    `fees_sol`: All fees.
    `net_pnl_sol`: Realized profit or loss after fees.
    `unmatched_sol`: Proceeds of what was sold without a known purchase; in no P&L.
    `unmatched_usd`: The same in US dollars.
    `transferred_cost_sol`: Cost of what left by transfer; in no P&L.
    `tokens_traded`: Tokens with a trade.
    `tokens_sold`: Tokens with a sale in SOL whose cost is known.
    `tokens_won`: Of these, those whose sales together made a profit.
    `win_rate`: `tokens_won` over `tokens_sold`, 0 to 1; None without a sale.
    `open_positions`: Tokens that are still held.
    `first_trade_at`: Unix seconds; None without a trade.
    `last_trade_at`: Unix seconds; None without a trade.
    """

    cost_basis: str
    trades: int
    buys: int
    sells: int
    swaps: int
    priced_trades: int
    unpriced_trades: int
    volume_sol: Decimal
    volume_usd: Decimal | None
    realized_pnl_sol: Decimal
    realized_pnl_usd: Decimal | None
    fees_sol: Decimal
    net_pnl_sol: Decimal
    unmatched_sol: Decimal
    unmatched_usd: Decimal | None
    transferred_cost_sol: Decimal
    tokens_traded: int
    tokens_sold: int
    tokens_won: int
    win_rate: Decimal | None
    open_positions: int
    first_trade_at: int | None
    last_trade_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncMetrics:
    """`signatures_found`: Transactions listed.
    `transactions`: Transactions read.
    `failed_transactions`: Those that failed on the chain; they are no trades.
    `unpriced_trades`: Trades without a value in US dollars.
    `movements`: Transactions without a trade that moved something or failed.
    `unexplained_transactions`: Transactions with a posting that nothing explains.
    `unexplained_sol`: The SOL of these postings, counted without its sign.
    `unexplained_reasons`: How many of these transactions there are, by reason. One may have
    several.
    """

    signatures_found: int
    transactions: int
    failed_transactions: int
    unpriced_trades: int
    movements: int
    unexplained_transactions: int
    unexplained_sol: Decimal
    unexplained_reasons: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete(Event):
    """The whole history was sent. A stream that doesn't follow ends here.

    `status`: Always `complete`.
    `trades_found`: Trades in the whole history.
    `duration`: Seconds that reading the wallet took.
    `summary`: The wallet's totals.
    `metrics`: What was read from the chain.
    `truncated`: Whether older transactions than the server reads were left out.
    `timestamp`: Unix seconds when this was sent.
    `entries`: `trade` and `retract` entries before this one.
    `digest`: The end of a hash chain over exactly these, in hex, to prove that none is missing or
    altered.
    `entries_all`: `trade`, `retract` and `movement` entries before this one.
    `digest_all`: The end of a hash chain over exactly these.
    `verified`: The client has compared `entries` and `digest` with what came, from the beginning of
    the history; and `entries_all` and `digest_all`, where movements are read.
    """

    status: str
    trades_found: int
    duration: float
    summary: Summary
    metrics: SyncMetrics
    truncated: bool
    timestamp: int
    entries: int | None = None
    digest: str | None = None
    entries_all: int | None = None
    digest_all: str | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retract(Event):
    """A trade left the chain with a fork, or comes again with other numbers: take it back.

    `signature`: The trade's signature.
    `number`: Counts trades and retractions from 1 without holes.
    """

    signature: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement(Event):
    """What a transaction without a trade moved: a transfer, custody, a claim, a round trip; or that
    it failed. A later one with the same `signature` stands in its place.

    `signature`: The transaction's signature.
    `slot`: The slot of the transaction.
    `block_index`: Its place in the block; None where the upstream doesn't say.
    `timestamp`: Unix seconds of the block.
    `reason`: Why it is no trade, in a word; more may be added. `retracted` takes back what an
    earlier movement told of this transaction.
    `postings`: All that it moved. For each asset they add up to the wallet's change.
    `commitment`: How settled the transaction was when it was read.
    `emitted_at`: Unix milliseconds when this was stored.
    `complete`: Id of the `complete` that still holds; missing where the next is yet to come.
    """

    signature: str
    slot: int
    block_index: int | None
    timestamp: int
    reason: str
    postings: tuple[PostedAmount, ...]
    commitment: str
    emitted_at: int
    complete: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Event):
    """Nothing else was sent for `heartbeat_seconds`.

    `timestamp`: Unix seconds when this was sent.
    """

    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Event):
    """What you hold can't be continued: discard it, the whole history follows. With the reason
    `mismatch` the client made it: what came isn't what the server proves.

    `reason`: `unknown_id`: it is none of this wallet's; `expired`: it is no longer stored; `reset`:
    the history began anew.
    `from_id`: The id you sent; empty if it can't be read.
    `to_id`: The newest id there is; None if there is none.
    """

    reason: str
    from_id: str = field(metadata={"name": "from"})
    to_id: str | None = field(metadata={"name": "to"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """`retry_after`: Seconds; missing where coming back is of no use."""

    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Event):
    """Something went wrong; the stream ends. With `retry_after` it is worth coming back. `stream`
    raises it, or waits and comes back, and doesn't yield it.

    `error`: A sentence for people.
    `code`: For programs; the list of errors says what to do.
    `details`: What else is known.
    `timestamp`: Unix seconds when this was sent.
    """

    error: str
    code: str
    details: ErrorDetails
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye(Event):
    """You are sent away; the stream ends. A `retry:` line says when to come back.

    `reason`: Why. After `revoked` and `closed_by_owner` coming back is of no use.
    `reconnect_after_ms`: When to come back, spread so that clients don't come together.
    """

    reason: str
    reconnect_after_ms: int


EVENTS: Final[Mapping[str, type[Event]]] = {
    CONNECTED: Connected,
    PREVIEW: Preview,
    PROGRESS: Progress,
    TRADE: Trade,
    TRADES: Trades,
    SUMMARY: Summary,
    COMPLETE: Complete,
    RETRACT: Retract,
    MOVEMENT: Movement,
    HEARTBEAT: Heartbeat,
    GAP: Gap,
    ERROR: Error,
    BYE: Bye,
}
