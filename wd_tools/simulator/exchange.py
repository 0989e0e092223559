"""Swapping one token for another, instruction by instruction, on a venue or a route of them."""

from typing import Final

from msgspec import Struct

from wd_tools.simulator import instruction_data
from wd_tools.simulator.draft import MINT_LAMPORTS
from wd_tools.simulator.mints import SOL, USDC, Mint
from wd_tools.simulator.programs import (
    JUPITER,
    JUPITER_REFERRAL,
    PHOTON,
    PHOTON_FEE,
    PUMP_FUN,
    PUMP_FUN_FEE,
    PUMP_SWAP,
    PUMP_SWAP_FEE,
    SYSTEM,
    TOKEN,
    Venue,
)
from wd_tools.simulator.scene import LAMPORTS, Holding, Leg, Scene

PUMP_FUN_FEE_BPS: Final = 100
PUMP_SWAP_FEE_BPS: Final = 25
PHOTON_FEE_BPS: Final = 100
JUPITER_FEE_BPS: Final = 50
HOP_LOSS: Final = 0.997  # what a pool leaves of a value on the way through


class Route(Struct, frozen=True):
    """The program that is called, if not the venue itself, and the venues in turn."""

    venues: tuple[Venue, ...]
    outer: Venue | None = None

    @property
    def name(self) -> str:
        return (self.outer or self.venues[0]).name


def value(scene: Scene, leg: Leg) -> int:
    """Lamports that `leg` is worth at the wallet's price of the moment."""
    return int(leg.raw * price(scene, leg.mint) / 10**leg.mint.decimals)


def worth(scene: Scene, lamports: int, mint: Mint) -> int:
    """How much of `mint`, raw, so many lamports buy."""
    return int(lamports * 10**mint.decimals / price(scene, mint))


def price(scene: Scene, mint: Mint) -> float:
    """Lamports a whole token; a stable coin follows SOL's price in dollars."""
    if mint is SOL:
        return float(LAMPORTS)
    if not mint.price:
        return LAMPORTS / scene.sol_usd
    return scene.wallet.prices.get(mint.address, float(mint.price))


def walk(scene: Scene, mint: Mint) -> None:
    """Move the price a step, within a factor of 50 of where it began."""
    if not mint.price or mint is SOL:
        return
    step = price(scene, mint) * (1 + scene.rng.uniform(-0.15, 0.17))
    scene.wallet.prices[mint.address] = min(max(step, mint.price / 50), mint.price * 50)


def liquid(holding: Holding) -> bool:
    mint = holding.mint
    return mint.liquid and mint.price > 0 and mint is not SOL


def known_holdings(scene: Scene) -> list[Holding]:
    """What has a market and arrives whole, and whose cost is known to the last unit."""
    return [
        one
        for one in scene.wallet.holdings.values()
        if one.amount
        and (liquid(one) or one.mint is USDC)
        and not one.mint.fee_bps
        and one.mint.address not in scene.wallet.doubtful
    ]


