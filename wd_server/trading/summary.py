"""A wallet's totals and open positions, as they go on the wire."""

from decimal import Decimal

from msgspec import Struct

from wd_server.trading.amounts import COIN_DECIMALS, EXACT, coin_of, decimal_of, unit_price
from wd_server.trading.lots import OpenPosition
from wd_server.trading.trade import CostBasisMethod

# Decimals of a rate: a hundredth of a per cent.
RATE_STEP = Decimal("0.0001")


class Summary(Struct, frozen=True, gc=False):
    """Totals over all trades so far.

    `realized_pnl_*` before fees, `net_pnl_sol` after them. `unmatched_*`: proceeds of what was
    sold without a known purchase, in no P&L. `transferred_cost_sol`: cost of what left by
    transfer, in no P&L either. `volume_*` and `*_usd` cover the trades that have such a value;
    `priced_trades` says how many have one in USD. `tokens_sold`: tokens with a sale in SOL whose
    cost is known, `tokens_won` those of them whose sales together made a profit in SOL, and
    `win_rate` the second over the first (0 to 1, None without a sale). Times are unix seconds.
    """

    cost_basis: CostBasisMethod
    trades: int
    buys: int
    sells: int
    swaps: int
    priced_trades: int
    unpriced_trades: int
    volume_sol: Decimal
    volume_usd: Decimal
    realized_pnl_sol: Decimal
    realized_pnl_usd: Decimal
    fees_sol: Decimal
    net_pnl_sol: Decimal
    unmatched_sol: Decimal
    unmatched_usd: Decimal
    transferred_cost_sol: Decimal
    tokens_traded: int
    tokens_sold: int
    tokens_won: int
    win_rate: Decimal | None
    open_positions: int
    first_trade_at: int | None
    last_trade_at: int | None


class Totals(Struct, array_like=True, gc=False):
    """The running sums behind a Summary: lamports, nanodollars, counts."""

    buys: int = 0
    sells: int = 0
    swaps: int = 0
    priced_trades: int = 0
    volume_lamports: int = 0
    volume_nanousd: int = 0
    realized_lamports: int = 0
    realized_nanousd: int = 0
    fee_lamports: int = 0
    unmatched_lamports: int = 0
    unmatched_nanousd: int = 0
    transferred_lamports: int = 0
    tokens_traded: int = 0
    tokens_sold: int = 0
    tokens_won: int = 0
    first_trade_at: int | None = None
    last_trade_at: int | None = None

    def summary(self, cost_basis: CostBasisMethod, open_positions: int) -> Summary:
        trades = self.buys + self.sells + self.swaps
        return Summary(
            cost_basis=cost_basis,
            trades=trades,
            buys=self.buys,
            sells=self.sells,
            swaps=self.swaps,
            priced_trades=self.priced_trades,
            unpriced_trades=trades - self.priced_trades,
            volume_sol=coin_of(self.volume_lamports),
            volume_usd=coin_of(self.volume_nanousd),
            realized_pnl_sol=coin_of(self.realized_lamports),
            realized_pnl_usd=coin_of(self.realized_nanousd),
            fees_sol=coin_of(self.fee_lamports),
            net_pnl_sol=coin_of(self.realized_lamports - self.fee_lamports),
            unmatched_sol=coin_of(self.unmatched_lamports),
            unmatched_usd=coin_of(self.unmatched_nanousd),
            transferred_cost_sol=coin_of(self.transferred_lamports),
            tokens_traded=self.tokens_traded,
            tokens_sold=self.tokens_sold,
            tokens_won=self.tokens_won,
            win_rate=self._win_rate(),
            open_positions=open_positions,
            first_trade_at=self.first_trade_at,
            last_trade_at=self.last_trade_at,
        )

    def _win_rate(self) -> Decimal | None:
        if not self.tokens_sold:
            return None
        return (Decimal(self.tokens_won) / self.tokens_sold).quantize(RATE_STEP)


class Position(Struct, frozen=True, gc=False):
    """An open position.

    `cost_sol` and `cost_usd` are what the units with a known cost in that currency were bought
    for, None if there are none; `average_cost_*` is per whole unit of those. `unknown_amount`
    came without a known cost in SOL. `realized_pnl_sol`: of this token's sales so far, None
    before the first with a known cost. `price_usd` is the present one, `value_usd` what all of it
    is worth at that; `unrealized_pnl_usd` compares what the units with a known cost in USD are
    worth with that cost. All three are None where no source has a price.
    """

    mint: str
    decimals: int
    amount: Decimal
    amount_raw: str
    unknown_amount: Decimal
    cost_sol: Decimal | None
    cost_usd: Decimal | None
    average_cost_sol: Decimal | None
    average_cost_usd: Decimal | None
    realized_pnl_sol: Decimal | None
    price_usd: Decimal | None = None
    value_usd: Decimal | None = None
    unrealized_pnl_usd: Decimal | None = None


def position_of(mint: str, position: OpenPosition, price: Decimal | None = None) -> Position:
    """`price`: USD per whole unit now."""
    held = position.cost()
    decimals = position.decimals
    known_sol = held.quantity - held.unknown_sol
    known_usd = held.quantity - held.unknown_usd
    # A pool sold down to a few units can have a lamport of cost left and no whole unit of it.
    cost_sol = coin_of(held.lamports) if known_sol or held.lamports else None
    cost_usd = coin_of(held.nanousd) if known_usd or held.nanousd else None
    return Position(
        mint=mint,
        decimals=decimals,
        amount=decimal_of(held.quantity, decimals),
        amount_raw=str(held.quantity),
        unknown_amount=decimal_of(held.unknown_sol, decimals),
        cost_sol=cost_sol,
        cost_usd=cost_usd,
        average_cost_sol=_per_unit(cost_sol, known_sol, decimals),
        average_cost_usd=_per_unit(cost_usd, known_usd, decimals),
        realized_pnl_sol=None if position.result is None else coin_of(position.result),
        price_usd=price,
        value_usd=_worth(held.quantity, decimals, price),
        unrealized_pnl_usd=_unrealized(known_usd, decimals, price, held.nanousd),
    )


def _worth(units: int, decimals: int, price: Decimal | None) -> Decimal | None:
    """USD, to the nanodollar below."""
    if price is None:
        return None
    whole = EXACT.multiply(price, decimal_of(units, decimals))
    return coin_of(int(whole.scaleb(COIN_DECIMALS, EXACT)))


def _unrealized(units: int, decimals: int, price: Decimal | None, cost: int) -> Decimal | None:
    worth = _worth(units, decimals, price)
    return None if worth is None or not units else EXACT.subtract(worth, coin_of(cost))


def _per_unit(cost: Decimal | None, units: int, decimals: int) -> Decimal | None:
    return unit_price(cost, decimal_of(units, decimals)) if cost is not None and units else None
