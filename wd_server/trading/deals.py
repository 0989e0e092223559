"""What a wallet exchanged for what: the legs of its trades.

The flow says which of a wallet's assets belong to a trade: those that makers took or gave (see
`parties`). An asset that makers both gave and took is the middle of a route. What is left over of
it isn't traded. Where no maker shows, a known trading program says that there was a trade.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final, Literal

from msgspec import Struct

from wd_server.trading.effects import Effects
from wd_server.trading.programs import SOL, SOL_DECIMALS, TRADING_KINDS

# Without a maker that took or gave it, less SOL than this (lamports) is no leg of a trade:
# rounding, dust sent as advertisement.
DUST: Final = 10_000
# Without a maker and a known program, less SOL than this (lamports) for tokens is what a claim or
# a mint costs, not what they are worth.
CLAIM_FEE_MAX: Final = 50_000_000
# SOL (lamports) that goes beside a trade of token for token, where no maker took or gave it.
BESIDE_PAID_MAX: Final = 100_000_000
BESIDE_BACK_MAX: Final = 10_000_000

NoDeal = Literal["one_sided", "nft", "share", "claim", "round_trip"]


class Asset(Struct, frozen=True, gc=False):
    """What the wallet has more of, or less of if `raw` is less than 0."""

    mint: str
    raw: int
    decimals: int


class Part(Struct, frozen=True, gc=False):
    """One trade of a transaction."""

    sold: Asset
    bought: Asset


class Deal(Struct, frozen=True, gc=False):
    """What a transaction exchanged for the wallet.

    parts: its trades
    is_split: whether a leg was divided between them by what makers moved, or not at all
    order: address of the order that gave what was sold, which the wallet had given into its
        custody; empty if none did
    sent_to: to whom the SOL of the trade went straight, empty if the wallet got it
    is_deposited: whether a pool keeps for the wallet all that the trade leaves
    """

    parts: tuple[Part, ...]
    is_split: bool = True
    order: str = ""
    sent_to: str = ""
    is_deposited: bool = False

    def legs(self) -> Iterator[Asset]:
        for part in self.parts:
            yield part.sold
            yield part.bought


def assets_of(effects: Effects) -> list[Asset]:
    """All that the wallet has more or less of, without rent, fees and payments."""
    found = [Asset(mint, delta.raw, delta.decimals) for mint, delta in effects.tokens.items()]
    if effects.sol:
        found.append(Asset(SOL, effects.sol, SOL_DECIMALS))
    return found


def deal_of(effects: Effects, assets: Sequence[Asset]) -> Deal | NoDeal:
    """What the transaction exchanged, or why nothing."""
    parties = effects.parties
    assets = _without_gifts(effects, assets)
    met = [asset for asset in assets if parties.met(asset.mint, asset.raw)]
    ends = [asset for asset in met if not parties.is_middle(asset.mint)]
    if (met and not ends and _took_part(effects)) or _comes_back(effects, assets):
        return "round_trip"
    unmet = [asset for asset in assets if asset not in met]
    if any(_is_share(effects, asset, beside_trade=_two_sided(ends)) for asset in unmet):
        return "share"
    sent = _sent_on(effects, ends)
    if sent is not None:
        return sent
    if not _two_sided(ends) and _took_part(effects):
        ends = met
    if _two_sided(ends):
        if _is_nft(effects, ends):
            return "nft"
        twice = _through_sol(effects, ends)
        if twice is not None:
            return twice
        spent = [one for one in met if one not in ends and one.raw < 0 and one.mint != SOL]
        return _split_spent(effects, ends, spent)
    return _without_maker(effects, assets, met)


def order_filled(effects: Effects, assets: Sequence[Asset]) -> Deal | None:
    """The fill of the wallet's order: it got one asset, and exactly one owner that is no maker,
    the order, gave another."""
    got = [asset for asset in assets if asset.raw > 0]
    if effects.escrow is None or len(got) != 1 or len(assets) != 1:
        return None
    (bought,) = got
    orders = [
        (owner, mint, raw)
        for owner, side in effects.parties.sides.items()
        if owner not in effects.parties.makers
        for mint, raw in side.items()
        if raw < 0 and (mint != SOL or len(side) == 1)
    ]
    if len(orders) != 1 or orders[0][1] == bought.mint:
        return None
    order, mint, raw = orders[0]
    sold = Asset(mint, raw, effects.parties.decimals.get(mint, SOL_DECIMALS))
    return Deal((Part(sold, bought),), order=order)


def swap_of_deposit(effects: Effects) -> Deal | None:
    """The swap of a transaction that swaps first and then deposits what it has into a pool: what
    the wallet gave and got in calls that minted nothing for it."""
    mine = _own_accounts(effects)
    calls: dict[tuple[int, str], dict[str, int]] = {}
    minting = set()
    for flow in effects.flows:
        call = flow.index, flow.caller
        if flow.kind == "mint" and flow.target in mine:
            minting.add(call)
        elif flow.kind == "tokens" and (flow.source in mine) != (flow.target in mine):
            mint = effects.mints.get(flow.source) or effects.mints.get(flow.target, "")
            sign = -1 if flow.source in mine else 1
            side = calls.setdefault(call, {})
            side[mint] = side.get(mint, 0) + sign * flow.raw
    swaps = [side for call, side in calls.items() if call not in minting and _is_swap(side)]
    if len(swaps) != 1:
        return None
    legs = [Asset(mint, raw, effects.parties.decimals[mint]) for mint, raw in swaps[0].items()]
    given, got = sorted(legs, key=lambda leg: leg.raw)
    return Deal((Part(given, got),), is_deposited=True)


def _own_accounts(effects: Effects) -> set[str]:
    """The wallet's token accounts, also those that no list of balances has."""
    return {*effects.own} | {
        flow.source
        for flow in effects.flows
        if flow.kind in ("tokens", "close") and flow.authority == effects.wallet
    }


