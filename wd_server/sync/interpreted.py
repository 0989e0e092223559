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


class Read(Struct, array_like=True, gc=False):
    """Which transaction, whether it failed, and what it meant for the wallet. `index`: its place
    in the block, where that is known. `stamped`: its time is that of its receipt."""

    slot: int
    signature: str
    failed: bool
    reading: Interpretation
    index: int | None = None
    stamped: bool = False

    @property
    def swap(self) -> RawTrade | None:
        return self.reading.trade

    def precedes(self, other: "Read") -> bool:
        """On the chain, as far as that is known."""
        if self.slot != other.slot:
            return self.slot < other.slot
        return self.index is not None and other.index is not None and self.index < other.index

    def agrees(self, entry: ListedSignature) -> bool:
        """With what the chain says of it."""
        swap = self.swap
        late = 0
        if self.stamped and swap is not None and entry.block_time is not None:
            late = abs(swap.timestamp - entry.block_time)
        return self.slot == entry.slot and late <= STAMP_SECONDS

    def as_in(self, entry: ListedSignature) -> "Read":
        """The same with the block's time, if that is known and another."""
        swap, time = self.swap, entry.block_time
        if swap is None or time is None or self.agrees(entry):
            return self
        swap = msgspec.structs.replace(swap, timestamp=time)
        reading = msgspec.structs.replace(self.reading, trade=swap)
        return Read(self.slot, self.signature, self.failed, reading, self.index)


def read_of(transaction: AnyTransaction, wallet: str, received_at: int) -> Read:
    if isinstance(transaction, EnhancedTransaction):
        effects = effects_of_enhanced(transaction, wallet, received_at)
        index, stamped = None, transaction.timestamp is None
    else:
        effects = effects_of(transaction, wallet, received_at)
        index, stamped = transaction.transaction_index, transaction.block_time is None
    reading = interpret(effects)
    return Read(effects.slot, effects.signature, effects.failed, reading, index, stamped)


def prices_for(read: Iterable[Read]) -> set[PriceKey]:
    """The quotes that would value these trades."""
    swaps = (each.reading.trade for each in read)
    return {key for swap in swaps if swap is not None for key in wanted_prices(swap)}


def mints_of(read: Iterable[Read]) -> set[str]:
    """The tokens these trades name."""
    swaps = (each.reading.trade for each in read)
    return {mint for swap in swaps if swap is not None for mint in mints_in(swap)}


def previewed(
    read: Iterable[Read],
    prices: Prices,
    symbols: Mapping[str, str],
    basis: CostBasisMethod,
    now: float,
) -> list[Trade]:
    """Trades without P&L: what came before them isn't known yet."""
    unknown = Outcome(None, None, 0, 0, 0, 0)
    return [
        trade_of(
            swap,
            value_of(swap, prices),
            unknown,
            symbols,
            COMMITMENT,
            int(now * 1000),
            basis,
        )
        for each in read
        if (swap := each.reading.trade) is not None
    ]


def legs_of(swap: RawTrade) -> tuple[Leg, Leg]:
    return swap.sold, swap.bought


def mints_in(swap: RawTrade) -> tuple[str, str]:
    return swap.sold.mint, swap.bought.mint
