"""Units of a token and their cost basis: lots under FIFO, one pool under average cost.

A lot is consumed from its start: after n of its units everything it carries has been given up to
floor(carried * n / quantity), so that selling in pieces adds up to the same as selling at once. The
units without a known cost are given up like that, and among them those without a price likewise: so
they are never more than the units given, or left, and some without a price are left to the end.
"""

from collections.abc import Iterable
from copy import copy

from msgspec import Struct

from wd_server.trading.trade import CostBasisMethod


class CostBasis(Struct, frozen=True, gc=False):
    """Some units of a token and what they cost: an amount that lots give or take.

    lamports, nanousd: what the units with a known cost in that currency cost together
    unmatched_sol: of the `quantity`, units without a purchase that the books in SOL know
    unmatched_usd: the same in USD, where a stable coin always has a known cost
    unpriced_sol: units that were bought for something whose worth in SOL wasn't known
    unpriced_usd: the same in USD
    has_unpriced_usd: some of it is of a lot with `unpriced_usd`, even if rounding left it none
    signature: of the purchase, where the ledger traces it
    """

    quantity: int
    lamports: int
    nanousd: int
    unmatched_sol: int = 0
    unmatched_usd: int = 0
    unpriced_sol: int = 0
    unpriced_usd: int = 0
    has_unpriced_usd: bool = False
    signature: str = ""

    @property
    def unknown_sol(self) -> int:
        return self.unmatched_sol + self.unpriced_sol

    @property
    def unknown_usd(self) -> int:
        return self.unmatched_usd + self.unpriced_usd


class Lot(Struct, array_like=True, gc=False):
    """`quantity` units as they came, with what they cost, and how many of them are `gone`.

    The fields that are mostly 0 are those that keep a checkpoint short.
    """

    quantity: int
    gone: int
    lamports: int
    nanousd: int
    unmatched_sol: int
    unmatched_usd: int
    unpriced_sol: int
    unpriced_usd: int

    @property
    def left(self) -> int:
        return self.quantity - self.gone

    def take(self, units: int) -> CostBasis:
        """Consume units; no more than are left."""
        quantity, before = self.quantity, self.gone
        after = self.gone = before + units
        if units == quantity:
            return self._whole()
        lamports = _part(self.lamports, before, after, quantity)
        nanousd = _part(self.nanousd, before, after, quantity)
        if not (self.unmatched_sol or self.unmatched_usd or self.unpriced_sol or self.unpriced_usd):
            return CostBasis(units, lamports, nanousd)
        unmatched_sol, unpriced_sol = _unknown(
            self.unmatched_sol, self.unpriced_sol, before, after, quantity
        )
        unmatched_usd, unpriced_usd = _unknown(
            self.unmatched_usd, self.unpriced_usd, before, after, quantity
        )
        return CostBasis(
            units,
            lamports,
            nanousd,
            unmatched_sol,
            unmatched_usd,
            unpriced_sol,
            unpriced_usd,
            self.unpriced_usd > 0,
        )

    def _whole(self) -> CostBasis:
        return CostBasis(
            self.quantity,
            self.lamports,
            self.nanousd,
            self.unmatched_sol,
            self.unmatched_usd,
            self.unpriced_sol,
            self.unpriced_usd,
            self.unpriced_usd > 0,
        )


class TracedLot(Lot):
    """A lot that knows its purchase. It is never stored."""

    signature: str

    def take(self, units: int) -> CostBasis:
        taken = Lot.take(self, units)
        return CostBasis(
            taken.quantity,
            taken.lamports,
            taken.nanousd,
            taken.unmatched_sol,
            taken.unmatched_usd,
            taken.unpriced_sol,
            taken.unpriced_usd,
            taken.has_unpriced_usd,
            self.signature,
        )


