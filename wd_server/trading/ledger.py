"""A wallet's book: what each trade cost, what it realized, what is left.

Two books are kept side by side, one in SOL and one in USD, by the same rules:

1.  SOL is money: it has no lots, and spending it realizes nothing. Everything else is a position,
    stable coins too. In USD a stable coin is always worth and always cost its face.
2.  A buy realizes nothing. What it bought costs what it gave: SOL at its amount, a stable coin at
    its own cost. Where that is unknown in SOL (it was deposited) but the trade has a value in
    SOL, the unknown part counts as sold at that value: unmatched.
3.  A sale or a swap with a value realizes its value less the cost of what it gave; what a swap
    got costs that value. Only the share of the units with a known cost counts; the rest of the
    value is unmatched proceeds, never profit.
4.  A sale or a swap without a value realizes nothing: the cost of what it gave, known share and
    unknown, becomes the cost of what it got, and the result comes when that is sold for a value.
    So a token sold for USDC has a `pnl_sol` of 0 where no price of SOL is known, and the gain
    shows when the USDC is sold for SOL.
5.  A transfer in brings units of unknown cost, a transfer out takes the oldest units (FIFO) or a
    share of the pool (average) together with their cost. Neither realizes anything.
6.  P&L in USD is given where the trade has a value in USD and no unit it gave was bought
    without one. Fees are counted apart and are in no cost and no proceeds.

So in SOL at any time, to the lamport and apart from fees: SOL got - SOL spent = realized +
unmatched - cost of what is left - cost of what was transferred out.
"""

from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, Self

import msgspec
from msgspec import Struct

from wd_server.errors import InternalError
from wd_server.trading.lots import Basis, Holding
from wd_server.trading.prices import Value, face_value, sol_leg
from wd_server.trading.programs import SOL, STABLE_MINTS
from wd_server.trading.summary import Position, Summary, Totals, position_of
from wd_server.trading.trade import CostBasis, Leg, Swap

# Grows with every change of what a checkpoint means, so that an older one is not misread.
CHECKPOINT_VERSION = 1

NO_PRICES: Final[Mapping[str, Decimal]] = MappingProxyType({})

# Bytes that stand for a closed token in a checkpoint. At 20,000 tokens two are taken for one
# with a chance of 1 in 10^11, and it would cost a count of one.
FINGERPRINT_BYTES = 8


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What a trade did to the book.

    `pnl_*` (lamports, nanodollars) is None for a buy; `pnl_nanousd` also where rule 6 says so.
    `cost_*` is the known cost of what was given. `unmatched_raw`: units sold whose cost in SOL is
    unknown (0 for a buy). `position_raw`: units left of the token sold by a sell, of the token
    bought by a buy or a swap.
    """

    pnl_lamports: int | None
    pnl_nanousd: int | None
    cost_lamports: int
    cost_nanousd: int
    unmatched_raw: int
    position_raw: int


class _Settled(Struct, frozen=True, gc=False):
    """One currency's side of a trade: the bought units but the `unknown` ones cost `cost`."""

    gain: int
    unmatched: int
    unknown: int
    cost: int


class _Checkpoint(Struct, array_like=True):
    version: int
    cost_basis: CostBasis
    totals: Totals
    holdings: dict[str, Holding]
    closed: dict[str, int | None]


