"""What left a wallet and may come back: with custodians, and with others it was sent to.

Lots move to the place with their cost, and come back with it, oldest first; what returns stands
behind the lots that the wallet has then. SOL has no lots: of it a place keeps a balance.

A position in a pool without a share that is a token (concentrated liquidity) may give other amounts
than went in. Then the place is one pot. An example with 10 SOL and 1,000 tokens that cost 5 SOL:

    back                    SOL repays       tokens bring their cost     result
    2 SOL, 3,000 tokens     2 of 10 SOL      5 SOL, and the 8 SOL left   none yet
    18 SOL, 200 tokens      10 SOL, and 4    1 SOL                       18 - 14 = 4 SOL
                            of the 800
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from wd_server.trading.lots import CostBasis, Lots, total_of
from wd_server.trading.programs import LOCKS, PROGRAMS, TRADING_KINDS
from wd_server.trading.trade import CostBasisMethod

LENDERS: Final = frozenset(each.name for each in PROGRAMS.values() if each.kind == "lending")
ESCROWS: Final = frozenset(each.name for each in PROGRAMS.values() if each.kind == "escrow") - LOCKS
POOLS: Final = frozenset(each.name for each in PROGRAMS.values() if each.kind in TRADING_KINDS)

# Lending SOL for some months brings less than a tenth of it. If more SOL than that comes out of a
# market in which the wallet has none left, it is borrowed.
INTEREST_DIVISOR: Final = 10

# Places, and tokens and orders in one of them. A checkpoint is stored with every append, and each
# of these takes about 100 bytes of it; a busy wallet has some tens. What is forgotten beyond it
# counts as transferred and can't bring its cost back.
PLACES_MAX: Final = 200
KEPT_MAX: Final = 200


class Order(Struct, array_like=True):
    """What was put into an order and hasn't come back. `counterparty`: the order's address, where
    the deposit showed it."""

    mint: str
    decimals: int
    raw: int
    counterparty: str


class Place(Struct, array_like=True):
    """What a custodian keeps, or somebody else was sent.

    lamports: SOL, and cost of shares that were burned there; less than 0 for a loan of SOL
    lots: tokens, by mint
    orders: of a program that trades later, oldest first
    interest_left: lamports that may still come back as interest, once what was lent is back
    """

    lamports: int = 0
    lots: dict[str, Lots] = {}
    orders: list[Order] = []
    interest_left: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.lamports or self.lots or self.orders or self.interest_left)

    def lend(self, lamports: int) -> None:
        """So much SOL goes to the market. It may bring interest unless it pays back a loan."""
        lent = max(0, lamports + min(0, self.lamports))
        before = self.interest_left if self.lamports > 0 else 0
        self.interest_left = before + lent // INTEREST_DIVISOR

    def is_loan(self, lamports: int) -> bool:
        """Whether so much SOL that comes from the market is borrowed."""
        return self.lamports <= 0 and lamports > self.interest_left

    def quantity(self, mint: str) -> int:
        lots = self.lots.get(mint)
        return 0 if lots is None else lots.quantity

    def cost_lamports(self) -> int:
        """Of its tokens."""
        return sum(lots.cost().lamports for lots in self.lots.values())

    def put(
        self, mint: str, decimals: int, pieces: list[CostBasis], method: CostBasisMethod
    ) -> int:
        """Keep these lots. Returns the lamports of cost that are forgotten for it."""
        lots = self.lots.pop(mint, None) or Lots(decimals, 0, [])
        self.lots[mint] = lots
        for piece in pieces:
            lots.add(piece, method)
        if len(self.lots) <= KEPT_MAX:
            return 0
        return self.lots.pop(next(iter(self.lots))).cost().lamports

    def take(self, mint: str, units: int) -> list[CostBasis]:
        """Lots of up to so many units, oldest first."""
        lots = self.lots.get(mint)
        if lots is None:
            return []
        pieces = lots.pieces(units)
        if not lots.quantity:
            del self.lots[mint]
        return pieces

    def repay(self, lamports: int, method: CostBasisMethod) -> int:
        """SOL repays the cost of the tokens that are here. Returns what is left of it."""
        for lots in self.lots.values():
            repaid = min(lamports, lots.cost().lamports)
            if not repaid:
                continue
            lamports -= repaid
            kept = total_of(lots.pieces(lots.quantity))
            left, unpriced = kept.lamports - repaid, kept.quantity - kept.unmatched_usd
            lots.add(replace(kept, lamports=left, nanousd=0, unpriced_usd=unpriced), method)
        return lamports

    def open_order(self, mint: str, decimals: int, raw: int, counterparty: str) -> None:
        self.orders.append(Order(mint, decimals, raw, counterparty))
        del self.orders[:-KEPT_MAX]

    def close_orders(self, mint: str, raw: int, counterparty: str) -> None:
        """So much came back: of that order, otherwise of the oldest ones in this token."""
        of_token = [order for order in self.orders if order.mint == mint]
        of_token.sort(key=lambda order: not counterparty or order.counterparty != counterparty)
        for order in of_token:
            closed = min(raw, order.raw)
            order.raw -= closed
            raw -= closed
        self.orders = [order for order in self.orders if order.raw]

    def order_behind(self, mint: str, counterparty: str) -> Order | None:
        """The order that may have bought `mint`: the one with that address, or the oldest one
        where none has it. It gave something else."""
        named = [each for each in self.orders if counterparty and each.counterparty == counterparty]
        return next((each for each in named or self.orders if each.mint != mint), None)


Places = dict[str, Place]
"""Places by name or address; behind are those that got something last."""


def place_for(places: Places, name: str) -> Place:
    """The place that gets something now."""
    place = places.pop(name, None) or Place()
    places[name] = place
    return place


def drop_if_empty(places: Places, name: str) -> None:
    if places[name].is_empty:
        del places[name]


def forget_oldest(places: Places) -> Place | None:
    """Forget the oldest place if there are too many, and return it."""
    return places.pop(next(iter(places))) if len(places) > PLACES_MAX else None