def _without_gifts(effects: Effects, assets: Sequence[Asset]) -> list[Asset]:
    """The same without what the wallet was given before the trade and gave away behind it: an
    airdrop that is claimed and sold at once, a purchase of which some is sent to others."""
    mine = _own_accounts(effects)
    gifts = [*_gifts(effects, mine), *_given_away(effects, mine)]
    if not gifts:
        return list(assets)
    sums = {asset.mint: asset.raw for asset in assets}
    for mint, raw in gifts:
        sums[mint] = sums.get(mint, 0) - raw
    decimals = effects.parties.decimals | {SOL: SOL_DECIMALS}
    return [Asset(mint, raw, decimals[mint]) for mint, raw in sums.items() if raw]


def _given_away(effects: Effects, mine: Set[str]) -> Iterator[tuple[str, int]]:
    """Tokens that makers gave and the transaction itself transfers to who is no maker."""
    parties = effects.parties
    for flow in effects.flows:
        if flow.kind == "tokens" and flow.outer and flow.source in mine and flow.target not in mine:
            mint = effects.mints.get(flow.target, "")
            bought = mint in parties.given and mint not in parties.taken
            if bought and mint != SOL and parties.only_moved(mint, flow.raw):
                yield mint, -flow.raw


def _gifts(effects: Effects, mine: Set[str]) -> Iterator[tuple[str, int]]:
    """Tokens from those who only gave them, of which a maker was given some. Who buys or borrows
    from owners that are no makers gives something first."""
    parties = effects.parties
    came: list[tuple[str, int]] = []
    given: set[str] = set()
    for flow in effects.flows:
        if flow.kind == "tokens" and (flow.source in mine) != (flow.target in mine):
            mint = effects.mints.get(flow.source) or effects.mints.get(flow.target, "")
            if flow.source in mine:
                given.add(mint)
            elif not given and parties.only_moved(mint, -flow.raw):
                came.append((mint, flow.raw))
        elif flow.kind == "transfer" and not flow.outer and flow.source == effects.wallet:
            given.add(SOL)
    sold = given & parties.taken - {SOL}
    yield from [gift for gift in came if gift[0] in sold]


def _is_swap(side: dict[str, int]) -> bool:
    return len(side) == 2 and min(side.values()) < 0 < max(side.values()) and "" not in side


