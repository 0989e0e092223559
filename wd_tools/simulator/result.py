"""What a wallet's transactions came to: an independent book over their true postings.

It counts in SOL alone, first in first out, and without any price: what is swapped for another token
or a stable coin carries its cost on. Lots lie in the wallet or with somebody: a custodian by its
name, or whoever they were sent to. What comes back comes back with its cost, the oldest first, and
stands behind what the wallet has then.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Literal, get_args

from msgspec import Struct

from wd_tools.simulator.mints import SOL
from wd_tools.simulator.truth import Posting, PostingKind, TradeTruth, Truth

_Holder = tuple[Literal["wallet", "custody", "others"], str]
WALLET: Final[_Holder] = ("wallet", "")
ALL: Final[tuple[PostingKind, ...]] = get_args(PostingKind)


def result_of(truths: Iterable[Truth]) -> "WalletResult":
    """What these transactions, oldest first, came to."""
    book = _Book()
    for truth in truths:
        book.record(truth)
    return book.close()


class WalletResult(Struct, rename="camel"):
    """Lamports, but for the counts.

    realized: also what a pool or stake gave back beyond its cost; less the cost of what was burned
    unmatched: proceeds of what was got without a price
    network_fees, failed_fees: with priority fees; those of failed transactions are the latter only
    burned_cost: part of realized
    transferred_cost: of what was sent and hasn't come back
    closing: what the wallet has, by its postings
    """

    buys: int = 0
    sells: int = 0
    swaps: int = 0
    burns: int = 0
    realized: int = 0
    unmatched: int = 0
    round_trip: int = 0
    network_fees: int = 0
    tips: int = 0
    platform_fees: int = 0
    failed_fees: int = 0
    rent_locked: int = 0
    rent_paid: int = 0
    sent: int = 0
    received: int = 0
    rewards: int = 0
    burned_cost: int = 0
    open_cost: int = 0
    custody_cost: int = 0
    transferred_cost: int = 0
    closing: int = 0

    @property
    def fees(self) -> int:
        return self.network_fees + self.tips + self.platform_fees + self.failed_fees

    @property
    def net(self) -> int:
        return self.realized + self.round_trip - self.fees - self.rent_paid

    @property
    def lines(self) -> int:
        """What the wallet should have."""
        gained = self.realized + self.unmatched + self.round_trip + self.received + self.rewards
        costs = self.open_cost + self.custody_cost + self.transferred_cost
        return gained - costs - self.fees - self.rent_locked - self.rent_paid - self.sent


class _Lot(Struct):
    """Units that were got at once. So many of them are `gone`; after n of them, floor(n * cost /
    units) of the cost is. `unknown` units have none."""

    units: int
    gone: int
    cost: int
    unknown: int

    def split(self, units: int) -> "_Lot":
        """Take some out, as a lot of its own."""
        before, after = self.gone, self.gone + units
        self.gone = after
        return _Lot(
            units,
            0,
            self.cost * after // self.units - self.cost * before // self.units,
            self.unknown * after // self.units - self.unknown * before // self.units,
        )

    @property
    def left(self) -> int:
        return self.units - self.gone


class _Book:
    """Lots by who has them and by mint; SOL that is kept by a custodian has no lots."""

    def __init__(self) -> None:
        self.result = WalletResult()
        self._lots: defaultdict[tuple[_Holder, str], list[_Lot]] = defaultdict(list)
        self._kept_sol: defaultdict[str, int] = defaultdict(int)

    def record(self, truth: Truth) -> None:
        result, total = self.result, truth.total
        result.closing += total(*ALL)
        network = -total("network_fee", "priority_fee")
        if truth.kind == "failed":
            result.failed_fees += network
        else:
            result.network_fees += network
        result.tips -= total("tip")
        result.platform_fees -= total("platform_fee")
        result.rent_locked -= total("rent_locked", "rent_returned")
        result.rent_paid -= total("rent_paid")
        result.sent -= total("sent")
        result.received += total("received")
        result.rewards += total("reward")
        if truth.kind == "round_trip":
            result.round_trip += total("sold", "bought")
        else:
            self._move(truth)

    def close(self) -> WalletResult:
        result = self.result
        for ((where, _), _), lots in self._lots.items():
            cost = sum(lot.split(lot.left).cost for lot in lots)
            if where == "wallet":
                result.open_cost += cost
            elif where == "custody":
                result.custody_cost += cost
            else:
                result.transferred_cost += cost
        result.custody_cost += sum(self._kept_sol.values())
        return result

    def _move(self, truth: Truth) -> None:
        """What comes back, then what is traded, then what leaves and what comes for nothing."""
        shared = {one.place for one in truth.postings if one.kind in ("minted", "burned")} - {""}
        moved = [one for one in truth.postings if one.place not in shared]
        for one in moved:
            if one.kind in ("custody_in", "received"):
                self._return(one)
        for trade in truth.trades:
            self._trade(trade)
        for place in shared:
            self._convert([one for one in truth.postings if one.place == place])
        for one in moved:
            if one.kind in ("custody_out", "sent"):
                self._leave(one)
            elif one.kind in ("reward", "leftover") and one.mint != SOL.address:
                self._add(one.mint, one.raw, 0, one.raw if one.kind == "reward" else 0)

    def _return(self, posting: Posting) -> None:
        """What is beyond what went there is a reward in SOL, and of unknown cost otherwise."""
        if posting.mint == SOL.address:
            if posting.kind == "custody_in":
                back = min(posting.raw, self._kept_sol[posting.place])
                self._kept_sol[posting.place] -= back
                self.result.rewards += posting.raw - back
            return
        there = self._lots[_holder(posting), posting.mint]
        back = min(posting.raw, sum(lot.left for lot in there))
        for lot in _take(there, back):
            self._lots[WALLET, posting.mint].append(lot)
        self._add(posting.mint, posting.raw - back, 0, posting.raw - back)

    def _leave(self, posting: Posting) -> None:
        if posting.mint == SOL.address:
            if posting.kind == "custody_out":
                self._kept_sol[posting.place] -= posting.raw
            return
        for lot in self._spend(posting.mint, -posting.raw):
            self._lots[_holder(posting), posting.mint].append(lot)

    def _trade(self, trade: TradeTruth) -> None:
        result = self.result
        if trade.action == "burn":
            cost = sum(lot.cost for lot in self._spend(trade.sold_mint, trade.sold_raw))
            result.burns += 1
            result.realized -= cost
            result.burned_cost += cost
            return
        result.buys += trade.action == "buy"
        result.sells += trade.action == "sell"
        result.swaps += trade.action == "swap"
        if trade.sold_mint == SOL.address:
            self._add(trade.bought_mint, trade.bought_raw, trade.sold_raw, 0)
            return
        lots = self._spend(trade.sold_mint, trade.sold_raw)
        cost, unknown = sum(lot.cost for lot in lots), sum(lot.unknown for lot in lots)
        if trade.bought_mint == SOL.address:
            matched = trade.bought_raw * (trade.sold_raw - unknown) // trade.sold_raw
            result.realized += matched - cost
            result.unmatched += trade.bought_raw - matched
        else:
            unknown = trade.bought_raw * unknown // trade.sold_raw
            self._add(trade.bought_mint, trade.bought_raw, cost, unknown)

    def _convert(self, postings: list[Posting]) -> None:
        """A share is made of what goes in, and costs that. For a share that is burned SOL comes
        back, which repays its cost first, and tokens, which cost what is left of it."""
        sol = sum(one.raw for one in postings if one.mint == SOL.address)
        cost = -sol
        got = []
        for one in postings:
            if one.mint == SOL.address:
                continue
            if one.raw < 0:
                cost += sum(lot.cost for lot in self._spend(one.mint, -one.raw))
            else:
                got.append(one)
        kept = max(0, cost) if got else 0
        self.result.realized += kept - cost
        for one in got:
            self._add(one.mint, one.raw, kept, 0)

    def _add(self, mint: str, units: int, cost: int, unknown: int) -> None:
        if units:
            self._lots[WALLET, mint].append(_Lot(units, 0, cost, unknown))

    def _spend(self, mint: str, units: int) -> list[_Lot]:
        """The oldest units of the wallet; of what isn't there the cost is unknown."""
        lots = self._lots[WALLET, mint]
        there = min(units, sum(lot.left for lot in lots))
        taken = _take(lots, there)
        if there < units:
            taken.append(_Lot(units - there, 0, 0, units - there))
        return taken


def _holder(posting: Posting) -> _Holder:
    if posting.place:
        return "custody", posting.place
    return "others", posting.counterparty


def _take(lots: list[_Lot], units: int) -> list[_Lot]:
    taken = []
    while units:
        part = lots[0].split(min(units, lots[0].left))
        units -= part.units
        if not lots[0].left:
            del lots[0]
        taken.append(part)
    return taken