def exchange(scene: Scene, route: Route, give: Leg, get: Leg) -> Leg:
    """Swap `give` for `get` and return what the wallet receives of it, which is less where the
    token takes a transfer fee."""
    if route.venues[0] is PUMP_FUN:
        return _on_curve(scene, route, give, get)
    beside = _pump_swap_fee(route, give)
    source = scene.wrap(give.raw + beside) if give.mint is SOL else scene.tokens(give.mint)
    target = scene.tokens(get.mint)
    called = route.outer or route.venues[0]
    accounts = [scene.wallet.address, source, target, *_called(scene, called)]
    data = instruction_data.swap(called.sell, give.raw, get.raw * 99 // 100)
    scene.draft.call(
        called.program, accounts, data, "SharedAccountsRoute" if called is JUPITER else "Swap"
    )
    scene.swap_index = scene.draft.calls - 1
    received = _hops(scene, route, give, get, source, target)
    if route.outer is PHOTON:
        _photon_fee(scene, give, get)
    return Leg(get.mint, received)


def _called(scene: Scene, venue: Venue) -> list[str]:
    """Accounts that an instruction of the venue names beside the user's."""
    authority = scene.world.addresses.of("authority", venue.name)
    scene.draft.account(authority, 0, 0)
    scene.draft.program(TOKEN)
    return [authority, TOKEN]


def _hops(scene: Scene, route: Route, give: Leg, get: Leg, source: str, target: str) -> int:
    """The token transfers of every hop; what goes between two is held by the router."""
    height, received = (3 if route.outer else 2), 0
    router = scene.world.addresses.of("router", route.name)
    sender, at, amount = scene.wallet.address, source, give.raw
    into = give.mint
    for number, venue in enumerate(route.venues):
        last = number == len(route.venues) - 1
        out = get if last else Leg(USDC, worth(scene, int(value(scene, give) * HOP_LOSS), USDC))
        pool = scene.someone(scene.world.addresses.of("pool", venue.name, into.address))
        vault_in = scene.their_tokens(pool, into)
        vault_out = scene.their_tokens(pool, out.mint, out.raw)
        if route.outer is not None:
            data = instruction_data.swap(venue.sell, amount, out.raw)
            scene.draft.inner(venue.program, [pool, at, vault_in, vault_out, sender], data, "Swap")
        end = target if last else scene.their_tokens(router, out.mint)
        scene.send(at, vault_in, amount, sender, height)
        received = scene.send(vault_out, end, out.raw, pool, height)
        if not number:
            _take_beside(scene, source, _pump_swap_fee(route, give), height)
        sender, at, amount, into = router, end, received, out.mint
        if last:
            _kept_by_others(scene, route, Leg(out.mint, out.raw), vault_out, pool, height)
    return received


def _kept_by_others(
    scene: Scene, route: Route, out: Leg, vault: str, pool: str, height: int
) -> None:
    """Fees that a pool pays out of its own side: the wallet never had them."""
    if route.venues[-1] is PUMP_SWAP and out.mint is SOL:
        owner, bps = PUMP_SWAP_FEE, PUMP_SWAP_FEE_BPS
    elif route.outer is JUPITER and scene.rng.random() < 0.2:
        owner, bps = JUPITER_REFERRAL, JUPITER_FEE_BPS
    else:
        return
    fee = out.raw * bps // 10_000
    scene.send(vault, scene.their_tokens(owner, out.mint), fee, pool, height)


def _pump_swap_fee(route: Route, give: Leg) -> int:
    """PumpSwap takes its fee of a buy from the buyer's wrapped SOL, beside the price."""
    if route.venues[0] is not PUMP_SWAP or give.mint is not SOL:
        return 0
    return give.raw * PUMP_SWAP_FEE_BPS // 10_000


def _take_beside(scene: Scene, source: str, fee: int, height: int) -> None:
    if fee:
        target = scene.their_tokens(PUMP_SWAP_FEE, SOL)
        scene.send(source, target, fee, scene.wallet.address, height)
        scene.post("platform_fee", SOL, -fee)


def _photon_fee(scene: Scene, give: Leg, get: Leg) -> None:
    lamports = give.raw if give.mint is SOL else get.raw
    scene.pay_fee(PHOTON_FEE, lamports * PHOTON_FEE_BPS // 10_000, 2)


def _on_curve(scene: Scene, route: Route, give: Leg, get: Leg) -> Leg:
    """Pump.fun's bonding curve holds plain lamports. Its fee: beside the price of a buy, out of
    the proceeds of a sale, where the curve pays it."""
    buying, height = give.mint is SOL, (3 if route.outer else 2)
    mint, wallet, draft = (get.mint if buying else give.mint), scene.wallet.address, scene.draft
    account = scene.tokens(mint)
    curve = scene.world.addresses.of("curve", mint.address)
    owed = 0 if buying else 2 * get.raw
    draft.account(curve, owed + scene.rng.randint(LAMPORTS, 80 * LAMPORTS))
    curve_tokens = scene.their_tokens(curve, mint, get.raw if buying else 0)
    scene.someone(PUMP_FUN_FEE)
    accounts = [PUMP_FUN_FEE, mint.address, curve, curve_tokens, account, wallet, SYSTEM, TOKEN]
    draft.account(mint.address, MINT_LAMPORTS, 0)
    draft.program(SYSTEM)
    draft.program(TOKEN)
    data = instruction_data.swap(
        PUMP_FUN.buy if buying else PUMP_FUN.sell, get.raw if buying else give.raw, give.raw
    )
    verb = "Buy" if buying else "Sell"
    if route.outer is None:
        draft.call(PUMP_FUN.program, accounts, data, verb)
    else:
        draft.program(PUMP_FUN.program)
        outer_data = instruction_data.swap(route.outer.buy, give.raw, get.raw)
        draft.call(route.outer.program, [*accounts, PUMP_FUN.program], outer_data, f"Pump{verb}")
        draft.inner(PUMP_FUN.program, accounts, data, verb)
    scene.swap_index = draft.calls - 1
    if buying:
        scene.send(curve_tokens, account, get.raw, curve, height)
        scene.pay(wallet, curve, give.raw, height)
        scene.pay_fee(PUMP_FUN_FEE, give.raw * PUMP_FUN_FEE_BPS // 10_000, height)
    else:
        scene.send(account, curve_tokens, give.raw, wallet, height)
        draft.move(curve, wallet, get.raw)
        draft.move(curve, PUMP_FUN_FEE, get.raw * PUMP_FUN_FEE_BPS // 10_000)
    if route.outer is PHOTON:
        _photon_fee(scene, give, get)
    return get