def _is_share(effects: Effects, asset: Asset, *, beside_trade: bool) -> bool:
    """Most of what the wallet got was minted for it, or of what it gave was burned, by a pool or
    a program that isn't known. A trade moves what a pool has. A router may mint what it sells,
    but not `beside_trade`."""
    delta = effects.tokens.get(asset.mint)
    program = effects.program
    if delta is None or (program is None and delta.decimals == 0):
        return False  # An NFT.
    if not (beside_trade or program is None or program.kind == "venue"):
        return False
    if asset.raw < 0 and _was_transferred(effects, asset.mint):
        return False
    return 2 * abs(delta.supply) >= abs(delta.raw) and (delta.supply > 0) == (delta.raw > 0)


def burned_assets(effects: Effects, assets: Sequence[Asset]) -> list[Asset]:
    """What was burned for nothing: of what the wallet lost, where no program keeps anything. SOL
    that comes with it is no more than what is left of a deposit by who closed the account."""
    paid = sum([payment.lamports for payment in effects.payments])
    if effects.program is not None or any(
        asset.raw > (paid if asset.mint == SOL else 0) for asset in assets
    ):
        return []
    burned = [(asset, _burned(effects, asset)) for asset in assets if asset.mint in effects.tokens]
    return [
        Asset(asset.mint, -units, asset.decimals)
        for asset, units in burned
        if units and not (asset.decimals == 0 and units == 1)
    ]


def _burned(effects: Effects, asset: Asset) -> int:
    """Units; the supply of a token that takes a fee of transfers shrinks without a burn, too."""
    if effects.tokens[asset.mint].supply == asset.raw < 0:
        return -asset.raw
    burned = [
        flow.raw
        for flow in effects.flows
        if flow.kind == "burn"
        and flow.source in effects.own
        and effects.mints.get(flow.source) == asset.mint
    ]
    return max(0, min(sum(burned), -asset.raw))


def _was_transferred(effects: Effects, mint: str) -> bool:
    """Whether the wallet's units were given to others, and none burned: what the supply lost then
    is a fee of transfers, that is withheld."""
    kinds = {
        flow.kind
        for flow in effects.flows
        if flow.source in effects.own and effects.mints.get(flow.source) == mint
    }
    return "tokens" in kinds and "burn" not in kinds


def _two_sided(assets: Sequence[Asset]) -> bool:
    return any(asset.raw < 0 for asset in assets) and any(asset.raw > 0 for asset in assets)


def _is_known(effects: Effects) -> bool:
    return effects.program is not None and effects.program.kind in TRADING_KINDS


def _is_nft(effects: Effects, assets: Iterable[Asset]) -> bool:
    """Tokens that can't be divided, without a maker: a single one, or any in an unknown program.
    A maker that isn't a known program's may be the buyer or seller on a market."""
    known, parties = _is_known(effects), effects.parties
    for asset in assets:
        if asset.decimals == 0:
            single, met = abs(asset.raw) == 1, parties.met(asset.mint, asset.raw)
            if (single and not (known and met)) or not (known or met):
                return True
    return False


def _took_part(effects: Effects) -> bool:
    """Whether the wallet gave tokens, be it wrapped SOL."""
    return any(flow.kind == "tokens" and flow.authority == effects.wallet for flow in effects.flows)


def _comes_back(effects: Effects, assets: Sequence[Asset]) -> bool:
    """Within a trading program tokens came into an account and the wallet gave them away again,
    and nothing but SOL is left of it."""
    if not _is_known(effects) or any(asset.mint != SOL for asset in assets):
        return False
    into, out_of = set(), set()
    for flow in effects.flows:
        if flow.kind == "tokens":
            if flow.authority == effects.wallet:
                out_of.add(flow.source)
            else:
                into.add(flow.target)
    return not into.isdisjoint(out_of)


def _sent_on(effects: Effects, ends: Sequence[Asset]) -> Deal | None:
    """A sale whose wrapped SOL account was closed to somebody else: what came into it."""
    flows, wallet = effects.flows, effects.wallet
    closed = {
        flow.source: flow.target
        for flow in flows
        if flow.kind == "close" and flow.authority == wallet and flow.target != wallet
    }
    proceeds = sum(
        [
            flow.raw
            for flow in flows
            if flow.kind == "tokens"
            and flow.target in closed
            and flow.authority != wallet
            and effects.mints.get(flow.source) == SOL
        ]
    )
    tokens = [asset for asset in ends if asset.mint != SOL]
    if not proceeds or len(tokens) != 1 or tokens[0].raw > 0:
        return None
    part = Part(tokens[0], Asset(SOL, proceeds, SOL_DECIMALS))
    return Deal((part,), sent_to=next(iter(closed.values())))


