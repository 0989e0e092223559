"""A wallet's totals and open positions, as they go on the wire.

The lines of the totals are disjoint, and every lamport is on one of them. For any history, with
native and wrapped SOL together:

    closing SOL - opening SOL =
          realized_pnl_sol      results of trades, burns and pool positions
        + unmatched_sol         proceeds of what was never bought
        + deposited_sol         worth of stable coins from outside, when they were spent
        + round_trip_pnl_sol    results of round trips
        + received_sol          SOL from others
        + rewards_sol           SOL from custodians beyond what went in
        + unexplained_sol       SOL that no rule explains
        - fees_sol              network_fees + tips + platform_fees + failed_fees
        - rent_locked_sol       deposits that can come back, less those that did
        - rent_paid_sol         deposits that can't
        - sent_sol              SOL to others
        - open_cost_sol         cost of the tokens in the wallet
        - custody_cost_sol      SOL in custody, and cost of the tokens there
        - transferred_cost_sol  cost of the tokens that left to others

The first two and the last three lines also count what tokens were worth in SOL when one was
exchanged for another; that cancels out.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from wd_server.trading.amounts import COIN_DECIMALS, EXACT, ZERO, coin_of, decimal_of, unit_price
from wd_server.trading.lots import CostBasis, OpenPosition
from wd_server.trading.postings import PostingKind
from wd_server.trading.trade import CostBasisMethod

# Decimals of a rate: a hundredth of a per cent.
RATE_STEP = Decimal("0.0001")


class Summary(Struct, frozen=True, gc=False, kw_only=True):
    """Totals over all transactions so far.

    `realized_pnl_*` before fees, `net_pnl_*` after fees, round trips and rent that is gone; in USD
    those count at the mean price of SOL in the trades that tell one. A sum covers what is known,
    and `realized_pnl_*` is None where the wallet sold something and no result is known.
    `custody_pnl_sol` and `burned_cost_sol` are parts of `realized_pnl_sol`: results of pool
    positions and unstaking, and what was lost by burning. `unmatched_*`: proceeds of what was sold
    without a known purchase; `deposited_sol`: what stable coins from outside were worth in SOL.
    `volume_*` and `*_usd` cover the trades that have such a value; `priced_share` says how many
    have one in USD, `known_cost_share` how much of the proceeds in SOL has a known cost.
    `tokens_sold`: tokens but stable coins with a sale whose result is known in the currency they
    were bought with, `tokens_won` those of them whose sales together made a profit in it, and
    `win_rate` the second over the first. Rates are 0 to 1, None without anything to divide by.
    Times are unix seconds. The fields with a default are those that a node of before 2.0 doesn't
    send to others.
    """

    cost_basis: CostBasisMethod
    trades: int
    buys: int
    sells: int
    swaps: int
    burns: int = 0
    priced_trades: int
    unpriced_trades: int
    priced_share: Decimal | None = None
    known_cost_share: Decimal | None = None
    volume_sol: Decimal
    volume_usd: Decimal
    realized_pnl_sol: Decimal | None
    realized_pnl_usd: Decimal | None
    custody_pnl_sol: Decimal = ZERO
    burned_cost_sol: Decimal = ZERO
    round_trip_pnl_sol: Decimal = ZERO
    fees_sol: Decimal
    network_fees_sol: Decimal = ZERO
    priority_fees_sol: Decimal = ZERO
    tips_sol: Decimal = ZERO
    platform_fees_sol: Decimal = ZERO
    failed_fees_sol: Decimal = ZERO
    rent_locked_sol: Decimal = ZERO
    rent_paid_sol: Decimal = ZERO
    net_pnl_sol: Decimal
    net_pnl_usd: Decimal | None = None
    unmatched_sol: Decimal
    unmatched_usd: Decimal
    deposited_sol: Decimal = ZERO
    sent_sol: Decimal = ZERO
    received_sol: Decimal = ZERO
    rewards_sol: Decimal = ZERO
    unexplained_sol: Decimal = ZERO
    open_cost_sol: Decimal = ZERO
    custody_cost_sol: Decimal = ZERO
    transferred_cost_sol: Decimal
    tokens_traded: int
    tokens_sold: int
    tokens_won: int
    win_rate: Decimal | None
    open_positions: int
    first_trade_at: int | None
    last_trade_at: int | None

    def sol_change(self) -> Decimal:
        """Closing SOL - opening SOL, by the formula above."""
        return EXACT.subtract(
            sum(
                (
                    self.realized_pnl_sol or ZERO,
                    self.unmatched_sol,
                    self.deposited_sol,
                    self.round_trip_pnl_sol,
                    self.received_sol,
                    self.rewards_sol,
                    self.unexplained_sol,
                ),
                ZERO,
            ),
            sum(
                (
                    self.fees_sol,
                    self.rent_locked_sol,
                    self.rent_paid_sol,
                    self.sent_sol,
                    self.open_cost_sol,
                    self.custody_cost_sol,
                    self.transferred_cost_sol,
                ),
                ZERO,
            ),
        )


class Totals(Struct, array_like=True, gc=False):
    """The running sums behind a Summary: lamports, nanodollars, counts.

    results, results_sol, results_usd: trades that sold, swapped or burned something, and those of
    them whose result is known
    rated_*: volume of the trades that have a value in both currencies
    matched_lamports, proceeds_lamports: of sales of tokens, those with a known cost and all
    """

    buys: int = 0
    sells: int = 0
    swaps: int = 0
    burns: int = 0
    priced_trades: int = 0
    results: int = 0
    results_sol: int = 0
    results_usd: int = 0
    volume_lamports: int = 0
    volume_nanousd: int = 0
    rated_lamports: int = 0
    rated_nanousd: int = 0
    realized_lamports: int = 0
    realized_nanousd: int = 0
    custody_pnl_lamports: int = 0
    burned_lamports: int = 0
    round_trip_lamports: int = 0
    matched_lamports: int = 0
    proceeds_lamports: int = 0
    unmatched_lamports: int = 0
    unmatched_nanousd: int = 0
    deposited_lamports: int = 0
    network_fee_lamports: int = 0
    priority_fee_lamports: int = 0
    tip_lamports: int = 0
    platform_fee_lamports: int = 0
    failed_fee_lamports: int = 0
    rent_locked_lamports: int = 0
    rent_paid_lamports: int = 0
    sent_lamports: int = 0
    received_lamports: int = 0
    reward_lamports: int = 0
    unexplained_lamports: int = 0
    open_lamports: int = 0
    custody_lamports: int = 0
    transferred_lamports: int = 0
    tokens_traded: int = 0
    tokens_sold: int = 0
    tokens_won: int = 0
    first_trade_at: int | None = None
    last_trade_at: int | None = None

    def count_sol(self, kind: PostingKind, lamports: int, failed: bool) -> None:
        """Put a posting of SOL on its line; legs and custody are others' matter."""
        match kind:
            case "network_fee" | "priority_fee" if failed:
                self.failed_fee_lamports -= lamports
            case "network_fee":
                self.network_fee_lamports -= lamports
            case "priority_fee":
                self.network_fee_lamports -= lamports
                self.priority_fee_lamports -= lamports
            case "platform_fee":
                self.platform_fee_lamports -= lamports
            case "tip":
                self.tip_lamports -= lamports
            case "rent_locked" | "rent_returned":
                self.rent_locked_lamports -= lamports
            case "rent_paid":
                self.rent_paid_lamports -= lamports
            case "sent":
                self.sent_lamports -= lamports
            case "received" | "leftover":
                self.received_lamports += lamports
            case "reward":
                self.reward_lamports += lamports
            case "unexplained":
                self.unexplained_lamports += lamports

    def count_value(self, timestamp: int, lamports: int | None, nanousd: int | None) -> None:
        """A trade of that worth."""
        if lamports is not None:
            self.volume_lamports += lamports
        if nanousd is not None:
            self.volume_nanousd += nanousd
            self.priced_trades += 1
            if lamports:
                self.rated_lamports += lamports
                self.rated_nanousd += nanousd
        if self.first_trade_at is None:
            self.first_trade_at = timestamp
        self.last_trade_at = timestamp

    def summary(self, cost_basis: CostBasisMethod, open_positions: int) -> Summary:
        costs = self.round_trip_lamports - self._fees() - self.rent_paid_lamports
        has_sol = not self.results or self.results_sol or self.realized_lamports
        has_usd = not self.results or self.results_usd
        return Summary(
            cost_basis=cost_basis,
            realized_pnl_sol=coin_of(self.realized_lamports) if has_sol else None,
            realized_pnl_usd=coin_of(self.realized_nanousd) if has_usd else None,
            net_pnl_sol=coin_of(self.realized_lamports + costs),
            net_pnl_usd=self._net_usd(costs) if has_usd else None,
            open_positions=open_positions,
            **self._counts(),
            **self._lines(),
        )

    def _counts(self) -> dict[str, Any]:
        trades = self.buys + self.sells + self.swaps + self.burns
        return {
            "trades": trades,
            "buys": self.buys,
            "sells": self.sells,
            "swaps": self.swaps,
            "burns": self.burns,
            "priced_trades": self.priced_trades,
            "unpriced_trades": trades - self.priced_trades,
            "priced_share": _rate(self.priced_trades, trades),
            "known_cost_share": _rate(self.matched_lamports, self.proceeds_lamports),
            "tokens_traded": self.tokens_traded,
            "tokens_sold": self.tokens_sold,
            "tokens_won": self.tokens_won,
            "win_rate": _rate(self.tokens_won, self.tokens_sold),
            "first_trade_at": self.first_trade_at,
            "last_trade_at": self.last_trade_at,
        }

    def _lines(self) -> dict[str, Any]:
        lines = {
            "volume_sol": self.volume_lamports,
            "volume_usd": self.volume_nanousd,
            "custody_pnl_sol": self.custody_pnl_lamports,
            "burned_cost_sol": self.burned_lamports,
            "round_trip_pnl_sol": self.round_trip_lamports,
            "fees_sol": self._fees(),
            "network_fees_sol": self.network_fee_lamports,
            "priority_fees_sol": self.priority_fee_lamports,
            "tips_sol": self.tip_lamports,
            "platform_fees_sol": self.platform_fee_lamports,
            "failed_fees_sol": self.failed_fee_lamports,
            "rent_locked_sol": self.rent_locked_lamports,
            "rent_paid_sol": self.rent_paid_lamports,
            "unmatched_sol": self.unmatched_lamports,
            "unmatched_usd": self.unmatched_nanousd,
            "deposited_sol": self.deposited_lamports,
            "sent_sol": self.sent_lamports,
            "received_sol": self.received_lamports,
            "rewards_sol": self.reward_lamports,
            "unexplained_sol": self.unexplained_lamports,
            "open_cost_sol": self.open_lamports,
            "custody_cost_sol": self.custody_lamports,
            "transferred_cost_sol": self.transferred_lamports,
        }
        return {name: coin_of(raw) for name, raw in lines.items()}

    def _fees(self) -> int:
        return (
            self.network_fee_lamports
            + self.tip_lamports
            + self.platform_fee_lamports
            + self.failed_fee_lamports
        )

    def _net_usd(self, lamports: int) -> Decimal | None:
        """The realized USD and these lamports, at the mean price of SOL in the trades."""
        if not lamports:
            return coin_of(self.realized_nanousd)
        if not self.rated_lamports:
            return None
        return coin_of(self.realized_nanousd + lamports * self.rated_nanousd // self.rated_lamports)


class InCustody(Struct, frozen=True, gc=False):
    """Units of a token that a custodian keeps for the wallet. `cost_sol`: of those with a known
    cost, None if there are none."""

    place: str
    amount: Decimal
    amount_raw: str
    cost_sol: Decimal | None


class Position(Struct, frozen=True, gc=False):
    """An open position.

    `amount` is in the wallet itself, `in_custody` is the wallet's elsewhere. `cost_sol` and
    `cost_usd` are what the units in the wallet with a known cost in that currency were bought for,
    None if there are none; `average_cost_*` is per whole unit of those. `unknown_amount` came
    without a known cost in SOL. `realized_pnl_sol`: of this token's sales so far, None before the
    first with a known cost. `price_usd` is the present one, `value_usd` what `amount` is worth at
    that; `unrealized_pnl_usd` compares what the units with a known cost in USD are worth with that
    cost. All three are None where no source has a price.
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
    held: bool = True
    in_custody: Sequence[InCustody] = ()


def position_of(
    mint: str,
    position: OpenPosition,
    price: Decimal | None = None,
    in_custody: Sequence[InCustody] = (),
) -> Position:
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
        held=held.quantity > 0,
        in_custody=in_custody,
    )


def in_custody_of(place: str, decimals: int, kept: CostBasis) -> InCustody:
    is_known = kept.quantity > kept.unknown_sol or kept.lamports
    return InCustody(
        place=place,
        amount=decimal_of(kept.quantity, decimals),
        amount_raw=str(kept.quantity),
        cost_sol=coin_of(kept.lamports) if is_known else None,
    )


def _rate(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / whole).quantize(RATE_STEP) if whole else None


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
