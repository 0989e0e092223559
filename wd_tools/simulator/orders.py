"""Orders: limit orders of Jupiter, and its dollar cost averaging (DCA).

An order keeps what it gives in a token account of its own. Somebody else, a keeper, fills it with a
transaction that the order's owner doesn't sign. What is left, and the deposits of the order's
accounts, come back when it is cancelled, closed, or has given everything.

Each takes a scene that hasn't begun, and returns False, leaving it so, if the wallet can't.
"""

from typing import Final

from msgspec.structs import replace

from wd_tools.simulator import instruction_data
from wd_tools.simulator.exchange import known_holdings, value, walk, worth
from wd_tools.simulator.mints import SOL, USDC, Mint
from wd_tools.simulator.programs import (
    JUPITER,
    JUPITER_DCA,
    JUPITER_LIMIT,
    POOLS,
)
from wd_tools.simulator.scene import Deposit, Leg, Place, Scene
from wd_tools.simulator.trades import RESERVE, SMALLEST_TRADE, spendable, wanted
from wd_tools.simulator.truth import Kind

LIMIT: Final[Place] = "jupiter_limit"
DCA: Final[Place] = "jupiter_dca"
_PROGRAMS: Final = {LIMIT: JUPITER_LIMIT, DCA: JUPITER_DCA}
_SPACES: Final = {LIMIT: 372, DCA: 289}  # bytes of an order's account
# Instructions, as Anchor derives them from their names.
_OPEN: Final = {LIMIT: "856e4aaf709ff59f", DCA: "8e772b6da2340bb1"}
_CLOSE: Final = {LIMIT: "5f81edf00831df84", DCA: "16072162a8b722f3"}
_FILL: Final = "e87a7319c78f88a2"
_INITIATE_FILL: Final = "8fcd03bfa2d7f531"
_FULFILL: Final = "7340e24e21d369a2"
MOST_OPEN: Final = 6  # orders of a kind at a time
MOST_SLICES: Final = 6


def limit_place(scene: Scene) -> bool:
    return _open(scene, LIMIT, "limit_place", 1)


def dca_open(scene: Scene) -> bool:
    return _open(scene, DCA, "dca_open", scene.rng.randint(3, MOST_SLICES))


def limit_cancel(scene: Scene) -> bool:
    return _close(scene, LIMIT, "limit_cancel")


def dca_close(scene: Scene) -> bool:
    return _close(scene, DCA, "dca_close")


def limit_fill(scene: Scene) -> bool:
    """A keeper gives what the order wants out of its own pocket."""
    filled = _begin_fill(scene, LIMIT)
    if filled is None:
        return False
    order, get = filled
    keeper, wallet = scene.payer, scene.wallet.address
    target = wallet if get.mint is SOL else scene.tokens(get.mint, funder=keeper)
    keeper_in = scene.their_tokens(keeper, order.mint)
    keeper_out = scene.their_tokens(keeper, get.mint, get.raw)
    accounts = [keeper, wallet, order.account, order.vault, keeper_in, keeper_out, target]
    data = instruction_data.swap(_FILL, order.raw, get.raw)
    scene.draft.call(JUPITER_LIMIT, accounts, data, "FillOrder")
    scene.send(order.vault, keeper_in, order.raw, order.account)
    if get.mint is SOL:
        scene.pay(keeper, wallet, get.raw, 2)
        arrived = get.raw
    else:
        arrived = scene.send(keeper_out, target, get.raw, keeper)
    _return(scene, order)
    _filled(scene, order, order.raw, Leg(get.mint, arrived), "limit_fill")
    return True


