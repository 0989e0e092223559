"""A wallet's ledger: what each trade cost, what it realized, what is left.

It counts in SOL and in USD side by side, by the same rules:

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
5.  A posting beside a trade realizes nothing. A transfer in brings units of unknown cost, a
    transfer out takes the oldest units (FIFO) or a share of the pool (average) with their cost.
6.  P&L in USD is given where the trade has a value in USD and no unit it gave was bought
    without one. Fees are counted apart and are in no cost and no proceeds.

So in SOL at any time, to the lamport and apart from fees: SOL got - SOL spent = realized +
unmatched - cost of what is left - cost of what was transferred out.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, Self

import msgspec
from msgspec import Struct

from wd_server.errors import InternalError
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.lots import CostBasis, OpenPosition
from wd_server.trading.prices import Value, face_value, sol_leg
from wd_server.trading.programs import SOL, STABLE_MINTS
from wd_server.trading.summary import Position, Summary, Totals, position_of
from wd_server.trading.trade import CostBasisMethod, Leg, RawTrade

# Grows with every change of what a checkpoint means, so that an older one is not misread.
CHECKPOINT_VERSION = 1

NO_PRICES: Final[Mapping[str, Decimal]] = MappingProxyType({})

# Bytes that stand for a closed token in a checkpoint. At 20,000 tokens two are taken for one
# with a chance of 1 in 10^11, and it would cost a count of one.
FINGERPRINT_BYTES = 8


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What a trade did to the ledger.

    `pnl_*` (lamports, nanodollars) is None for a buy; `pnl_nanousd` also where rule 6 says so.
    `cost_*` is the known cost of what was given. `unmatched_raw`: units sold whose cost in SOL is
    unknown (0 for a buy). `position_raw`: units left of the token sold by a sell, of the token
    bought by a buy or a trade.
    """

    pnl_lamports: int | None
    pnl_nanousd: int | None
    cost_lamports: int
    cost_nanousd: int
    unmatched_raw: int
    position_raw: int


class _Settlement(Struct, frozen=True, gc=False):
    """One currency's side of a trade: the bought units but the `unknown` ones cost `cost`."""

    gain: int
    unmatched: int
    unknown: int
    cost: int


class _Checkpoint(Struct, array_like=True):
    version: int
    cost_basis: CostBasisMethod
    totals: Totals
    positions: dict[str, OpenPosition]
    closed: dict[str, int | None]


