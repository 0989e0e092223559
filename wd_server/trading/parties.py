"""Who gave and who took: the other side of what happened to a wallet.

A *maker* is an owner that gave one asset and took another: a pool's authority owns the vaults of
both sides, a bonding curve owns tokens and holds lamports itself, whoever fills an order has an
account of each. A router's own accounts end as they began and are passed through unseen. A claim
vault only gives and a friend only takes, so neither is a maker.

A route SOL -> A -> B of which 1 % of A stays, as net changes by owner:

    owner     SOL     A     B
    wallet   -100    +1   +80
    pool 1   +100  -100        gave A: a maker
    pool 2          +99   -80  took A: another maker, so A is the middle of a route
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from wd_server.trading.balances import Balances
from wd_server.trading.instructions import Flow
from wd_server.trading.programs import SOL
from wd_server.trading.rent import is_rent


class Parties(Struct, frozen=True, gc=False):
    """Everybody but the wallet.

    sides: what each owner gained, by mint; native and wrapped SOL together
    makers: owners that gave one asset and took another
    sharers: those of them that gave nothing but what was burned: a pool's own account of a vault
    given: mints that an account of a maker gave
    taken: mints that an account of a maker took
    decimals: of each mint
    """

    sides: dict[str, dict[str, int]] = {}
    makers: frozenset[str] = frozenset()
    sharers: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()
    decimals: dict[str, int] = {}

    def met(self, mint: str, raw: int) -> bool:
        """Whether a maker took what the wallet lost of `mint`, or gave what it gained."""
        return mint in (self.taken if raw < 0 else self.given)

    def is_middle(self, mint: str) -> bool:
        """Whether makers gave and took it: a route went through it."""
        return mint in self.taken and mint in self.given

    def only_moved(self, mint: str, raw: int) -> bool:
        """Whether one that is no maker gained so much of it at least, or lost it if that is less
        than 0."""
        return any(
            side.get(mint, 0) >= raw if raw > 0 else side.get(mint, 0) <= raw
            for owner, side in self.sides.items()
            if owner not in self.makers
        )

    def taken_by(self, mint: str, raw: int) -> list[tuple[str, int]]:
        """To whom the wallet gave so much of `mint`, and how much of it; if not all of it shows,
        it went to the only one who gained any."""
        owners = self.opposite(mint, -raw)
        taken = [(owner, self.sides[owner][mint]) for owner in owners]
        if sum([units for _, units in taken]) == raw:
            return taken
        return [(owners[0] if len(owners) == 1 else "", raw)]

    def opposite(self, mint: str, raw: int) -> list[str]:
        """Owners that gave what the wallet gained of `mint`, or took what it lost."""
        return [
            owner
            for owner, side in self.sides.items()
            if side.get(mint, 0) and (side[mint] < 0) == (raw > 0)
        ]

    def counterparty(self, mint: str, raw: int) -> str:
        """The only one of them, empty where there are several or none."""
        found = self.opposite(mint, raw)
        return found[0] if len(found) == 1 else ""


def parties_of(balances: Balances, flows: Sequence[Flow]) -> Parties:
    changes = balances.changes
    sides = {owner: dict(side) for owner, side in changes.sides.items() if owner != balances.wallet}
    for address, lamports in balances.natives.items():
        owner = changes.owners.get(address)
        if owner is None:
            owner = address
            if address in balances.emptied and address in changes.sides and is_rent(-lamports):
                continue  # An order that was closed: its deposit.
        elif address in balances.opened or address in balances.emptied:
            continue  # Beside wrapped SOL, rent.
        elif changes.mints[address] == SOL:
            lamports -= changes.accounts[address]
        if owner == balances.wallet or not lamports:
            continue
        side = sides.setdefault(owner, {})
        side[SOL] = side.get(SOL, 0) + lamports
    exchanges = _exchanges(sides, balances, flows)
    given, taken = _route(exchanges, balances)
    burned = {changes.mints.get(flow.source, "") for flow in flows if flow.kind == "burn"}
    sharers = [
        owner
        for owner, side in exchanges.items()
        if burned and burned.issuperset([mint for mint, raw in side.items() if raw < 0])
    ]
    makers = frozenset(exchanges)
    return Parties(sides, makers, frozenset(sharers), given, taken, changes.decimals)


def _exchanges(
    sides: dict[str, dict[str, int]], balances: Balances, flows: Iterable[Flow]
) -> dict[str, dict[str, int]]:
    """What each maker gave and took. A curve that is made in the same transaction gave some of
    what was minted into its account. Others who trade with the wallet's maker the same way as
    the wallet are no makers."""
    changes = balances.changes
    minted: dict[str, dict[str, int]] = {}
    for flow in flows:
        if flow.kind == "mint" and flow.target in changes.owners:
            made = minted.setdefault(changes.owners[flow.target], {})
            mint = changes.mints[flow.target]
            made[mint] = made.get(mint, 0) + flow.raw
    found = {}
    for owner, side in sides.items():
        if owner in minted:
            made = minted[owner]
            side = {mint: raw - made.get(mint, 0) for mint, raw in side.items()}
        values = side.values()
        if min(values) < 0 < max(values):
            found[owner] = side
    own = changes.sides.get(balances.wallet, {}) | {SOL: balances.lamports}
    fellows = [owner for owner, side in found.items() if _agreement(own, side) > 0]
    if fellows and any(_agreement(own, side) < 0 for side in found.values()):
        for owner in fellows:
            del found[owner]
    return found


def _agreement(own: dict[str, int], side: dict[str, int]) -> int:
    """1 if a side gave and took at least two assets that the wallet gave and took as well, -1 if
    it took and gave them the other way round, 0 otherwise."""
    shared = [raw * own[mint] > 0 for mint, raw in side.items() if raw and own.get(mint)]
    if len(shared) < 2 or any(shared) != all(shared):
        return 0
    return 1 if shared[0] else -1


def _route(
    exchanges: dict[str, dict[str, int]], balances: Balances
) -> tuple[frozenset[str], frozenset[str]]:
    """Mints that accounts of makers gave and took."""
    given: set[str] = set()
    taken: set[str] = set()
    changes = balances.changes
    for address, raw in changes.accounts.items():
        if raw and changes.owners[address] in exchanges:
            (given if raw < 0 else taken).add(changes.mints[address])
    for side in exchanges.values():
        for mint, raw in side.items():
            if raw:
                (given if raw < 0 else taken).add(mint)
    return frozenset(given), frozenset(taken)