def dca_fill(scene: Scene) -> bool:
    """A keeper borrows a slice of what the order has, trades it in a pool, and hands over what it
    got. The last slice closes the order."""
    filled = _begin_fill(scene, DCA)
    if filled is None:
        return False
    order, get = filled
    slice_raw = order.raw // order.slices
    keeper, wallet = scene.payer, scene.wallet.address
    target = wallet if get.mint is SOL else scene.tokens(get.mint, funder=keeper)
    keeper_in = scene.their_tokens(keeper, order.mint)
    keeper_out = scene.their_tokens(keeper, get.mint)
    accounts = [keeper, order.account, order.vault, keeper_in]
    borrow = instruction_data.swap(_INITIATE_FILL, slice_raw, 0)
    scene.draft.call(JUPITER_DCA, accounts, borrow, "InitiateFlashFill")
    scene.send(order.vault, keeper_in, slice_raw, order.account)
    venue = scene.rng.choice(POOLS)
    pool = scene.someone(scene.world.addresses.of("pool", venue.name, order.mint.address))
    vault_in = scene.their_tokens(pool, order.mint)
    vault_out = scene.their_tokens(pool, get.mint, get.raw)
    route = instruction_data.swap(JUPITER.sell, slice_raw, get.raw)
    scene.draft.call(JUPITER.program, [keeper, keeper_in, keeper_out], route, "Route")
    hop = instruction_data.swap(venue.sell, slice_raw, get.raw)
    scene.draft.inner(venue.program, [pool, keeper_in, vault_in, vault_out], hop, "Swap")
    scene.send(keeper_in, vault_in, slice_raw, keeper, 3)
    bought = scene.send(vault_out, keeper_out, get.raw, pool, 3)
    handed = instruction_data.swap(_FULFILL, bought, 0)
    accounts = [keeper, wallet, order.account, order.vault, keeper_out, target]
    scene.draft.call(JUPITER_DCA, accounts, handed, "FulfillFlashFill")
    if get.mint is SOL:
        scene.pay(keeper, wallet, bought, 2)
        arrived = bought
    else:
        arrived = scene.send(keeper_out, target, bought, keeper)
    left = order.raw - slice_raw
    if order.slices == 1:
        _return(scene, order)
    else:
        scene.give(replace(order, raw=left, slices=order.slices - 1))
    _filled(scene, order, slice_raw, Leg(get.mint, arrived), "dca_fill")
    return True


def dca_collect(scene: Scene) -> bool:
    """An order is closed that has kept what its fills got: that comes with what is left of what it
    gave. The wallet was in none of the fills, so they are told by this one."""
    orders = [one for one in scene.wallet.kept_by(DCA) if one.slices > 1]
    if not orders or scene.wallet.lamports < RESERVE:
        return False
    order = scene.rng.choice(orders)
    assert order.wanted is not None
    given = order.raw // order.slices * scene.rng.randint(1, order.slices - 1)
    got = Leg(order.wanted, worth(scene, value(scene, Leg(order.mint, given)), order.wanted))
    if not got.raw or got.mint.fee_bps:
        return False
    scene.start()
    left = replace(order, raw=order.raw - given)
    back, target = _own(scene, order.mint), _own(scene, got.mint)
    gathered = scene.stranger()
    rent = scene.rent(got.mint.space)
    scene.draft.token_account(gathered, got.mint, order.account, got.raw, rent)
    _name(scene, left)
    accounts = [scene.wallet.address, order.account, order.vault, gathered, back, target]
    scene.draft.call(JUPITER_DCA, accounts, instruction_data.swap(_CLOSE[DCA], 0, 0), "Close")
    scene.send(order.vault, back, left.raw, order.account)
    scene.send(gathered, target, got.raw, order.account)
    _return(scene, order)
    if SOL in (order.mint, got.mint):
        scene.unwrap()
    scene.post("custody_in", order.mint, left.raw, place=DCA)
    _filled(scene, order, given, got, "dca_collect")
    return True


def _own(scene: Scene, mint: Mint) -> str:
    """The wallet's account of a token, opened if there is none."""
    return scene.wrap(0) if mint is SOL else scene.tokens(mint)


