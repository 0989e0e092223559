"""What a trader does: buys, sales, swaps between tokens, and the ones that fail.

Each takes a scene that hasn't begun, and returns False, leaving it so, if the wallet can't.
"""

from typing import Final

from wd_tools.simulator.exchange import Route, exchange, liquid, value, walk, worth
from wd_tools.simulator.mints import SOL, USDC, Mint
from wd_tools.simulator.programs import (
    JUPITER,
    JUPITER_RFQ,
    METEORA_DBC,
    PHOTON,
    PHOTON_TIP,
    POOLS,
    PUMP_FUN,
    RAYDIUM_V4,
    TROJAN_FEE,
)
from wd_tools.simulator.scene import LAMPORTS, Holding, Leg, Scene

# Stays untouched for rent, tips and fees. Lamports.
RESERVE: Final = LAMPORTS // 4
SMALLEST_TRADE: Final = LAMPORTS // 100
TROJAN_FEE_BPS: Final = 90
TIP_SHARE: Final = 0.35
CLOSE_SHARE: Final = 0.5
URGENT_SHARE: Final = 0.25
FRONT_END_SHARE: Final = 0.04
FRONT_END_FEE_BPS: Final = 85
UNLISTED_SHARE: Final = 0.25
UNLISTED_ACCOUNTS: Final = 12
LARGE_TIP_SHARE: Final = 0.04
FAILURES: Final = (6001, 6004, 1, 6002)


def buy(scene: Scene) -> bool:
    """A token for SOL."""
    lamports = spendable(scene)
    if lamports is None:
        return False
    mint = wanted(scene)
    walk(scene, mint)
    _trade(
        scene, route_of(scene, mint), Leg(SOL, lamports), Leg(mint, worth(scene, lamports, mint))
    )
    return True


def sell(scene: Scene) -> bool:
    """All or part of a holding for SOL."""
    holding = sellable(scene)
    if holding is None:
        return False
    walk(scene, holding.mint)
    raw = holding.amount * scene.rng.choice((100, 100, 100, 75, 50, 50, 25, 10)) // 100
    give = Leg(holding.mint, raw)
    lamports = value(scene, give)
    # Fees of a sale are paid natively, also when its proceeds stay wrapped.
    if lamports < SMALLEST_TRADE or scene.wallet.lamports < RESERVE + lamports // 20:
        return False
    _trade(scene, route_of(scene, holding.mint), give, Leg(SOL, lamports))
    return True


def buy_stable(scene: Scene) -> bool:
    """USDC for SOL."""
    lamports = spendable(scene)
    if lamports is None:
        return False
    get = Leg(USDC, worth(scene, lamports, USDC))
    _trade(scene, Route((scene.rng.choice(POOLS[1:]),), JUPITER), Leg(SOL, lamports), get)
    return True