def _without_maker(
    effects: Effects, assets: Sequence[Asset], met: Sequence[Asset]
) -> Deal | NoDeal:
    """What a known program exchanged, or an unknown one that moved one asset each way."""
    tokens = [asset for asset in assets if asset.mint != SOL]
    legs = [
        asset
        for asset in assets
        if asset.mint != SOL or asset in met or not _is_beside(effects, asset.raw, tokens)
    ]
    for is_given in (True, False):
        side = [asset for asset in met if (asset.raw < 0) == is_given]
        if side:  # What no maker met on the side on which one did is beside the trade.
            legs = [asset for asset in legs if asset in side or (asset.raw < 0) != is_given]
    if not _two_sided(legs):
        return "one_sided"
    if _is_nft(effects, legs):
        return "nft"
    if _is_known(effects):
        return _split(effects, legs)
    if len(legs) > 2:
        return "one_sided"
    is_small = any(asset.mint == SOL and -CLAIM_FEE_MAX < asset.raw < 0 for asset in legs)
    if is_small and not _moved_wrapped(effects, came=False):
        return "claim"
    return _split(effects, legs)


def _is_beside(effects: Effects, lamports: int, tokens: Sequence[Asset]) -> bool:
    if _two_sided(tokens):
        return -BESIDE_PAID_MAX <= lamports <= BESIDE_BACK_MAX
    return abs(lamports) <= DUST and not (_is_known(effects) and _moved_wrapped(effects, came=True))


def _moved_wrapped(effects: Effects, *, came: bool) -> bool:
    """Whether a token account of somebody else gave the wallet wrapped SOL, or took it: a vault."""
    mine = _own_accounts(effects)
    return any(
        flow.kind == "tokens"
        and (flow.source in mine, flow.target in mine) == (not came, came)
        and SOL in (effects.mints.get(flow.source), effects.mints.get(flow.target))
        for flow in effects.flows
    )


def _through_sol(effects: Effects, ends: Sequence[Asset]) -> Deal | None:
    """A sale for SOL and a purchase for more or less SOL than that: what the makers of what was
    bought took is its price, and with what the wallet has more or less it is that of what was sold.
    A route leaves little."""
    parties, sol = effects.parties, effects.sol
    if len(ends) != 2 or not parties.is_middle(SOL) or -DUST <= sol <= BESIDE_BACK_MAX:
        return None
    sold, bought = sorted(ends, key=lambda asset: asset.raw)
    makers = {*parties.opposite(bought.mint, bought.raw)} & parties.makers
    paid = sum([max(0, parties.sides[maker].get(SOL, 0)) for maker in makers])
    if SOL in (sold.mint, bought.mint) or paid <= 0 or paid + sol <= 0:
        return None
    price, proceeds = Asset(SOL, -paid, SOL_DECIMALS), Asset(SOL, paid + sol, SOL_DECIMALS)
    return Deal((Part(sold, proceeds), Part(price, bought)))


def _split_spent(effects: Effects, legs: Sequence[Asset], spent: Sequence[Asset]) -> Deal:
    """Of the middle of a route the wallet `spent` some that it had before. It is given for as
    much of what was got as it is of all that makers took of it."""
    parties = effects.parties
    got = [asset for asset in legs if asset.raw > 0]
    if len(got) != 1 or not spent:
        return _split(effects, legs)
    whole, rest, parts = got[0], got[0].raw, []
    for asset in spent:
        taken = [max(0, parties.sides[maker].get(asset.mint, 0)) for maker in parties.makers]
        share = whole.raw * -asset.raw // max(sum(taken), -asset.raw)
        if 0 < share < rest:
            parts.append(Part(asset, Asset(whole.mint, share, whole.decimals)))
            rest -= share
    left = Asset(whole.mint, rest, whole.decimals)
    deal = _split(effects, [*(asset for asset in legs if asset.raw < 0), left])
    return Deal((*deal.parts, *parts), deal.is_split)


