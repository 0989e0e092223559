"""A wallet's ledger: what each trade cost, what it realized, what is left and where.

It counts in SOL and in USD side by side, by the same rules:

1.  SOL is money: it has no lots, and spending it realizes nothing. Everything else is a position,
    stable coins too. In USD a stable coin is always worth and always costs its face.
2.  A buy realizes nothing. What it bought costs what it gave: SOL at its amount, a stable coin at
    its own cost. Where that is unknown in SOL (it was deposited) but the trade has a value in
    SOL, the unknown part is money from outside, at that value: deposited.
3.  A sale or a swap with a value realizes its value less the cost of what it gave; what a swap
    got costs that value. Only the share of the units with a known cost counts. The rest of the
    value is never profit: of units without a known purchase it is unmatched, of those that were
    bought for money from outside it is deposited.
4.  A sale or a swap without a value realizes nothing: the cost of what it gave, known share and
    unknown, becomes the cost of what it got, and the result comes when that is sold for a value.
    So a token sold for USDC has no `pnl_sol` where no price of SOL is known, and the gain shows
    when the USDC is sold for SOL.
5.  A burn realizes the loss of the known cost.
6.  P&L in USD is given where the trade has a value in USD and no unit it gave was bought
    without one. Fees are counted apart and are in no cost and no proceeds.
7.  What goes into custody or to somebody else takes its lots along, the oldest first (FIFO) or a
    share of the pool (average), and they come back from there with their cost. What comes beyond
    that has no known cost. `wd_server.trading.custody` says more.
8.  Where a share is minted for what went into custody (of a pool, a liquid staking token), it costs
    what that cost. What comes back for a burned share costs what the share did: SOL repays that
    cost first, and what it brings beyond is realized.
9.  What a route left of a token costs nothing. What a round trip got costs nothing either, and
    what it gave is taken from its result at cost.

`wd_server.trading.summary` has the formula that all of it obeys, to the lamport.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, Self

import msgspec
from msgspec import Struct

from wd_server.errors import InternalError
from wd_server.trading.custody import (
    ESCROWS,
    LENDERS,
    POOLS,
    Place,
    Places,
    drop_if_empty,
    forget_oldest,
    place_for,
)
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.lots import CostBasis, OpenPosition, total_of
from wd_server.trading.orders import fill_of, may_be_fill
from wd_server.trading.postings import Posting
from wd_server.trading.prices import Value, face_value, sol_leg
from wd_server.trading.programs import SOL, SOL_DECIMALS, STABLE_MINTS
from wd_server.trading.settlement import Given, Settlement, settle
from wd_server.trading.summary import (
    InCustody,
    Position,
    Summary,
    Totals,
    in_custody_of,
    position_of,
)
from wd_server.trading.trade import CostBasisMethod, Leg, RawTrade

# Grows with every change of what a checkpoint means, so that an older one is not misread.
CHECKPOINT_VERSION = 2

NO_PRICES: Final[Mapping[str, Decimal]] = MappingProxyType({})

# Bytes that stand for a closed token in a checkpoint. At 20,000 tokens two are taken for one
# with a chance of 1 in 10^11, and it would cost a count of one.
FINGERPRINT_BYTES = 8

# Nothing of it is unknown.
NOTHING: Final = Fraction(0)

CUSTODY_KINDS: Final = frozenset(("custody_out", "custody_in", "minted", "burned"))

Result = int | None | tuple[int | None, int | None]
"""Of a closed token: what its sales realized in lamports, and in nanodollars too if it was bought
with a stable coin."""


class Consumed(Struct, frozen=True, array_like=True, gc=False):
    """Units of one purchase that a trade gave, and what they cost.

    signature: of the transaction they came with, empty for units that the wallet never got and
    under average cost
    known: whether all of them have a known cost in SOL
    """

    signature: str
    raw: int
    cost_lamports: int
    cost_nanousd: int
    known: bool


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What a trade did to the ledger.

    pnl_lamports, pnl_nanousd: None for a buy, and where it isn't known
    cost_lamports, cost_nanousd: known cost of what was given
    unmatched_raw: units sold without a known purchase, 0 for a buy and a burn
    position_raw: units left in the wallet of the token sold by a sell or burned, of the token
    bought by a buy or a swap
    consumed: what was given, oldest first; only a tracing ledger says it
    """

    pnl_lamports: int | None
    pnl_nanousd: int | None
    cost_lamports: int
    cost_nanousd: int
    unmatched_raw: int
    position_raw: int
    consumed: tuple[Consumed, ...] = ()


