"""A position in one token and its cost basis: lots under FIFO, one pool under average cost.

A lot is consumed from its start: after n of its units everything it carries has been given up to
floor(carried * n / quantity), so that selling in pieces adds up to the same as selling at once.
"""

from copy import copy

from msgspec import Struct

from wd_server.trading.trade import CostBasisMethod


class CostBasis(Struct, frozen=True, gc=False):
    """Some units of a token and what they cost: an amount that lots give or take.

    Of the `quantity`, `unknown_sol` units have no known cost in SOL and `unknown_usd` none in
    USD; all others together cost `lamports` and `nanousd`. `unpriced`: some of it was bought when
    no price in USD was known, which is another matter than units that were never bought.
    """

    quantity: int
    lamports: int
    nanousd: int
    unknown_sol: int = 0
    unknown_usd: int = 0
    unpriced: bool = False


class Lot(Struct, array_like=True, gc=False):
    """`quantity` units as they came, with what they cost, and how many of them are `gone`.

    The fields that are mostly 0 are those that keep a checkpoint short.
    """

    quantity: int
    gone: int
    lamports: int
    nanousd: int
    unknown_sol: int
    unknown_usd: int

    def take(self, units: int) -> CostBasis:
        """Consume units; no more than are left."""
        quantity = self.quantity
        unpriced = self.unknown_usd > self.unknown_sol
        if units == quantity:
            self.gone = quantity
            return CostBasis(
                units, self.lamports, self.nanousd, self.unknown_sol, self.unknown_usd, unpriced
            )
        before = self.gone
        after = self.gone = before + units
        lamports = self.lamports * after // quantity - self.lamports * before // quantity
        nanousd = self.nanousd * after // quantity - self.nanousd * before // quantity
        if not (self.unknown_sol or self.unknown_usd):
            return CostBasis(units, lamports, nanousd)
        unknown_sol = self.unknown_sol * after // quantity - self.unknown_sol * before // quantity
        unknown_usd = self.unknown_usd * after // quantity - self.unknown_usd * before // quantity
        return CostBasis(units, lamports, nanousd, unknown_sol, unknown_usd, unpriced)


class OpenPosition(Struct, array_like=True):
    """A wallet's open position in one token, as the ledger keeps it.

    `result` is what its sales realized in lamports so far, None before the first sale with a
    known cost. `traded` is false while no trade touched it.
    """

    decimals: int
    quantity: int
    lots: list[Lot]
    result: int | None = None
    traded: bool = False

    def add(self, cost: CostBasis, method: CostBasisMethod) -> None:
        """Put `cost` behind the lots (FIFO) or into the pool (average)."""
        lots = self.lots
        self.quantity += cost.quantity
        if lots and (method == "average" or _are_alike(lots[-1], cost)):
            pool = lots.pop()
            cost = _sum(cost, pool.take(pool.quantity - pool.gone))
        lots.append(
            Lot(
                cost.quantity,
                0,
                cost.lamports,
                cost.nanousd,
                cost.unknown_sol,
                cost.unknown_usd,
            )
        )

    def take(self, units: int) -> CostBasis:
        """Consume `units`, oldest first. Of what isn't there the cost is unknown."""
        held = min(units, self.quantity)
        self.quantity -= held
        missing = units - held
        taken = CostBasis(missing, 0, 0, missing, missing) if missing else None
        lots = self.lots
        while held:
            lot = lots[0]
            left = lot.quantity - lot.gone
            part = lot.take(min(held, left))
            held -= part.quantity
            if part.quantity == left:
                del lots[0]
            taken = part if taken is None else _sum(taken, part)
        return taken or CostBasis(0, 0, 0)

    def cost(self) -> CostBasis:
        """The whole position and what it cost; consumes nothing."""
        total = CostBasis(0, 0, 0)
        for lot in self.lots:
            total = _sum(total, copy(lot).take(lot.quantity - lot.gone))
        return total


def _sum(one: CostBasis, other: CostBasis) -> CostBasis:
    return CostBasis(
        one.quantity + other.quantity,
        one.lamports + other.lamports,
        one.nanousd + other.nanousd,
        one.unknown_sol + other.unknown_sol,
        one.unknown_usd + other.unknown_usd,
        one.unpriced or other.unpriced,
    )


def _are_alike(last: Lot, cost: CostBasis) -> bool:
    # Ten thousand airdrops of one token are one lot: without a cost their order means nothing.
    blank = last.unknown_sol == last.unknown_usd == last.quantity
    return blank and cost.unknown_sol == cost.unknown_usd == cost.quantity