class Lots(Struct, array_like=True):
    """Units of one token in one place, oldest first."""

    decimals: int
    quantity: int
    lots: list[Lot]

    def add(self, cost: CostBasis, method: CostBasisMethod) -> None:
        """Put `cost` behind the lots (FIFO) or into the pool (average)."""
        lots = self.lots
        self.quantity += cost.quantity
        if lots and (method == "average" or _are_alike(lots[-1], cost)):
            pool = lots.pop()
            cost = total_of((pool.take(pool.left), cost))
        lots.append(_lot(cost))

    def pieces(self, units: int) -> list[CostBasis]:
        """Consume `units`, oldest first, as far as they are there: one piece of each lot."""
        wanted = min(units, self.quantity)
        self.quantity -= wanted
        lots = self.lots
        pieces = []
        while wanted:
            lot = lots[0]
            left = lot.quantity - lot.gone
            piece = lot.take(min(wanted, left))
            wanted -= piece.quantity
            if piece.quantity == left:
                del lots[0]
            pieces.append(piece)
        return pieces

    def cost(self) -> CostBasis:
        """All units and what they cost; consumes nothing."""
        return total_of([copy(lot).take(lot.left) for lot in self.lots])


class OpenPosition(Lots):
    """A wallet's open position in one token: what it has itself, and how its sales went.

    result, usd_result: what its sales realized so far in lamports and in nanodollars, None before
    the first with a known cost
    traded: whether any trade touched it
    in_usd: it was bought with a stable coin, so the result in USD says whether it was won
    """

    result: int | None = None
    traded: bool = False
    usd_result: int | None = None
    in_usd: bool = False

    @property
    def judged(self) -> int | None:
        """The result in the currency it was bought with."""
        return self.usd_result if self.in_usd else self.result


def total_of(pieces: Iterable[CostBasis]) -> CostBasis:
    quantity = lamports = nanousd = unmatched_sol = unmatched_usd = unpriced_sol = unpriced_usd = 0
    has_unpriced_usd = False
    for piece in pieces:
        quantity += piece.quantity
        lamports += piece.lamports
        nanousd += piece.nanousd
        unmatched_sol += piece.unmatched_sol
        unmatched_usd += piece.unmatched_usd
        unpriced_sol += piece.unpriced_sol
        unpriced_usd += piece.unpriced_usd
        has_unpriced_usd = has_unpriced_usd or piece.has_unpriced_usd
    return CostBasis(
        quantity,
        lamports,
        nanousd,
        unmatched_sol,
        unmatched_usd,
        unpriced_sol,
        unpriced_usd,
        has_unpriced_usd,
    )


def _lot(cost: CostBasis) -> Lot:
    if cost.signature:
        return TracedLot(
            cost.quantity,
            0,
            cost.lamports,
            cost.nanousd,
            cost.unmatched_sol,
            cost.unmatched_usd,
            cost.unpriced_sol,
            cost.unpriced_usd,
            cost.signature,
        )
    return Lot(
        cost.quantity,
        0,
        cost.lamports,
        cost.nanousd,
        cost.unmatched_sol,
        cost.unmatched_usd,
        cost.unpriced_sol,
        cost.unpriced_usd,
    )


def _part(carried: int, before: int, after: int, quantity: int) -> int:
    if not carried:
        return 0
    return carried * after // quantity - carried * before // quantity


def _unknown(
    unmatched: int, unpriced: int, before: int, after: int, quantity: int
) -> tuple[int, int]:
    """Of these, the units that are given up between the two."""
    unknown = unmatched + unpriced
    if not unknown:
        return 0, 0
    before, after = unknown * before // quantity, unknown * after // quantity
    of_unpriced = _part(unpriced, before, after, unknown)
    return after - before - of_unpriced, of_unpriced


def _are_alike(last: Lot, cost: CostBasis) -> bool:
    # Ten thousand airdrops of one token are one lot: without a cost their order means nothing.
    return (
        last.unmatched_sol == last.unmatched_usd == last.quantity
        and cost.unmatched_sol == cost.unmatched_usd == cost.quantity
        and not cost.signature
        and not isinstance(last, TracedLot)
    )
