"""Whether a transaction was a trade for a wallet, and which."""

from typing import Final, Literal, cast

from msgspec import Struct

from wd_server.trading.effects import DUST, Effects
from wd_server.trading.programs import SOL, SOL_DECIMALS, STABLE_MINTS, TRADING_KINDS
from wd_server.trading.sol_postings import UNLISTED_FEE_MAX
from wd_server.trading.trade import Action, Leg, Posting, RawTrade

# Without a known venue, less SOL than this (lamports) for tokens is what a claim or a mint costs,
# not what they are worth.
CLAIM_FEE_MAX: Final = 50_000_000
# SOL (lamports) that comes back beside a trade of token for token: rent of a program's account.
REFUND_MAX: Final = 10_000_000

Reason = Literal[
    "failed",  # only the network fee moved
    "one_sided",  # a transfer, an airdrop, a burn, an arbitrage that ends in what it began with
    "lending",  # deposit, withdrawal, loan, repayment
    "escrow",  # an order or a bridge that will trade later, or gives back
    "staking",  # native or liquid
    "nft",  # minted, bought, sold
    "share",  # a part of a pool, stake pool or vault was minted or burned
    "several_assets",  # more than two, and none a leftover
    "claim",  # tokens for a small fee, no venue known
]


class Interpretation(Struct, frozen=True, array_like=True, gc=False):
    """What a transaction meant for a wallet: a trade, or the reason why it was none.

    `postings`: what else the wallet has more or less of than before: all tokens where there is
    no trade, leftovers of the route where there is one. Never SOL: it is what profit is counted
    in, not a position.
    """

    trade: RawTrade | None
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
        return Interpretation(None, reason, _postings(effects))
    sold, bought = given[0], got[0]
    fee_lamports = effects.network_fee + effects.fees
    if SOL not in (sold.mint, bought.mint):
        fee_lamports -= min(0, effects.sol)
    program = effects.program
    trade = RawTrade(
        signature=effects.signature,
        slot=effects.slot,
        timestamp=effects.timestamp,
        action=action_of(sold.mint, bought.mint),
        sold=Leg(sold.mint, -sold.raw, sold.decimals),
        bought=Leg(bought.mint, bought.raw, bought.decimals),
        fee_lamports=fee_lamports,
        dex=program.name if program else "unknown",
        confidence="high" if program and effects.exact else "low",
    )
    return Interpretation(trade, None, _postings(effects, sold.mint, bought.mint))


def action_of(sold: str, bought: str) -> Action:
    """What a trade is called; SOL is more of a quote than a stable coin, that more than others."""
    gave, got = _quote_rank(sold), _quote_rank(bought)
    if gave == got:
        return "swap"
    return "buy" if gave > got else "sell"


def _quote_rank(mint: str) -> int:
    return 2 if mint == SOL else 1 if mint in STABLE_MINTS else 0


def _assets(effects: Effects) -> tuple[list[Posting], list[Posting]]:
    """What the wallet has less of and what it has more of, without dust, leftovers of a route,
    and the SOL that goes beside a trade of token for token."""
    deltas = effects.tokens
    sol = effects.sol
    if len(deltas) > 1:
        deltas = {mint: delta for mint, delta in deltas.items() if not delta.is_leftover}
    given: list[Posting] = []
    got: list[Posting] = []
    for mint, delta in deltas.items():
        (given if delta.raw < 0 else got).append(Posting(mint, delta.raw, delta.decimals))
    if abs(sol) > DUST:
        beside = given and got and -UNLISTED_FEE_MAX <= sol <= REFUND_MAX
        if not beside:
            (given if sol < 0 else got).append(Posting(SOL, sol, SOL_DECIMALS))
    return given, got


def _obstacle(effects: Effects, given: list[Posting], got: list[Posting]) -> Reason | None:
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


def _is_share(effects: Effects, asset: Posting) -> bool:
    """Most of what the wallet got was minted for it, or of what it gave was burned. A trade
    moves what a pool has."""
    delta = effects.tokens.get(asset.mint)
    return (
        delta is not None
        and 2 * abs(delta.supply) >= abs(delta.raw)
        and ((delta.supply > 0) == (delta.raw > 0))
    )


def _postings(effects: Effects, *legs: str) -> tuple[Posting, ...]:
    postings = []
    for mint, delta in effects.tokens.items():
        if mint not in legs:
            postings.append(Posting(mint, delta.raw, delta.decimals))
    return tuple(postings)
