"""Transactions as they were read for one wallet: what each meant, and where it stands. Pure."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from wd_server.chain.listing import ListedSignature
from wd_server.chain.payloads import AnyTransaction, EnhancedTransaction
from wd_server.chain.price_sources import PriceKey
from wd_server.trading.effects import effects_of
from wd_server.trading.enhanced import effects_of_enhanced
from wd_server.trading.interpretation import Interpretation, interpret
from wd_server.trading.ledger import Outcome
from wd_server.trading.prices import Prices, value_of, wanted_prices
from wd_server.trading.trade import CostBasisMethod, Leg, RawTrade, Trade
from wd_server.trading.wire import trade_of

# How sure the chain is of a transaction when it is read: two thirds of the stake voted for it.
COMMITMENT = "confirmed"
# Seconds by which the time of receipt may differ from the block's: that is what validators
# estimate, some seconds off at times, and to take a trade back for it would be worse.
STAMP_SECONDS = 10


class InterpretedTransaction(Struct, array_like=True, gc=False):
    """Which transaction, whether it failed, and what it meant for the wallet. `index`: its place
    in the block, where that is known. `stamped`: its time is that of its receipt."""

    slot: int
    signature: str
    failed: bool
    interpretation: Interpretation
    index: int | None = None
    stamped: bool = False

    @property
    def trade(self) -> RawTrade | None:
        return self.interpretation.trade

    def precedes(self, other: "InterpretedTransaction") -> bool:
        """On the chain, as far as that is known."""
        if self.slot != other.slot:
            return self.slot < other.slot
        return self.index is not None and other.index is not None and self.index < other.index

    def agrees(self, entry: ListedSignature) -> bool:
        """With what the chain says of it."""
        trade = self.trade
        late = 0
        if self.stamped and trade is not None and entry.block_time is not None:
            late = abs(trade.timestamp - entry.block_time)
        return self.slot == entry.slot and late <= STAMP_SECONDS

    def as_in(self, entry: ListedSignature) -> "InterpretedTransaction":
        """The same with the block's time, if that is known and another."""
        trade, time = self.trade, entry.block_time
        if trade is None or time is None or self.agrees(entry):
            return self
        trade = msgspec.structs.replace(trade, timestamp=time)
        interpretation = msgspec.structs.replace(self.interpretation, trade=trade)
        return InterpretedTransaction(
            self.slot, self.signature, self.failed, interpretation, self.index
        )


def interpret_transaction(
    transaction: AnyTransaction, wallet: str, received_at: int
) -> InterpretedTransaction:
    if isinstance(transaction, EnhancedTransaction):
        effects = effects_of_enhanced(transaction, wallet, received_at)
        index, stamped = None, transaction.timestamp is None
    else:
        effects = effects_of(transaction, wallet, received_at)
        index, stamped = transaction.transaction_index, transaction.block_time is None
    interpretation = interpret(effects)
    return InterpretedTransaction(
        effects.slot, effects.signature, effects.failed, interpretation, index, stamped
    )


def prices_for(interpreted: Iterable[InterpretedTransaction]) -> set[PriceKey]:
    """The quotes that would value these trades."""
    trades = (each.interpretation.trade for each in interpreted)
    return {key for trade in trades if trade is not None for key in wanted_prices(trade)}


def mints_of(interpreted: Iterable[InterpretedTransaction]) -> set[str]:
    """The tokens these trades name."""
    trades = (each.interpretation.trade for each in interpreted)
    return {mint for trade in trades if trade is not None for mint in mints_in(trade)}


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
            COMMITMENT,
            int(now * 1000),
            basis,
        )
        for each in interpreted
        if (trade := each.interpretation.trade) is not None
    ]


def legs_of(trade: RawTrade) -> tuple[Leg, Leg]:
    return trade.sold, trade.bought


def mints_in(trade: RawTrade) -> tuple[str, str]:
    return trade.sold.mint, trade.bought.mint
