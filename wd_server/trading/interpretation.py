"""Whether a transaction was a trade for a wallet, and which."""

from typing import Final, Literal, cast

from msgspec import Struct

from wd_server.trading.effects import DUST, Effects
from wd_server.trading.postings import Posting, PostingKind
from wd_server.trading.programs import SOL, SOL_DECIMALS, STABLE_MINTS, TRADING_KINDS
from wd_server.trading.sol_postings import UNLISTED_FEE_MAX
from wd_server.trading.trade import Action, Leg, RawTrade

# Without a known venue, less SOL than this (lamports) for tokens is what a claim or a mint costs,
# not what they are worth.
CLAIM_FEE_MAX: Final = 50_000_000
# SOL (lamports) that comes back beside a trade of token for token: rent of a program's account.
REFUND_MAX: Final = 10_000_000

Reason = Literal[
    "failed",  # only the network fee moved
    "unreadable",  # what the upstream gave is no transaction that there can be
    "one_sided",  # a transfer, an airdrop, a burn, an arbitrage that ends in what it began with
    "lending",  # deposit, withdrawal, loan, repayment
    "escrow",  # an order or a bridge that will trade later, or gives back
    "staking",  # native or liquid
    "nft",  # minted, bought, sold
    "share",  # a part of a pool, stake pool or vault was minted or burned
    "several_assets",  # more than two, and none a leftover
    "claim",  # tokens for a small fee, no venue known
]


class _AssetChange(Struct, frozen=True, gc=False):
    mint: str
    raw: int
    decimals: int


class Interpretation(Struct, frozen=True, array_like=True, gc=False):
    """What a transaction meant for a wallet.

    trades: what it exchanged, by part; none where there is a `reason`
    reason: why it was no trade
    postings: all of them; they add up to the wallet's balance changes
    """

    trades: tuple[RawTrade, ...]
    reason: Reason | None
    postings: tuple[Posting, ...]


def interpret(effects: Effects) -> Interpretation:
    """One trade at most: what the wallet gave on the whole for what it got on the whole.

    Between SOL and a stable coin the stable coin is what is bought or sold. Between two other
    tokens, or two stable coins, the action is a swap. Where SOL is no leg, what little of it went
    counts as a fee.
    """
    given, got = _assets(effects)
    reason = _obstacle(effects, given, got)
    if reason is not None:
        return Interpretation((), reason, _movements(effects))
    sold, bought = given[0], got[0]
    platform_fee = effects.fees
    if SOL not in (sold.mint, bought.mint):
        platform_fee -= min(0, effects.sol)
    program = effects.program
    trade = RawTrade(
        signature=effects.signature,
        slot=effects.slot,
        timestamp=effects.timestamp,
        action=action_of(sold.mint, bought.mint),
        sold=Leg(sold.mint, -sold.raw, sold.decimals),
        bought=Leg(bought.mint, bought.raw, bought.decimals),
        network_fee=effects.network_fee,
        dex=program.name if program else "unknown",
        confidence="high" if program and effects.exact else "low",
        platform_fee=platform_fee,
    )
    return Interpretation((trade,), None, _beside(effects, sold, bought))


def action_of(sold: str, bought: str) -> Action:
    """What a trade is called; SOL is more of a quote than a stable coin, that more than others."""
    gave, got = _quote_rank(sold), _quote_rank(bought)
    if gave == got:
        return "swap"
    return "buy" if gave > got else "sell"


def _quote_rank(mint: str) -> int:
    return 2 if mint == SOL else 1 if mint in STABLE_MINTS else 0


def _assets(effects: Effects) -> tuple[list[_AssetChange], list[_AssetChange]]:
    """What the wallet has less of and what it has more of, without dust, leftovers of a route,
    and the SOL that goes beside a trade of token for token."""
    deltas = effects.tokens
    sol = effects.sol
    if len(deltas) > 1:
        deltas = {mint: delta for mint, delta in deltas.items() if not delta.is_leftover}
    given: list[_AssetChange] = []
    got: list[_AssetChange] = []
    for mint, delta in deltas.items():
        (given if delta.raw < 0 else got).append(_AssetChange(mint, delta.raw, delta.decimals))
    if abs(sol) > DUST:
        beside = given and got and -UNLISTED_FEE_MAX <= sol <= REFUND_MAX
        if not beside:
            (given if sol < 0 else got).append(_AssetChange(SOL, sol, SOL_DECIMALS))
    return given, got


def _obstacle(
    effects: Effects, given: list[_AssetChange], got: list[_AssetChange]
) -> Reason | None:
    """Why these assets are no trade."""
    program = effects.program
    if effects.failed:
        return "failed"
    if program is not None and program.kind not in TRADING_KINDS:
        return cast(Reason, program.kind)
    if not given or not got:
        return "one_sided"
    assets = given + got
    for asset in assets:
        if asset.decimals == 0 and (not program or abs(asset.raw) == 1):
            return "nft"
    if program is None or program.kind == "venue":
        for asset in assets:
            if _is_share(effects, asset):
                return "share"
    if len(assets) > 2:
        return "several_assets"
    if not program:
        for asset in assets:
            if asset.mint == SOL and -CLAIM_FEE_MAX < asset.raw < 0:
                return "claim"
    return None


def _is_share(effects: Effects, asset: _AssetChange) -> bool:
    """Most of what the wallet got was minted for it, or of what it gave was burned. A trade
    moves what a pool has."""
    delta = effects.tokens.get(asset.mint)
    return (
        delta is not None
        and 2 * abs(delta.supply) >= abs(delta.raw)
        and ((delta.supply > 0) == (delta.raw > 0))
    )


def _beside(effects: Effects, sold: _AssetChange, bought: _AssetChange) -> tuple[Posting, ...]:
    """Postings of a trade and of what moved beside it."""
    postings = _costs(effects)
    postings.append(Posting("sold", sold.mint, sold.raw, sold.decimals))
    postings.append(Posting("bought", bought.mint, bought.raw, bought.decimals))
    legs = (sold.mint, bought.mint)
    if SOL not in legs and effects.sol:
        kind: PostingKind = "platform_fee" if effects.sol < 0 else "received"
        postings.append(Posting(kind, SOL, effects.sol, SOL_DECIMALS))
    for mint, delta in effects.tokens.items():
        if mint not in legs:
            kind = "sent" if delta.raw < 0 else "leftover"
            postings.append(Posting(kind, mint, delta.raw, delta.decimals))
    return tuple(postings)


def _movements(effects: Effects) -> tuple[Posting, ...]:
    """Postings of what is no trade."""
    program = effects.program
    place = program.name if program is not None and program.kind not in TRADING_KINDS else ""
    out: PostingKind = "custody_out" if place else "sent"
    back: PostingKind = "custody_in" if place else "received"
    postings = _costs(effects)
    moved = [(mint, delta.raw, delta.decimals) for mint, delta in effects.tokens.items()]
    if effects.sol:
        moved.append((SOL, effects.sol, SOL_DECIMALS))
    for mint, raw, decimals in moved:
        postings.append(Posting(out if raw < 0 else back, mint, raw, decimals, place=place))
    return tuple(postings)


def _costs(effects: Effects) -> list[Posting]:
    """SOL that was set apart."""
    rent: PostingKind = "rent_locked" if effects.rent > 0 else "rent_returned"
    apart: tuple[tuple[PostingKind, int], ...] = (
        ("network_fee", effects.network_fee),
        ("platform_fee", effects.fees),
        (rent, effects.rent),
        ("sent", effects.sent),
    )
    return [Posting(kind, SOL, -raw, SOL_DECIMALS) for kind, raw in apart if raw]
