"""Transactions as they were read for one wallet: what each meant, and where it stands. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from wd_server.chain.listing import ListedSignature
from wd_server.chain.payloads import AnyTransaction, EnhancedTransaction, UnreadableTransaction
from wd_server.chain.price_sources import PriceKey
from wd_server.trading.continuity import STEP, OwnBalance, own_balances
from wd_server.trading.effects import effects_of
from wd_server.trading.enhanced import effects_of_enhanced
from wd_server.trading.interpretation import Interpretation, interpret
from wd_server.trading.ledger import Outcome
from wd_server.trading.orders import may_be_fill
from wd_server.trading.postings import Posting
from wd_server.trading.prices import Prices, value_of, wanted_prices
from wd_server.trading.programs import SOL
from wd_server.trading.trade import CostBasisMethod, Leg, RawTrade, Trade
from wd_server.trading.unreadable import UNKNOWN, interpret_unreadable
from wd_server.trading.wire import Stamp, trade_of

# How sure the chain is of a transaction when it is read: two thirds of the stake voted for it.
COMMITMENT = "confirmed"
# Seconds by which the time of receipt may differ from the block's: that is what validators
# estimate, some seconds off at times, and to take a trade back for it would be worse.
STAMP_SECONDS = 10


class InterpretedTransaction(Struct, array_like=True, gc=False):
    """Which transaction, whether it failed, and what it meant for the wallet.

    timestamp: unix seconds
    index: its place in the block, where that is known
    stamped: its time is that of its receipt
    balances: what it did to the wallet's accounts, None if it doesn't tell
    found: the wallet's listing doesn't have it, the one of an account does
    """

    slot: int
    signature: str
    failed: bool
    interpretation: Interpretation
    timestamp: int
    index: int | None = None
    stamped: bool = False
    balances: tuple[OwnBalance, ...] | None = None
    found: bool = False

    @property
    def trades(self) -> tuple[RawTrade, ...]:
        return self.interpretation.trades

    @property
    def unexplained(self) -> list[Posting]:
        return [each for each in self.interpretation.postings if each.kind == "unexplained"]

    @property
    def is_readable(self) -> bool:
        return self.interpretation.reason != "unreadable"

    @property
    def steps(self) -> tuple[Posting, ...]:
        """What its accounts held more or less than they should, before it."""
        postings = self.interpretation.postings
        return tuple(posting for posting in postings if posting.place == STEP)

    def with_steps(self, steps: Sequence[Posting]) -> "InterpretedTransaction":
        """The same with these steps before its other postings, instead of those it has."""
        postings = self.interpretation.postings
        rest = [posting for posting in postings if posting.place != STEP]
        interpretation = replace(self.interpretation, postings=(*steps, *rest))
        return replace(self, interpretation=interpretation)

    def means(self, other: "InterpretedTransaction") -> bool:
        """Whether a client is told the same of both."""
        return replace(self, balances=other.balances, found=other.found) == other

    def precedes(self, other: "InterpretedTransaction") -> bool:
        """On the chain, as far as that is known."""
        if self.slot != other.slot:
            return self.slot < other.slot
        return self.index is not None and other.index is not None and self.index < other.index

    def agrees(self, entry: ListedSignature) -> bool:
        """With what the chain says of it."""
        late = 0
        if self.stamped and entry.block_time is not None:
            late = abs(self.timestamp - entry.block_time)
        return self.slot == entry.slot and late <= STAMP_SECONDS

    def as_in(self, entry: ListedSignature) -> "InterpretedTransaction":
        """The same with the block's time, if that is known and another."""
        time = entry.block_time
        if time is None or self.agrees(entry):
            return self
        trades = tuple(replace(trade, timestamp=time) for trade in self.trades)
        interpretation = replace(self.interpretation, trades=trades)
        return replace(self, interpretation=interpretation, timestamp=time, stamped=False)


def interpret_transaction(
    transaction: AnyTransaction, wallet: str, received_at: int
) -> InterpretedTransaction:
    if isinstance(transaction, UnreadableTransaction):
        interpretation = interpret_unreadable(transaction, wallet)
        read = transaction.balances
        balances = None if read is None else own_balances(read, wallet)
        told = unreadable(transaction, received_at)
        return replace(told, interpretation=interpretation, balances=balances)
    if isinstance(transaction, EnhancedTransaction):
        effects = effects_of_enhanced(transaction, wallet, received_at)
        index = None
    else:
        effects = effects_of(transaction, wallet, received_at)
        index = transaction.transaction_index
    interpretation = interpret(effects)
    return InterpretedTransaction(
        slot=effects.slot,
        signature=effects.signature,
        failed=effects.failed,
        interpretation=interpretation,
        timestamp=effects.timestamp,
        index=index,
        stamped=transaction.time is None,
        balances=own_balances(transaction, wallet),
    )


def unreadable(transaction: AnyTransaction, received_at: int) -> InterpretedTransaction:
    """A transaction of which no more is known than that it is there."""
    index, time = None, transaction.time
    if not isinstance(transaction, EnhancedTransaction):
        index = transaction.transaction_index
    return InterpretedTransaction(
        slot=transaction.slot,
        signature=transaction.signature,
        failed=False,
        interpretation=UNKNOWN,
        timestamp=received_at if time is None else time,
        index=index,
        stamped=time is None,
    )


def sliced(
    interpreted: Sequence[InterpretedTransaction], size: int
) -> Iterator[Sequence[InterpretedTransaction]]:
    """In slices of a size, or larger, so that each ends with one that the listing has."""
    start = 0
    while start < len(interpreted):
        end = min(start + size, len(interpreted))
        while end < len(interpreted) and interpreted[end - 1].found:
            end += 1
        yield interpreted[start:end]
        start = end


def prices_for(interpreted: Iterable[InterpretedTransaction]) -> set[PriceKey]:
    """The quotes that would value these trades, and those that custody may find."""
    wanted: set[PriceKey] = set()
    for each in interpreted:
        for trade in each.trades:
            wanted.update(wanted_prices(trade))
        if may_be_fill(each.interpretation):
            wanted.add((SOL, each.timestamp // 60))
    return wanted


def mints_of(interpreted: Iterable[InterpretedTransaction]) -> set[str]:
    """The tokens these trades name."""
    return {mint for each in interpreted for mint in mints_in(each.trades)}


def previewed(
    interpreted: Iterable[InterpretedTransaction],
    prices: Prices,
    symbols: Mapping[str, str],
    basis: CostBasisMethod,
    now: float,
) -> list[Trade]:
    """Trades without P&L: what came before them isn't known yet."""
    unknown = Outcome(None, None, 0, 0, 0, 0)
    return [
        trade_of(
            trade,
            value_of(trade, prices),
            unknown,
            symbols,
            Stamp(COMMITMENT, int(now * 1000), basis, block_index=each.index),
        )
        for each in interpreted
        for trade in each.trades
    ]


def legs_of(trades: Iterable[RawTrade]) -> list[tuple[Leg, Leg]]:
    return [(trade.sold, trade.bought) for trade in trades]


def mints_in(trades: Iterable[RawTrade]) -> set[str]:
    return {mint for trade in trades for mint in (trade.sold.mint, trade.bought.mint)}