def _split(effects: Effects, legs: Sequence[Asset]) -> Deal:
    """Pair what was given with what was got. Where one side has several assets, the other's is
    divided by what the makers of each took or gave of it, by what moved with each if several have
    one maker, otherwise equally. An asset for which nothing is left is beside the trades."""
    given = [asset for asset in legs if asset.raw < 0]
    got = [asset for asset in legs if asset.raw > 0]
    if len(given) == len(got) == 1:
        return Deal((Part(given[0], got[0]),))
    if len(got) == 1:
        shares, is_split = _shares(effects, got[0], given)
        pairs = zip(given, shares, strict=True)
        return Deal(tuple([Part(one, share) for one, share in pairs if share.raw]), is_split)
    if len(given) == 1:
        shares, is_split = _shares(effects, given[0], got)
        pairs = zip(shares, got, strict=True)
        return Deal(tuple([Part(share, one) for share, one in pairs if share.raw]), is_split)
    last = min(len(given), len(got)) - 1
    pairs = zip(given[:last], got[:last], strict=True)
    rest = _split(effects, [*given[last:], *got[last:]])
    return Deal((*(Part(*pair) for pair in pairs), *rest.parts), is_split=False)


def _shares(effects: Effects, whole: Asset, others: Sequence[Asset]) -> tuple[list[Asset], bool]:
    """The part of `whole` that was exchanged for each of the `others`, and whether makers or flows
    say so. The parts add up to the whole."""
    parties, passed = effects.parties, _passed(effects, whole)
    weights: list[int] = []
    seen: set[str] = set()
    is_split = True
    for other in others:
        makers = set(parties.opposite(other.mint, other.raw)) & parties.makers
        moved = [passed.get(maker, 0) for maker in makers]
        weight = sum([abs(raw) for raw in moved if (raw > 0) == (whole.raw < 0)])
        is_split = is_split and bool(weight) and seen.isdisjoint(makers)
        seen |= makers
        weights.append(weight)
    if not is_split:
        weights = _moved_with(effects, whole, others)
        is_split = all(weights)
    if not is_split:
        weights = [1] * len(others)
    return [Asset(whole.mint, raw, whole.decimals) for raw in divided(whole.raw, weights)], is_split


def _passed(effects: Effects, whole: Asset) -> dict[str, int]:
    """By maker: how much more it has of the asset. Where its transfers from and to the wallet add
    up to the `whole`, those: what else it paid, such as a venue's fee, isn't the wallet's."""
    parties, owners = effects.parties, effects.owners
    mine = _own_accounts(effects)
    passed: dict[str, int] = {}
    for flow in effects.flows:
        is_given = flow.source in mine
        other = flow.target if is_given else flow.source
        maker = owners.get(other, "")
        if (
            flow.kind == "tokens"
            and is_given != (flow.target in mine)
            and effects.mints.get(other) == whole.mint
            and maker in parties.makers
        ):
            passed[maker] = passed.get(maker, 0) + (flow.raw if is_given else -flow.raw)
    if sum(passed.values()) == -whole.raw:
        return passed
    return {maker: parties.sides[maker].get(whole.mint, 0) for maker in parties.makers}


def _moved_with(effects: Effects, whole: Asset, others: Sequence[Asset]) -> list[int]:
    """What of `whole` each of the `others` moved with, by the order of flows from and to the
    wallet's accounts: a swap takes what it is given before it gives."""
    mine = _own_accounts(effects)
    weights = {other.mint: 0 for other in others}
    given, paid = "", 0
    for flow in effects.flows:
        if flow.kind != "tokens" or (flow.source in mine) == (flow.target in mine):
            continue
        mint, is_out = effects.mints.get(flow.source, ""), flow.source in mine
        mint = mint or effects.mints.get(flow.target, "")
        if is_out and mint in weights:
            given = mint
        elif is_out and mint == whole.mint:
            paid += flow.raw
        elif mint in weights:
            weights[mint], paid = weights[mint] + paid, 0
        elif mint == whole.mint and given:
            weights[given] += flow.raw
    return [*weights.values()]


def divided(raw: int, weights: Sequence[int]) -> list[int]:
    """`raw` in parts that are as large as the weights say and add up to it."""
    total, passed, before, parts = sum(weights), 0, 0, []
    for weight in weights:
        passed += weight
        until = raw * passed // total
        parts.append(until - before)
        before = until
    return parts