class Ledger:
    """One wallet's book under one cost basis. Trades and transfers come in chain order."""

    def __init__(self, cost_basis: CostBasis) -> None:
        self._cost_basis: CostBasis = cost_basis
        self._totals = Totals()
        self._holdings: dict[str, Holding] = {}
        # Tokens that were traded and aren't held now, by fingerprint: their Holding.result.
        self._closed: dict[str, int | None] = {}

    @property
    def cost_basis(self) -> CostBasis:
        return self._cost_basis

    def record_swap(self, swap: Swap, value: Value) -> Outcome:
        """Book a trade that is worth `value`. A leg in SOL outweighs what `value` says of SOL."""
        sold, bought = swap.sold, swap.bought
        is_buy = swap.action == "buy"
        lamports = sol_leg(swap)
        if lamports is None:
            lamports = value.lamports
        nanousd = value.nanousd
        if sold.mint == SOL:
            given = Basis(sold.raw, sold.raw, nanousd or 0, 0, sold.raw if nanousd is None else 0)
        else:
            given = self._give(sold)
        units = given.quantity
        in_sol = _settle(units, given.unknown_sol, given.lamports, lamports, bought.raw, is_buy)
        in_usd = _settle(units, given.unknown_usd, given.nanousd, nanousd, bought.raw, is_buy)
        if bought.mint != SOL:
            self._receive(bought, in_sol, in_usd)
        if sold.mint != SOL:
            has_result = not is_buy and lamports is not None and given.unknown_sol < units
            self._settle_holding(sold.mint, in_sol.gain if has_result else None)
        counts_usd = nanousd is not None and not given.unpriced
        self._count(swap, lamports, nanousd, in_sol, in_usd if counts_usd else None)
        return Outcome(
            pnl_lamports=None if is_buy else in_sol.gain,
            pnl_nanousd=in_usd.gain if counts_usd and not is_buy else None,
            cost_lamports=given.lamports,
            cost_nanousd=given.nanousd,
            unmatched_raw=0 if is_buy else given.unknown_sol,
            position_raw=self._held(sold.mint if swap.action == "sell" else bought.mint),
        )

    def record_transfer(self, mint: str, decimals: int, raw: int) -> None:
        """Book `raw` units that came (positive) or left (negative) without a trade."""
        if not raw or mint == SOL:
            return
        holding = self._holdings.get(mint)
        if raw > 0:
            if holding is None:
                holding = self._open(mint, decimals)
            if mint in STABLE_MINTS:
                basis = Basis(raw, 0, face_value(raw, decimals), raw)
            else:
                basis = Basis(raw, 0, 0, raw, raw)
            holding.add(basis, self._cost_basis)
        elif holding is not None:
            self._totals.transferred_lamports += holding.take(-raw).lamports
            if not holding.quantity:
                self._close(mint, holding)

    def summary(self) -> Summary:
        return self._totals.summary(self._cost_basis, len(self._holdings))

    def held(self) -> list[str]:
        """Mints, in the order they were first got."""
        return list(self._holdings)

    def positions(self, prices: Mapping[str, Decimal] = NO_PRICES) -> list[Position]:
        """What is held, in the order it was first got. `prices`: USD per whole unit now, by mint,
        as far as they are known."""
        return [
            position_of(mint, holding, prices.get(mint)) for mint, holding in self._holdings.items()
        ]

    def to_bytes(self) -> bytes:
        """Everything, for `from_bytes`: about 30 bytes a closed token, 70 an open one, 50 a lot."""
        return msgspec.json.encode(
            _Checkpoint(
                CHECKPOINT_VERSION, self._cost_basis, self._totals, self._holdings, self._closed
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The ledger as it was. Raises InternalError for anything `to_bytes` didn't make."""
        try:
            stored = msgspec.json.decode(data, type=_Checkpoint)
        except msgspec.DecodeError as error:
            raise InternalError(_UNREADABLE) from error
        if stored.version != CHECKPOINT_VERSION:
            raise InternalError(_UNREADABLE)
        ledger = cls(stored.cost_basis)
        ledger._totals = stored.totals
        ledger._holdings = stored.holdings
        ledger._closed = stored.closed
        return ledger

    def _give(self, leg: Leg) -> Basis:
        holding = self._holdings.get(leg.mint)
        if holding is None:
            holding = self._open(leg.mint, leg.decimals)
        self._mark_traded(holding)
        given = holding.take(leg.raw)
        if leg.mint in STABLE_MINTS:
            face = face_value(leg.raw, leg.decimals)
            return Basis(given.quantity, given.lamports, face, given.unknown_sol)
        return given

    def _receive(self, leg: Leg, in_sol: _Settled, in_usd: _Settled) -> None:
        holding = self._holdings.get(leg.mint)
        if holding is None:
            holding = self._open(leg.mint, leg.decimals)
        self._mark_traded(holding)
        holding.add(
            Basis(leg.raw, in_sol.cost, in_usd.cost, in_sol.unknown, in_usd.unknown),
            self._cost_basis,
        )

    def _settle_holding(self, mint: str, gain: int | None) -> None:
        """Book a sale's result on its token, and forget the token if none is left."""
        holding = self._holdings[mint]
        if gain is not None:
            totals = self._totals
            if holding.result is None:
                totals.tokens_sold += 1
                holding.result = 0
            won = holding.result > 0
            holding.result += gain
            totals.tokens_won += (holding.result > 0) - won
        if not holding.quantity:
            self._close(mint, holding)

    def _open(self, mint: str, decimals: int) -> Holding:
        holding = Holding(decimals, 0, [])
        if self._closed:
            fingerprint = _fingerprint(mint)
            if fingerprint in self._closed:
                holding.result = self._closed.pop(fingerprint)
                holding.traded = True
        self._holdings[mint] = holding
        return holding

    def _close(self, mint: str, holding: Holding) -> None:
        del self._holdings[mint]
        if holding.traded:
            self._closed[_fingerprint(mint)] = holding.result

    def _mark_traded(self, holding: Holding) -> None:
        if not holding.traded:
            holding.traded = True
            self._totals.tokens_traded += 1

    def _held(self, mint: str) -> int:
        holding = self._holdings.get(mint)
        return 0 if holding is None else holding.quantity

    def _count(
        self,
        swap: Swap,
        lamports: int | None,
        nanousd: int | None,
        in_sol: _Settled,
        in_usd: _Settled | None,
    ) -> None:
        totals = self._totals
        if swap.action == "buy":
            totals.buys += 1
        elif swap.action == "sell":
            totals.sells += 1
        else:
            totals.swaps += 1
        if lamports is not None:
            totals.volume_lamports += lamports
        if nanousd is not None:
            totals.volume_nanousd += nanousd
            totals.priced_trades += 1
        totals.realized_lamports += in_sol.gain
        totals.unmatched_lamports += in_sol.unmatched
        if in_usd is not None:
            totals.realized_nanousd += in_usd.gain
            totals.unmatched_nanousd += in_usd.unmatched
        totals.fee_lamports += swap.fee_lamports
        if totals.first_trade_at is None:
            totals.first_trade_at = swap.timestamp
        totals.last_trade_at = swap.timestamp


_UNREADABLE = "The stored state of this wallet can't be read here; it has to be analysed anew."


def _settle(
    units: int, unknown: int, cost: int, value: int | None, bought: int, is_buy: bool
) -> _Settled:
    """One currency's side: the `units` given but the `unknown` ones cost `cost`; all went for
    `value`."""
    if value is None:
        return _Settled(0, 0, bought * unknown // units if unknown else 0, cost)
    matched = value * (units - unknown) // units if unknown else value
    if is_buy:
        return _Settled(0, value - matched, 0, cost + value - matched)
    return _Settled(matched - cost, value - matched, 0, value)


def _fingerprint(mint: str) -> str:
    return blake2b(mint.encode(), digest_size=FINGERPRINT_BYTES).hexdigest()