class Ledger:
    """One wallet's ledger under one cost basis method. Trades and postings come in chain order."""

    def __init__(self, cost_basis: CostBasisMethod) -> None:
        self._cost_basis: CostBasisMethod = cost_basis
        self._totals = Totals()
        self._positions: dict[str, OpenPosition] = {}
        # Tokens that were traded and have no position now, by fingerprint: the last one's `result`.
        self._closed: dict[str, int | None] = {}

    @property
    def cost_basis(self) -> CostBasisMethod:
        return self._cost_basis

    def record(
        self, interpretation: Interpretation, values: Sequence[Value]
    ) -> tuple[Outcome, ...]:
        """Record a transaction; `values` are those of its trades. Returns what each trade did."""
        outcomes = tuple(
            self.record_trade(trade, value)
            for trade, value in zip(interpretation.trades, values, strict=True)
        )
        for posting in interpretation.postings:
            if posting.kind not in ("sold", "bought"):
                self.record_posting(posting.mint, posting.decimals, posting.raw)
        return outcomes

    def record_trade(self, trade: RawTrade, value: Value) -> Outcome:
        """Record a trade that is worth `value`. A leg in SOL outweighs what `value` says of SOL."""
        sold, bought = trade.sold, trade.bought
        is_buy = trade.action == "buy"
        lamports = sol_leg(trade)
        if lamports is None:
            lamports = value.lamports
        nanousd = value.nanousd
        if sold.mint == SOL:
            given = CostBasis(
                sold.raw, sold.raw, nanousd or 0, 0, sold.raw if nanousd is None else 0
            )
        else:
            given = self._give(sold)
        units = given.quantity
        in_sol = _settle(units, given.unknown_sol, given.lamports, lamports, bought.raw, is_buy)
        in_usd = _settle(units, given.unknown_usd, given.nanousd, nanousd, bought.raw, is_buy)
        if bought.mint != SOL:
            self._receive(bought, in_sol, in_usd)
        if sold.mint != SOL:
            has_result = not is_buy and lamports is not None and given.unknown_sol < units
            self._settle_position(sold.mint, in_sol.gain if has_result else None)
        counts_usd = nanousd is not None and not given.unpriced
        self._count(trade, lamports, nanousd, in_sol, in_usd if counts_usd else None)
        return Outcome(
            pnl_lamports=None if is_buy else in_sol.gain,
            pnl_nanousd=in_usd.gain if counts_usd and not is_buy else None,
            cost_lamports=given.lamports,
            cost_nanousd=given.nanousd,
            unmatched_raw=0 if is_buy else given.unknown_sol,
            position_raw=self._held(sold.mint if trade.action == "sell" else bought.mint),
        )

    def record_posting(self, mint: str, decimals: int, raw: int) -> None:
        """Record `raw` units that came (positive) or left (negative) without a trade."""
        if not raw or mint == SOL:
            return
        position = self._positions.get(mint)
        if raw > 0:
            if position is None:
                position = self._open(mint, decimals)
            if mint in STABLE_MINTS:
                cost = CostBasis(raw, 0, face_value(raw, decimals), raw)
            else:
                cost = CostBasis(raw, 0, 0, raw, raw)
            position.add(cost, self._cost_basis)
        elif position is not None:
            self._totals.transferred_lamports += position.take(-raw).lamports
            if not position.quantity:
                self._close(mint, position)

    def summary(self) -> Summary:
        return self._totals.summary(self._cost_basis, len(self._positions))

    def held(self) -> list[str]:
        """Mints, in the order they were first got."""
        return list(self._positions)

    def positions(self, prices: Mapping[str, Decimal] = NO_PRICES) -> list[Position]:
        """What is held, in the order it was first got. `prices`: USD per whole unit now, by mint,
        as far as they are known."""
        return [
            position_of(mint, position, prices.get(mint))
            for mint, position in self._positions.items()
        ]

    def to_bytes(self) -> bytes:
        """Everything, for `from_bytes`: about 30 bytes a closed token, 70 an open one, 50 a lot."""
        return msgspec.json.encode(
            _Checkpoint(
                CHECKPOINT_VERSION, self._cost_basis, self._totals, self._positions, self._closed
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
        ledger._positions = stored.positions
        ledger._closed = stored.closed
        return ledger

    def _give(self, leg: Leg) -> CostBasis:
        position = self._positions.get(leg.mint)
        if position is None:
            position = self._open(leg.mint, leg.decimals)
        self._mark_traded(position)
        given = position.take(leg.raw)
        if leg.mint in STABLE_MINTS:
            face = face_value(leg.raw, leg.decimals)
            return CostBasis(given.quantity, given.lamports, face, given.unknown_sol)
        return given

    def _receive(self, leg: Leg, in_sol: _Settlement, in_usd: _Settlement) -> None:
        position = self._positions.get(leg.mint)
        if position is None:
            position = self._open(leg.mint, leg.decimals)
        self._mark_traded(position)
        position.add(
            CostBasis(leg.raw, in_sol.cost, in_usd.cost, in_sol.unknown, in_usd.unknown),
            self._cost_basis,
        )

    def _settle_position(self, mint: str, gain: int | None) -> None:
        """Add a sale's result to its position, and close the position if nothing is left."""
        position = self._positions[mint]
        if gain is not None:
            totals = self._totals
            if position.result is None:
                totals.tokens_sold += 1
                position.result = 0
            won = position.result > 0
            position.result += gain
            totals.tokens_won += (position.result > 0) - won
        if not position.quantity:
            self._close(mint, position)

    def _open(self, mint: str, decimals: int) -> OpenPosition:
        position = OpenPosition(decimals, 0, [])
        if self._closed:
            fingerprint = _fingerprint(mint)
            if fingerprint in self._closed:
                position.result = self._closed.pop(fingerprint)
                position.traded = True
        self._positions[mint] = position
        return position

    def _close(self, mint: str, position: OpenPosition) -> None:
        del self._positions[mint]
        if position.traded:
            self._closed[_fingerprint(mint)] = position.result

    def _mark_traded(self, position: OpenPosition) -> None:
        if not position.traded:
            position.traded = True
            self._totals.tokens_traded += 1

    def _held(self, mint: str) -> int:
        position = self._positions.get(mint)
        return 0 if position is None else position.quantity

    def _count(
        self,
        trade: RawTrade,
        lamports: int | None,
        nanousd: int | None,
        in_sol: _Settlement,
        in_usd: _Settlement | None,
    ) -> None:
        totals = self._totals
        if trade.action == "buy":
            totals.buys += 1
        elif trade.action == "sell":
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
        totals.fee_lamports += trade.fee_lamports
        if totals.first_trade_at is None:
            totals.first_trade_at = trade.timestamp
        totals.last_trade_at = trade.timestamp


_UNREADABLE = "The stored state of this wallet can't be read here; it has to be analysed anew."


def _settle(
    units: int, unknown: int, cost: int, value: int | None, bought: int, is_buy: bool
) -> _Settlement:
    """One currency's side: the `units` given but the `unknown` ones cost `cost`; all went for
    `value`."""
    if value is None:
        return _Settlement(0, 0, bought * unknown // units if unknown else 0, cost)
    matched = value * (units - unknown) // units if unknown else value
    if is_buy:
        return _Settlement(0, value - matched, 0, cost + value - matched)
    return _Settlement(matched - cost, value - matched, 0, value)


def _fingerprint(mint: str) -> str:
    return blake2b(mint.encode(), digest_size=FINGERPRINT_BYTES).hexdigest()
