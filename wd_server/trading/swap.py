"""Whether a transaction was a trade for a wallet, and which."""

from typing import Final, Literal, cast

from msgspec import Struct

from wd_server.trading.effects import DUST, Effects
from wd_server.trading.outlays import UNLISTED_FEE_MAX
from wd_server.trading.programs import SOL, SOL_DECIMALS, STABLE_MINTS, TRADING_KINDS
from wd_server.trading.trade import Action, Leg, Swap, Transfer

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


class Reading(Struct, frozen=True, array_like=True, gc=False):
    """A swap, or the reason why it is none.

    `transfers`: what else the wallet has more or less of than before: all tokens where there is
    no swap, leftovers of the route where there is one. Never SOL: it is what profit is counted
    in, not a position.
    """

    swap: Swap | None
    reason: Reason | None
    transfers: tuple[Transfer, ...]


def reading_of(effects: Effects) -> Reading:
    """One trade at most: what the wallet gave on the whole for what it got on the whole.

    Between SOL and a stable coin the stable coin is what is bought or sold. Between two other
    tokens, or two stable coins, it is a swap. Where SOL is no leg, what little of it went counts
    as a fee.
    """
    given, got = _assets(effects)
    reason = _obstacle(effects, given, got)
    if reason is not None:
        return Reading(None, reason, _transfers(effects))
    sold, bought = given[0], got[0]
    fee_lamports = effects.network_fee + effects.fees
    if SOL not in (sold.mint, bought.mint):
        fee_lamports -= min(0, effects.sol)
    program = effects.program
    swap = Swap(
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
    return Reading(swap, None, _transfers(effects, sold.mint, bought.mint))


def action_of(sold: str, bought: str) -> Action:
    """What a trade is called; SOL is more of a quote than a stable coin, that more than others."""
    gave, got = _quote_rank(sold), _quote_rank(bought)
    if gave == got:
        return "swap"
    return "buy" if gave > got else "sell"


def _quote_rank(mint: str) -> int:
    return 2 if mint == SOL else 1 if mint in STABLE_MINTS else 0


def _assets(effects: Effects) -> tuple[list[Transfer], list[Transfer]]:
    """What the wallet has less of and what it has more of, without dust, leftovers of a route,
    and the SOL that goes beside a trade of token for token."""
    deltas = effects.tokens
    sol = effects.sol
    if len(deltas) > 1:
        deltas = {mint: delta for mint, delta in deltas.items() if not delta.is_leftover}
    given: list[Transfer] = []
    got: list[Transfer] = []
    for mint, delta in deltas.items():
        (given if delta.raw < 0 else got).append(Transfer(mint, delta.raw, delta.decimals))
    if abs(sol) > DUST:
        beside = given and got and -UNLISTED_FEE_MAX <= sol <= REFUND_MAX
        if not beside:
            (given if sol < 0 else got).append(Transfer(SOL, sol, SOL_DECIMALS))
    return given, got


def _obstacle(effects: Effects, given: list[Transfer], got: list[Transfer]) -> Reason | None:
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


def _is_share(effects: Effects, asset: Transfer) -> bool:
    """Most of what the wallet got was minted for it, or of what it gave was burned. A swap moves
    what a pool has."""
    delta = effects.tokens.get(asset.mint)
    return (
        delta is not None
        and 2 * abs(delta.supply) >= abs(delta.raw)
        and ((delta.supply > 0) == (delta.raw > 0))
    )


def _transfers(effects: Effects, *legs: str) -> tuple[Transfer, ...]:
    transfers = []
    for mint, delta in effects.tokens.items():
        if mint not in legs:
            transfers.append(Transfer(mint, delta.raw, delta.decimals))
    return tuple(transfers)