class _Checkpoint(Struct, array_like=True):
    version: int
    cost_basis: CostBasisMethod
    totals: Totals
    positions: dict[str, OpenPosition]
    closed: dict[str, Result]
    custody: Places
    sent: Places


class Ledger:
    """One wallet's ledger under one cost basis method. Transactions come in chain order.

    `trace`: outcomes say what a trade consumed, under FIFO by purchase. Such a ledger isn't stored.
    """

    def __init__(self, cost_basis: CostBasisMethod, *, trace: bool = False) -> None:
        self._cost_basis: CostBasisMethod = cost_basis
        self._trace = trace
        self._signature = ""  # of the transaction that is recorded, for a tracing ledger
        self._totals = Totals()
        self._positions: dict[str, OpenPosition] = {}
        # Tokens that were traded and have no position now, by fingerprint.
        self._closed: dict[str, Result] = {}
        self._custody: Places = {}
        self._sent: Places = {}

    @property
    def cost_basis(self) -> CostBasisMethod:
        return self._cost_basis

    def resolved(
        self, interpretation: Interpretation, signature: str, slot: int, timestamp: int
    ) -> Interpretation:
        """What only the state of custody can tell: an order that closes and gives another asset
        back than went in was filled. Call it before `record`."""
        if not may_be_fill(interpretation):
            return interpretation
        return fill_of(interpretation, self._custody, signature, slot, timestamp)

    def record(
        self, interpretation: Interpretation, values: Sequence[Value], signature: str = ""
    ) -> tuple[Outcome, ...]:
        """Record a transaction; `values` are those of its trades. Returns what each trade did.
        `signature` is for a tracing ledger."""
        if self._trace and self._cost_basis == "fifo":
            self._signature = signature
        trades = interpretation.trades
        moved = self._count(interpretation)
        if not moved:
            return self._record_trades(trades, values)
        groups: dict[str, list[Posting]] = {}
        for posting in moved:
            if posting.kind in CUSTODY_KINDS:
                groups.setdefault(posting.place, []).append(posting)
            elif posting.raw > 0:
                self._bring(posting)
        # What a burned share gives back may be sold in this transaction; what a share is minted
        # for may have been bought in it.
        issued, redeemed, others = _by_conversion(groups)
        for place in redeemed:
            self._convert(place, groups[place])
        for place in others:
            self._return(place, groups[place])
        outcomes = self._record_trades(trades, values)
        for posting in moved:
            if posting.raw < 0 and posting.kind not in CUSTODY_KINDS:
                self._send(posting)
        for place in others:
            self._deposit(place, groups[place])
        for place in issued:
            self._convert(place, groups[place])
        return outcomes

    def record_trade(self, trade: RawTrade, value: Value) -> Outcome:
        """Record a trade's legs. A leg in SOL outweighs what `value` says of SOL."""
        lamports = sol_leg(trade)
        if lamports is None:
            lamports = value.lamports
        self._totals.count_value(trade.timestamp, lamports, value.nanousd)
        if trade.action == "burn":
            return self._burn(trade)
        sold, bought = trade.sold, trade.bought
        is_buy = trade.action == "buy"
        pieces = self._give(sold, value.nanousd)
        given = _at_face(sold, pieces[0] if len(pieces) == 1 else total_of(pieces))
        units = given.quantity
        gave_sol = Given(units, given.unmatched_sol, given.unpriced_sol, given.lamports)
        gave_usd = Given(units, given.unmatched_usd, given.unpriced_usd, given.nanousd)
        in_sol = settle(gave_sol, lamports, bought.raw, is_buy)
        in_usd = settle(gave_usd, value.nanousd, bought.raw, is_buy)
        has_sol = not is_buy and lamports is not None and gave_sol.is_known
        counts_usd = value.nanousd is not None and not given.has_unpriced_usd
        has_usd = not is_buy and counts_usd and gave_usd.is_known
        pnl_lamports = in_sol.gain if has_sol else None
        pnl_nanousd = in_usd.gain if has_usd else None
        if bought.mint != SOL:
            self._receive(trade, in_sol, in_usd, given.has_unpriced_usd)
        if sold.mint != SOL:
            self._settle_position(sold.mint, pnl_lamports, pnl_nanousd)
        self._count_trade(trade, in_sol, in_usd if counts_usd else None)
        self._count_result(pnl_lamports, pnl_nanousd)
        return Outcome(
            pnl_lamports=pnl_lamports,
            pnl_nanousd=pnl_nanousd,
            cost_lamports=given.lamports,
            cost_nanousd=given.nanousd,
            unmatched_raw=0 if is_buy else min(given.unmatched_sol, given.unmatched_usd),
            position_raw=self._held(sold.mint if trade.action == "sell" else bought.mint),
            consumed=self._consumed(sold, pieces),
        )

    def summary(self) -> Summary:
        kept = {mint for place in self._custody.values() for mint in place.lots}
        if any(place.lamports > 0 for place in self._custody.values()):
            kept.add(SOL)
        return self._totals.summary(self._cost_basis, len(self._positions.keys() | kept))

    def held(self) -> list[str]:
        """Mints of what the wallet has itself; those that cost most come last."""
        return sorted(self._positions, key=lambda mint: self._positions[mint].cost().lamports)

    def positions(self, prices: Mapping[str, Decimal] = NO_PRICES) -> list[Position]:
        """What is held, in the order it was first got, and behind it what is in custody only.
        `prices`: USD per whole unit now, by mint, as far as they are known."""
        kept: dict[str, list[InCustody]] = {}
        decimals = {SOL: SOL_DECIMALS}
        for name, place in self._custody.items():
            if place.lamports > 0:
                sol = CostBasis(place.lamports, place.lamports, 0)
                kept.setdefault(SOL, []).append(in_custody_of(name, SOL_DECIMALS, sol))
            for mint, lots in place.lots.items():
                decimals[mint] = lots.decimals
                there = in_custody_of(name, lots.decimals, lots.cost())
                kept.setdefault(mint, []).append(there)
        away = {mint: OpenPosition(decimals[mint], 0, []) for mint in kept}
        return [
            position_of(mint, position, prices.get(mint), kept.get(mint, ()))
            for mint, position in (away | self._positions).items()
        ]

    def to_bytes(self) -> bytes:
        """Everything, for `from_bytes`: about 30 bytes a closed token, 80 an open one, 50 a lot."""
        return msgspec.json.encode(
            _Checkpoint(
                CHECKPOINT_VERSION,
                self._cost_basis,
                self._totals,
                self._positions,
                self._closed,
                self._custody,
                self._sent,
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
        ledger._custody = stored.custody
        ledger._sent = stored.sent
        return ledger

    # Trades.

    def _record_trades(
        self, trades: Sequence[RawTrade], values: Sequence[Value]
    ) -> tuple[Outcome, ...]:
        return tuple(
            self.record_trade(trade, value) for trade, value in zip(trades, values, strict=True)
        )

    def _burn(self, trade: RawTrade) -> Outcome:
        sold = trade.sold
        pieces = self._give(sold, None)
        given = total_of(pieces)
        gave_sol = given.quantity > given.unknown_sol or given.lamports
        gave_usd = given.quantity > given.unknown_usd and not given.has_unpriced_usd
        pnl_lamports = -given.lamports if gave_sol else None
        pnl_nanousd = -given.nanousd if gave_usd else None
        self._settle_position(sold.mint, pnl_lamports, pnl_nanousd)
        totals = self._totals
        totals.burns += 1
        totals.results += 1
        totals.burned_lamports += given.lamports
        totals.realized_lamports -= given.lamports
        totals.realized_nanousd += pnl_nanousd or 0
        self._count_result(pnl_lamports, pnl_nanousd)
        return Outcome(
            pnl_lamports,
            pnl_nanousd,
            given.lamports,
            given.nanousd,
            0,
            self._held(sold.mint),
            self._consumed(sold, pieces),
        )

    def _give(self, leg: Leg, nanousd: int | None) -> list[CostBasis]:
        """What a trade gives: its lots, or SOL at its amount and the trade's worth."""
        raw = leg.raw
        if leg.mint == SOL:
            return [CostBasis(raw, raw, nanousd or 0, unpriced_usd=raw if nanousd is None else 0)]
        position = self._position(leg.mint, leg.decimals)
        self._mark_traded(position)
        pieces = self._pieces(position, raw)
        missing = raw - sum(piece.quantity for piece in pieces)
        if missing:
            pieces.append(CostBasis(missing, 0, 0, missing, missing))
        return pieces

    def _receive(
        self, trade: RawTrade, in_sol: Settlement, in_usd: Settlement, has_unpriced: bool
    ) -> None:
        """Enter what a trade bought."""
        leg, raw = trade.bought, trade.bought.raw
        unpriced_usd = in_usd.bought_unpriced
        if has_unpriced and not unpriced_usd:  # rounding left no whole unit of it
            unpriced_usd = min(1, raw - in_usd.bought_unmatched)
        position = self._position(leg.mint, leg.decimals)
        self._mark_traded(position)
        if position.judged is None:
            given = self._positions.get(trade.sold.mint)
            position.in_usd = trade.sold.mint in STABLE_MINTS or (
                given is not None and given.in_usd
            )
        cost = CostBasis(
            raw,
            in_sol.cost,
            in_usd.cost,
            in_sol.bought_unmatched,
            in_usd.bought_unmatched,
            in_sol.bought_unpriced,
            unpriced_usd,
            signature=self._signature,
        )
        self._add(position, cost)

    def _settle_position(self, mint: str, lamports: int | None, nanousd: int | None) -> None:
        """Add a sale's result to its position, and close the position if nothing is left."""
        position = self._positions[mint]
        before = position.judged
        if lamports is not None:
            position.result = (position.result or 0) + lamports
        if nanousd is not None:
            position.usd_result = (position.usd_result or 0) + nanousd
        judged = position.judged
        if judged is not None and mint not in STABLE_MINTS:
            self._totals.tokens_sold += before is None
            self._totals.tokens_won += (judged > 0) - (before is not None and before > 0)
        self._close_if_empty(mint, position)

    def _consumed(self, leg: Leg, pieces: Sequence[CostBasis]) -> tuple[Consumed, ...]:
        if not self._trace or leg.mint == SOL:
            return ()
        return tuple(
            Consumed(
                each.signature, each.quantity, each.lamports, each.nanousd, not each.unknown_sol
            )
            for each in pieces
        )

    # Postings beside trades.

    def _bring(self, posting: Posting) -> None:
        """Units that came without a trade: from whom they were sent to, or for nothing."""
        mint, raw = posting.mint, posting.raw
        pieces: list[CostBasis] = []
        if posting.kind == "received" and posting.counterparty in self._sent:
            place = self._sent[posting.counterparty]
            pieces = place.take(mint, raw)
            self._totals.transferred_lamports -= sum(piece.lamports for piece in pieces)
            drop_if_empty(self._sent, posting.counterparty)
        rest = raw - sum(piece.quantity for piece in pieces)
        if rest:
            pieces.append(self._unbought(posting, rest))
        self._add_all(posting, pieces)

    def _unbought(self, posting: Posting, raw: int) -> CostBasis:
        """Units that no purchase brought. What a trade left costs nothing; a stable coin is money,
        which costs its face."""
        signature = self._signature
        is_free = posting.kind in ("leftover", "bought")
        if posting.mint in STABLE_MINTS:
            face = face_value(raw, posting.decimals)
            deposited = 0 if is_free else raw
            return CostBasis(raw, 0, face, unpriced_sol=deposited, signature=signature)
        unmatched = 0 if is_free else raw
        return CostBasis(raw, 0, 0, unmatched, unmatched, signature=signature)

    def _send(self, posting: Posting) -> None:
        """Units that left without a trade. Who they went to may send them back."""
        pieces = self._take(posting)
        totals = self._totals
        totals.transferred_lamports += sum(piece.lamports for piece in pieces)
        known = [piece for piece in pieces if piece.quantity > piece.unmatched_sol]
        if posting.kind != "sent" or not posting.counterparty or not known:
            return
        place = place_for(self._sent, posting.counterparty)
        place.put(posting.mint, posting.decimals, known, self._cost_basis)
        forget_oldest(self._sent)

    def _round_trip(self, legs: Sequence[Posting]) -> None:
        result = 0
        for posting in legs:
            if posting.mint == SOL:
                result += posting.raw
            elif posting.raw > 0:
                self._bring(posting)
            else:
                result -= sum(piece.lamports for piece in self._take(posting))
        self._totals.round_trip_lamports += result

    # Custody.

    def _deposit(self, name: str, postings: Sequence[Posting]) -> None:
        """What went to a custodian."""
        totals = self._totals
        for posting in postings:
            if posting.raw > 0:
                continue
            place = place_for(self._custody, name)
            raw = -posting.raw
            if posting.mint == SOL:
                if name in LENDERS:
                    place.lend(raw)
                place.lamports += raw
                totals.custody_lamports += raw
            else:
                pieces = self._take(posting)
                totals.custody_lamports += sum(piece.lamports for piece in pieces)
                # What the ledger never saw come is there all the same, at no known cost.
                missing = raw - sum(piece.quantity for piece in pieces)
                if missing:
                    pieces.append(self._unbought(posting, missing))
                self._forget(place.put(posting.mint, posting.decimals, pieces, self._cost_basis))
            if name in ESCROWS:
                place.open_order(posting.mint, posting.decimals, raw, posting.counterparty)
            drop_if_empty(self._custody, name)
        oldest = forget_oldest(self._custody)
        if oldest is not None:
            self._forget(oldest.lamports + oldest.cost_lamports())

    def _forget(self, lamports: int) -> None:
        self._totals.custody_lamports -= lamports
        self._totals.transferred_lamports += lamports

    def _return(self, name: str, postings: Sequence[Posting]) -> None:
        """What came back from a custodian: lots first, then SOL, then tokens beyond the lots."""
        place = self._custody.setdefault(name, Place())
        beyond = []
        for posting in postings:
            if posting.raw <= 0:
                continue
            place.close_orders(posting.mint, posting.raw, posting.counterparty)
            if posting.mint == SOL:
                continue
            pieces = place.take(posting.mint, posting.raw)
            self._totals.custody_lamports -= sum(piece.lamports for piece in pieces)
            self._add_all(posting, pieces)
            rest = posting.raw - sum(piece.quantity for piece in pieces)
            if rest:
                beyond.append((posting, rest))
        for posting in postings:
            if posting.mint == SOL and posting.raw > 0:
                self._return_sol(name, place, posting.raw)
        for posting, rest in beyond:
            cost = self._unbought(posting, rest)
            if place.lamports > 0 and (name in POOLS or posting.kind == "minted"):
                # The place made these of the SOL that it had.
                cost = self._made(posting, rest, place.lamports, None)
                self._totals.custody_lamports -= place.lamports
                place.lamports = 0
            self._add_all(posting, [cost])
        drop_if_empty(self._custody, name)

    def _return_sol(self, name: str, place: Place, lamports: int) -> None:
        totals = self._totals
        if name in LENDERS and place.is_loan(lamports):
            place.lamports -= lamports
            place.interest_left = 0
            totals.custody_lamports -= lamports
            return
        repaid = min(lamports, max(0, place.lamports))
        place.lamports -= repaid
        totals.custody_lamports -= repaid
        beyond = lamports - repaid
        if name in LENDERS:
            place.interest_left = max(0, place.interest_left - beyond)
        if name not in POOLS:
            totals.reward_lamports += beyond
            return
        gain = place.repay(beyond, self._cost_basis)
        totals.custody_lamports -= beyond - gain
        totals.custody_pnl_lamports += gain
        totals.realized_lamports += gain

    def _convert(self, name: str, postings: Sequence[Posting]) -> None:
        """A share was minted or burned: what was given is the cost of what came for it."""
        given = [self._given_for_share(posting) for posting in postings if posting.raw < 0]
        came = [posting for posting in postings if posting.raw > 0]
        if not given:
            self._return(name, came)
            return
        cost = sum(each.lamports for each in given)
        if not came:
            self._keep_cost(name, cost)
            return
        # Amounts of several assets can't be weighed without prices; in a pool they are worth alike.
        unmatched = _mean([Fraction(each.unmatched_sol, each.quantity) for each in given])
        unpriced = _mean([Fraction(each.unpriced_sol, each.quantity) for each in given])
        shares = [posting for posting in came if posting.kind == "minted"]
        tokens = shares or [posting for posting in came if posting.mint != SOL]
        back = sum(posting.raw for posting in came if posting.mint == SOL)
        if back:
            cost -= self._redeem(back, cost, unmatched, unpriced, bool(tokens))
        is_priced = not back and not any(each.has_unpriced_usd for each in given)
        nanousd = sum(each.nanousd for each in given) if is_priced else None
        for number, posting in enumerate(tokens):
            part = Fraction(1, len(tokens) - number)
            lamports, dollars = int(cost * part), None if nanousd is None else int(nanousd * part)
            cost -= lamports
            nanousd = None if nanousd is None or dollars is None else nanousd - dollars
            made = self._made(posting, posting.raw, lamports, dollars, unmatched, unpriced)
            self._add_all(posting, [made])
        if shares:
            self._return(
                name, [each for each in came if each.kind != "minted" and each.mint != SOL]
            )

    def _redeem(
        self, back: int, cost: int, unmatched: Fraction, unpriced: Fraction, has_tokens: bool
    ) -> int:
        """SOL that came for a share repays its cost, and what is beyond is realized; where nothing
        else came, the rest of the cost is lost. Returns the cost that is gone."""
        totals = self._totals
        of_unmatched, of_unpriced = int(back * unmatched), int(back * unpriced)
        matched = back - of_unmatched - of_unpriced
        repaid = min(matched, cost) if has_tokens else cost
        totals.unmatched_lamports += of_unmatched
        totals.deposited_lamports += of_unpriced
        totals.custody_pnl_lamports += matched - repaid
        totals.realized_lamports += matched - repaid
        return repaid

    def _keep_cost(self, name: str, lamports: int) -> None:
        """A share was burned and nothing came for it yet."""
        if not name:
            self._totals.transferred_lamports += lamports
        elif lamports:
            place_for(self._custody, name).lamports += lamports
            self._totals.custody_lamports += lamports

    def _given_for_share(self, posting: Posting) -> CostBasis:
        raw = -posting.raw
        if posting.mint == SOL:
            return CostBasis(raw, raw, 0, unpriced_usd=raw, has_unpriced_usd=True)
        pieces = self._take(posting)
        missing = raw - sum(piece.quantity for piece in pieces)
        return total_of([*pieces, self._unbought(posting, missing)] if missing else pieces)

    def _made(
        self,
        posting: Posting,
        raw: int,
        lamports: int,
        nanousd: int | None,
        unmatched: Fraction = NOTHING,
        unpriced: Fraction = NOTHING,
    ) -> CostBasis:
        """Units that came for others, at their cost and with as large a part of it unknown."""
        of_unmatched, of_unpriced = int(raw * unmatched), int(raw * unpriced)
        if posting.mint in STABLE_MINTS:
            nanousd, unmatched_usd = face_value(raw, posting.decimals), 0
        else:
            unmatched_usd = of_unmatched
        return CostBasis(
            raw,
            lamports,
            nanousd or 0,
            of_unmatched,
            unmatched_usd,
            of_unpriced,
            raw - unmatched_usd if nanousd is None else 0,
            signature=self._signature,
        )

    # Positions.

    def _position(self, mint: str, decimals: int) -> OpenPosition:
        position = self._positions.get(mint)
        if position is not None:
            return position
        position = OpenPosition(decimals, 0, [])
        if self._closed:
            fingerprint = _fingerprint(mint)
            if fingerprint in self._closed:
                result = self._closed.pop(fingerprint)
                position.traded = True
                if isinstance(result, tuple):
                    position.result, position.usd_result = result
                    position.in_usd = True
                else:
                    position.result = result
        self._positions[mint] = position
        return position

    def _add(self, position: OpenPosition, cost: CostBasis) -> None:
        position.add(cost, self._cost_basis)
        self._totals.open_lamports += cost.lamports

    def _add_all(self, posting: Posting, pieces: Sequence[CostBasis]) -> None:
        if pieces:
            position = self._position(posting.mint, posting.decimals)
            for piece in pieces:
                self._add(position, piece)

    def _pieces(self, position: OpenPosition, raw: int) -> list[CostBasis]:
        pieces = position.pieces(raw)
        self._totals.open_lamports -= sum(piece.lamports for piece in pieces)
        return pieces

    def _take(self, posting: Posting) -> list[CostBasis]:
        """The lots of what a posting took out of the wallet, as far as they are there."""
        position = self._positions.get(posting.mint)
        if position is None:
            return []
        pieces = self._pieces(position, -posting.raw)
        self._close_if_empty(posting.mint, position)
        return pieces

    def _close_if_empty(self, mint: str, position: OpenPosition) -> None:
        if position.quantity:
            return
        del self._positions[mint]
        if position.in_usd and position.traded:
            self._closed[_fingerprint(mint)] = position.result, position.usd_result
        elif position.traded:
            self._closed[_fingerprint(mint)] = position.result

    def _mark_traded(self, position: OpenPosition) -> None:
        if not position.traded:
            position.traded = True
            self._totals.tokens_traded += 1

    def _held(self, mint: str) -> int:
        position = self._positions.get(mint)
        return 0 if position is None else position.quantity

    # Counts.

    def _count(self, interpretation: Interpretation) -> list[Posting]:
        """Put postings of SOL on their lines. Returns those that move tokens or custody."""
        totals, moved, legs = self._totals, [], []
        trades, failed = interpretation.trades, interpretation.reason == "failed"
        for posting in interpretation.postings:
            kind = posting.kind
            if kind == "sold" or kind == "bought":
                if not trades:
                    legs.append(posting)
            elif posting.mint != SOL or kind in CUSTODY_KINDS:
                if posting.raw and not _is_leg_of_burn(posting, trades):
                    moved.append(posting)
            else:
                totals.count_sol(kind, posting.raw, failed)
        if legs:
            self._round_trip(legs)
        return moved

    def _count_trade(self, trade: RawTrade, in_sol: Settlement, in_usd: Settlement | None) -> None:
        totals = self._totals
        if trade.action == "buy":
            totals.buys += 1
        elif trade.action == "sell":
            totals.sells += 1
        else:
            totals.swaps += 1
        totals.results += trade.action != "buy"
        totals.realized_lamports += in_sol.gain
        totals.unmatched_lamports += in_sol.unmatched
        totals.deposited_lamports += in_sol.deposited
        if trade.action != "buy" and trade.sold.mint not in STABLE_MINTS:
            totals.matched_lamports += in_sol.matched
            totals.proceeds_lamports += in_sol.matched + in_sol.unmatched + in_sol.deposited
        if in_usd is not None:
            totals.realized_nanousd += in_usd.gain
            totals.unmatched_nanousd += in_usd.unmatched

    def _count_result(self, lamports: int | None, nanousd: int | None) -> None:
        self._totals.results_sol += lamports is not None
        self._totals.results_usd += nanousd is not None


_UNREADABLE = "The stored state of this wallet can't be read here; it has to be analysed anew."


def _is_leg_of_burn(posting: Posting, trades: Sequence[RawTrade]) -> bool:
    return (
        posting.kind == "burned"
        and not posting.place
        and any(trade.action == "burn" for trade in trades)
    )


def _by_conversion(
    groups: Mapping[str, Sequence[Posting]],
) -> tuple[list[str], list[str], list[str]]:
    """Places where a share was minted, those where one was burned, and the others."""
    issued, redeemed, others = [], [], []
    for place, postings in groups.items():
        kinds = {posting.kind for posting in postings}
        if "burned" in kinds:
            redeemed.append(place)
        elif "minted" in kinds:
            issued.append(place)
        else:
            others.append(place)
    return issued, redeemed, others


def _at_face(leg: Leg, given: CostBasis) -> CostBasis:
    """The same, but for a stable coin, whose cost in USD is known and its face."""
    if leg.mint not in STABLE_MINTS:
        return given
    face = face_value(leg.raw, leg.decimals)
    return CostBasis(
        leg.raw, given.lamports, face, given.unmatched_sol, unpriced_sol=given.unpriced_sol
    )


def _mean(parts: Sequence[Fraction]) -> Fraction:
    return sum(parts, NOTHING) / len(parts)


def _fingerprint(mint: str) -> str:
    return blake2b(mint.encode(), digest_size=FINGERPRINT_BYTES).hexdigest()