def with_stable(scene: Scene) -> bool:
    """USDC for a token, a token for USDC, or USDC for SOL."""
    rng, choice = scene.rng, scene.rng.random()
    cash = scene.wallet.holdings.get(USDC.address)
    if cash is not None and cash.amount > 10_000_000 and choice < 0.6:
        give = Leg(USDC, cash.amount * rng.choice((100, 50, 30)) // 100)
        mint = SOL if choice < 0.2 else wanted(scene)
    else:
        holding = sellable(scene)
        if holding is None or holding.mint is USDC:
            return False
        give, mint = Leg(holding.mint, holding.amount // 2), USDC
    walk(scene, mint)
    lamports = value(scene, give)
    if lamports < SMALLEST_TRADE or scene.wallet.lamports < RESERVE:
        return False
    _trade(scene, Route((rng.choice(POOLS[1:]),)), give, Leg(mint, worth(scene, lamports, mint)))
    return True


def swap(scene: Scene) -> bool:
    """One token for another, by Jupiter over USDC."""
    holding, mint = sellable(scene), wanted(scene)
    if holding is None or USDC in (holding.mint, mint) or mint is holding.mint:
        return False
    give = Leg(holding.mint, holding.amount * scene.rng.choice((100, 50)) // 100)
    lamports = value(scene, give)
    if lamports < SMALLEST_TRADE or scene.wallet.lamports < RESERVE:
        return False
    venues = (scene.rng.choice(POOLS), scene.rng.choice(POOLS[1:]))
    _trade(scene, Route(venues, JUPITER), give, Leg(mint, worth(scene, lamports, mint)))
    return True


def failed(scene: Scene) -> bool:
    """A buy or a sale that the chain refused, for slippage mostly, whatever it paid to be early."""
    scene.urgent = scene.rng.random() < URGENT_SHARE
    if not (sell(scene) if scene.rng.random() < 0.4 else buy(scene)):
        return False
    scene.fail(scene.rng.choice(FAILURES))
    return True


def _trade(scene: Scene, route: Route, give: Leg, get: Leg) -> None:
    rng = scene.rng
    relayed = route.venues[0] is JUPITER_RFQ
    scene.start(scene.stranger() if relayed else None)
    close = (
        give.mint is not SOL
        and not give.mint.fee_bps
        and give.raw == scene.wallet.holdings[give.mint.address].amount
        and rng.random() < CLOSE_SHARE
    )
    got = exchange(scene, route, give, get)
    if SOL in (give.mint, got.mint) and rng.random() < FRONT_END_SHARE:
        _front_end_fee(scene, give.raw if give.mint is SOL else got.raw)
    if SOL in (give.mint, got.mint) and route.venues[0] is not PUMP_FUN:
        scene.unwrap()
    if close:
        scene.close(give.mint)
    if route.outer is PHOTON and rng.random() < 0.3:
        scene.tip(PHOTON_TIP)
    elif not relayed and rng.random() < TIP_SHARE:
        _tip(scene, value(scene, give) if SOL in (give.mint, get.mint) else 0)
    if route.outer is None and not relayed and SOL in (give.mint, get.mint) and rng.random() < 0.1:
        lamports = give.raw if give.mint is SOL else get.raw
        scene.pay_fee(TROJAN_FEE, lamports * TROJAN_FEE_BPS // 10_000)
    action = scene.trade(route.name, give, got)
    scene.kind = "swap" if action == "swap" else "buy" if action == "buy" else "sell"


def _tip(scene: Scene, traded: int) -> None:
    """Mostly small and to an account that lists have; some are of a tenth of a SOL and more, but
    none is so large beside the SOL that is `traded` that it could be a payment."""
    rng, left = scene.rng, scene.draft.lamports[scene.wallet.address]
    target = None
    if rng.random() < UNLISTED_SHARE:
        target = scene.world.addresses.of("tips", str(rng.randrange(UNLISTED_ACCOUNTS)))
    large = min(rng.randint(LAMPORTS // 20, LAMPORTS // 2), left // 2, traded // 8)
    scene.tip(target, large if large and rng.random() < LARGE_TIP_SHARE else None)


def _front_end_fee(scene: Scene, lamports: int) -> None:
    """Taken by the program that swaps, for an account that no list has."""
    number = scene.rng.randrange(UNLISTED_ACCOUNTS)
    account = scene.world.addresses.of("front end", str(number))
    scene.pay_fee(account, lamports * FRONT_END_FEE_BPS // 10_000, 2)


def spendable(scene: Scene) -> int | None:
    """How much SOL to put in; None if there isn't enough."""
    limit = (scene.wallet.lamports - RESERVE) * 9 // 10
    wished = int(LAMPORTS * scene.rng.choice((0.05, 0.1, 0.25, 0.5, 1, 2, 5)))
    lamports = min(wished + scene.rng.randint(0, 9_999_999), limit)
    return lamports if lamports >= SMALLEST_TRADE else None


def wanted(scene: Scene) -> Mint:
    rng, mints = scene.rng, scene.world.mints
    choice = rng.random()
    if choice < 0.3:
        held = [one.mint for one in scene.wallet.holdings.values() if liquid(one)]
        if held:
            return rng.choice(held)
    if choice < 0.8:
        return rng.choice(mints.memes)
    return rng.choice(mints.majors if choice < 0.93 else mints.taxed)


def sellable(scene: Scene) -> Holding | None:
    held = [one for one in scene.wallet.holdings.values() if one.amount and liquid(one)]
    return scene.rng.choice(held) if held else None


def route_of(scene: Scene, mint: Mint) -> Route:
    """How a token is traded against SOL. Only memes are on the bonding curve."""
    rng = scene.rng
    choice = rng.random()
    if mint.address.endswith("pump") and choice < 0.4:
        return Route((PUMP_FUN,), PHOTON if choice < 0.12 else None)
    if mint.fee_bps or choice < 0.62:
        return Route((rng.choice(POOLS),))
    if choice < 0.70:
        return Route((RAYDIUM_V4,), PHOTON)
    if choice < 0.75:
        return Route((METEORA_DBC, RAYDIUM_V4), PHOTON)
    if choice < 0.87:
        return Route((rng.choice(POOLS),), JUPITER)
    if choice < 0.97:
        return Route((rng.choice(POOLS), rng.choice(POOLS[1:])), JUPITER)
    return Route((JUPITER_RFQ,))