def _open(scene: Scene, place: Place, kind: Kind, slices: int) -> bool:
    given = _given(scene)
    if given is None or len(scene.wallet.kept_by(place)) >= MOST_OPEN:
        return False
    give, get = given
    wallet = scene.wallet.address
    scene.start()
    source = scene.wrap(give.raw) if give.mint is SOL else scene.tokens(give.mint)
    order, vault = scene.stranger(), scene.stranger()
    accounts = [wallet, order, vault, source, give.mint.address, get.address]
    data = instruction_data.swap(_OPEN[place], give.raw, slices)
    scene.draft.call(_PROGRAMS[place], accounts, data, "Open")
    rent = scene.open_account(order, _SPACES[place], _PROGRAMS[place], "rent_locked")
    vault_rent = scene.open_tokens(vault, give.mint, order, "rent_locked")
    scene.send(source, vault, give.raw, wallet)
    if give.mint is SOL:
        scene.unwrap()
    scene.kind = kind
    scene.post("custody_out", give.mint, -give.raw, place=place)
    scene.give(Deposit(place, order, give.mint, give.raw, rent, vault, vault_rent, get, slices))
    return True


def _given(scene: Scene) -> tuple[Leg, Mint] | None:
    """What an order gives, and what it is to get."""
    held = [one for one in known_holdings(scene) if one.amount >= MOST_SLICES]
    if scene.wallet.lamports < RESERVE:
        return None
    if held and scene.rng.random() < 0.7:
        holding = scene.rng.choice(held)
        raw = holding.amount * scene.rng.choice((100, 50)) // 100
        if value(scene, Leg(holding.mint, raw)) < SMALLEST_TRADE:
            return None
        get = USDC if scene.rng.random() < 0.2 and holding.mint is not USDC else SOL
        return Leg(holding.mint, raw), get
    lamports = spendable(scene)
    if lamports is None:
        return None
    return Leg(SOL, lamports), wanted(scene)


def _close(scene: Scene, place: Place, kind: Kind) -> bool:
    orders = scene.wallet.kept_by(place)
    if not orders or scene.wallet.lamports < RESERVE:
        return False
    order = scene.rng.choice(orders)
    wallet = scene.wallet.address
    scene.start()
    target = _own(scene, order.mint)
    _name(scene, order)
    accounts = [wallet, order.account, order.vault, target]
    data = instruction_data.swap(_CLOSE[place], 0, 0)
    scene.draft.call(_PROGRAMS[place], accounts, data, "Close")
    scene.send(order.vault, target, order.raw, order.account)
    _return(scene, order)
    if order.mint is SOL:
        scene.unwrap()
    scene.kind = kind
    scene.post("custody_in", order.mint, order.raw, place=place)
    scene.take(order)
    return True


def _begin_fill(scene: Scene, place: Place) -> tuple[Deposit, Leg] | None:
    """The order, and what it gets for the next slice of what it gives."""
    orders = scene.wallet.kept_by(place)
    if not orders:
        return None
    order = scene.rng.choice(orders)
    assert order.wanted is not None
    for mint in (order.mint, order.wanted):
        walk(scene, mint)
    lamports = value(scene, Leg(order.mint, order.raw // order.slices))
    get = Leg(order.wanted, worth(scene, lamports, order.wanted))
    if not get.raw:
        return None
    scene.start(scene.stranger(), signs=False)
    _name(scene, order)
    return order, get


def _name(scene: Scene, order: Deposit) -> None:
    scene.draft.account(order.account, order.rent)
    scene.draft.token_account(order.vault, order.mint, order.account, order.raw, order.vault_rent)


def _return(scene: Scene, order: Deposit) -> None:
    """The order's own accounts go back to the wallet."""
    scene.close_tokens(order.vault, order.account)
    scene.close_account(order.account)


def _filled(scene: Scene, order: Deposit, given: int, got: Leg, kind: Kind) -> None:
    scene.take(order)
    scene.post("custody_in", order.mint, given, place=order.place)
    scene.trade(order.place, Leg(order.mint, given), got)
    scene.kind = kind
