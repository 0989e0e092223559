"""What is more than one trade in a transaction, or hardly one.

Each takes a scene that hasn't begun, and returns False, leaving it so, if the wallet can't.
"""

from typing import Final

from wd_tools.simulator import instruction_data
from wd_tools.simulator.draft import MINT_LAMPORTS
from wd_tools.simulator.exchange import Route, exchange, known_holdings, liquid, value, worth
from wd_tools.simulator.mints import SOL, Mint
from wd_tools.simulator.programs import (
    JUPITER,
    MERKLE_DISTRIBUTOR,
    ORCA,
    POOLS,
    PUMP_FUN,
    RAYDIUM_CPMM,
    RAYDIUM_V4,
    Venue,
)
from wd_tools.simulator.scene import LAMPORTS, Holding, Leg, Scene
from wd_tools.simulator.trades import (
    FRONT_END_FEE_BPS,
    RESERVE,
    SMALLEST_TRADE,
    sellable,
    spendable,
    wanted,
)

_CLAIM: Final = "4eb1627bd215bb53"
# A pool whose program no table knows: its swaps are trades by what the pool gave and took.
_UNLISTED_SWAP: Final = "0a1b2c3d4e5f6071"
LARGEST_REMNANT: Final = 60_000  # lamports that a rugged bag still fetches


def sell_two(scene: Scene) -> bool:
    """Two tokens for SOL in one transaction, each in a pool of its own."""
    held = [one for one in known_holdings(scene) if value(scene, _all(one)) >= SMALLEST_TRADE]
    if len(held) < 2 or scene.wallet.lamports < RESERVE:
        return False
    scene.start()
    for holding in scene.rng.sample(held, 2):
        give, venue = _all(holding), scene.rng.choice(POOLS)
        got = exchange(scene, Route((venue,)), give, Leg(SOL, value(scene, give)))
        scene.trade(venue.name, give, got)
    scene.unwrap()
    scene.kind = "sell"
    return True


def buy_with_claim(scene: Scene) -> bool:
    """A purchase, and an incentive in another token that is claimed beside it."""
    bought = _buy(scene, wanted(scene), scene.rng.choice(POOLS))
    if bought is None:
        return False
    _claim(scene, bought.mint)
    scene.kind = "buy"
    return True


def sell_with_claim(scene: Scene) -> bool:
    """A sale, and an incentive in another token."""
    holding = sellable(scene)
    if holding is None or holding.mint.fee_bps or scene.wallet.lamports < RESERVE:
        return False
    give = _all(holding)
    lamports = value(scene, give)
    if lamports < SMALLEST_TRADE:
        return False
    scene.start()
    venue = scene.rng.choice(POOLS)
    got = exchange(scene, Route((venue,)), give, Leg(SOL, lamports))
    scene.unwrap()
    scene.trade(venue.name, give, got)
    _claim(scene, give.mint)
    scene.kind = "sell"
    return True


def claim(scene: Scene) -> bool:
    """An incentive alone."""
    if scene.wallet.lamports < RESERVE:
        return False
    scene.start()
    _claim(scene, SOL)
    scene.kind = "airdrop"
    return True


def rug(scene: Scene) -> bool:
    """A bag that is worth next to nothing by now, sold for what it still fetches."""
    holding = _meme(scene)
    if holding is None:
        return False
    scene.start()
    give, get = _all(holding), Leg(SOL, scene.rng.randint(1, LARGEST_REMNANT))
    got = exchange(scene, Route((RAYDIUM_V4,)), give, get)
    scene.unwrap()
    scene.trade(RAYDIUM_V4.name, give, got)
    scene.kind = "sell"
    return True


def burn(scene: Scene) -> bool:
    """A whole bag burned, and its account closed for the deposit."""
    holding = _meme(scene)
    if holding is None:
        return False
    mint, wallet = holding.mint, scene.wallet.address
    scene.start()
    account = scene.tokens(mint)
    scene.draft.account(mint.address, MINT_LAMPORTS)
    data = instruction_data.token_burn(holding.amount)
    scene.draft.call(mint.program, [account, mint.address, wallet], data, "Burn")
    scene.draft.issue(account, -holding.amount)
    scene.close(mint)
    scene.burn(_all(holding))
    scene.kind = "burn"
    return True


def round_trip(scene: Scene) -> bool:
    """A token bought and sold again within the transaction, as volume bots and arbitrage do."""
    lamports = spendable(scene)
    if lamports is None:
        return False
    mint = scene.rng.choice(scene.world.mints.memes)
    scene.start()
    gains = scene.rng.random() < 0.3
    share = scene.rng.randint(1_001, 1_020) if gains else scene.rng.randint(960, 999)
    raw, back = worth(scene, lamports, mint), lamports * share // 1_000
    opened = mint.address not in scene.wallet.holdings
    exchange(scene, Route((ORCA,)), Leg(SOL, lamports), Leg(mint, raw))
    exchange(scene, Route((RAYDIUM_CPMM,)), Leg(mint, raw), Leg(SOL, back))
    scene.unwrap()
    if opened and scene.rng.random() < 0.5:
        scene.close(mint)
    scene.post("bought" if back > lamports else "sold", SOL, back - lamports)
    scene.kind = "round_trip"
    return True


def buy_plainly(scene: Scene) -> bool:
    """A token of Raydium's first pools, without a route, tip or fee."""
    mint = scene.rng.choice(scene.world.mints.majors)
    if _buy(scene, mint, RAYDIUM_V4) is None:
        return False
    scene.kind = "buy"
    return True


def sell_plainly(scene: Scene) -> bool:
    majors = set(scene.world.mints.majors)
    held = [one for one in scene.wallet.holdings.values() if one.amount and one.mint in majors]
    if not held or scene.wallet.lamports < RESERVE:
        return False
    give = _all(scene.rng.choice(held))
    scene.start()
    got = exchange(scene, Route((RAYDIUM_V4,)), give, Leg(SOL, value(scene, give)))
    scene.unwrap()
    scene.trade(RAYDIUM_V4.name, give, got)
    scene.kind = "sell"
    return True


def buy_unlisted(scene: Scene) -> bool:
    """A small purchase in a pool whose program nobody lists."""
    mint = scene.rng.choice(scene.world.mints.memes)
    program = scene.world.addresses.of("program", "unlisted")
    venue = Venue("unknown", program, _UNLISTED_SWAP, _UNLISTED_SWAP)
    lamports = scene.rng.randint(LAMPORTS // 500, LAMPORTS // 20)
    bought = _buy(scene, mint, venue, lamports)
    if bought is None:
        return False
    scene.kind = "buy"
    return True


def buy_through(scene: Scene) -> bool:
    """A purchase through a token in the middle, of which a little stays in the wallet."""
    lamports = spendable(scene)
    if lamports is None:
        return False
    mints = scene.world.mints
    middle, mint = scene.rng.choice(mints.majors), scene.rng.choice(mints.memes)
    scene.start()
    raw = worth(scene, lamports, middle)
    used = raw * scene.rng.randint(960, 998) // 1_000
    get = Leg(mint, worth(scene, value(scene, Leg(middle, used)), mint))
    exchange(scene, Route((ORCA,), JUPITER), Leg(SOL, lamports), Leg(middle, raw))
    got = exchange(scene, Route((RAYDIUM_CPMM,), JUPITER), Leg(middle, used), get)
    scene.unwrap()
    scene.trade(JUPITER.name, Leg(SOL, lamports), got)
    scene.post("leftover", middle, raw - used)
    scene.kind = "buy"
    return True


def buy_batched(scene: Scene) -> bool:
    """A purchase on a program that moves the price and a front end's fee in one p-token Batch."""
    lamports = spendable(scene)
    if lamports is None:
        return False
    mint, wallet = scene.rng.choice(scene.world.mints.memes), scene.wallet.address
    raw, fee = worth(scene, lamports, mint), lamports * FRONT_END_FEE_BPS // 10_000
    scene.start()
    source, target = scene.wrap(lamports + fee), scene.tokens(mint)
    pool = scene.someone(scene.world.addresses.of("pool", RAYDIUM_CPMM.name, mint.address))
    vault_in, vault_out = scene.their_tokens(pool, SOL), scene.their_tokens(pool, mint, raw)
    front_end = scene.their_tokens(scene.world.addresses.of("front end", "batch"), SOL)
    data = instruction_data.swap(RAYDIUM_CPMM.buy, lamports, raw)
    scene.draft.call(RAYDIUM_CPMM.program, [wallet, pool, vault_in, vault_out], data, "Swap")
    with scene.batch():
        scene.send(source, vault_in, lamports, wallet)
        scene.send(source, front_end, fee, wallet)
    scene.send(vault_out, target, raw, pool)
    scene.unwrap()
    scene.post("platform_fee", SOL, -fee)
    scene.trade(RAYDIUM_CPMM.name, Leg(SOL, lamports), Leg(mint, raw))
    scene.kind = "buy"
    return True


def sell_to_other(scene: Scene) -> bool:
    """A sale whose wrapped SOL account is closed straight to another wallet."""
    holding = sellable(scene)
    if (
        holding is None
        or holding.mint.fee_bps
        or SOL.address in scene.wallet.holdings
        or scene.wallet.lamports < RESERVE
    ):
        return False
    give = _all(holding)
    lamports = value(scene, give)
    if lamports < SMALLEST_TRADE:
        return False
    venue = scene.rng.choice(POOLS)
    scene.start()
    got = exchange(scene, Route((venue,)), give, Leg(SOL, lamports))
    scene.close_to(scene.world.addresses.of("second wallet", scene.wallet.address))
    scene.trade(venue.name, give, got)
    scene.kind = "sell"
    return True


def excess(scene: Scene) -> bool:
    """p-token's WithdrawExcessLamports: what accounts hold above today's rent."""
    found = [
        one
        for one in scene.wallet.holdings.values()
        if one.mint is not SOL and one.rent > scene.rent(one.mint.space)
    ]
    if not found or scene.wallet.lamports < RESERVE:
        return False
    wallet = scene.wallet.address
    scene.start()
    for holding in found[:3]:
        account = scene.tokens(holding.mint)
        lamports = holding.rent - scene.rent(holding.mint.space)
        accounts, data = [account, wallet, wallet], instruction_data.WITHDRAW_EXCESS_LAMPORTS
        scene.draft.call(holding.mint.program, accounts, data, "WithdrawExcessLamports")
        scene.draft.move(account, wallet, lamports)
        scene.post("rent_returned", SOL, lamports)
    scene.kind = "excess"
    return True


def _buy(scene: Scene, mint: Mint, venue: Venue, lamports: int | None = None) -> Leg | None:
    """A plain purchase on one venue; None, and nothing done, if the wallet can't."""
    limit = spendable(scene)
    if limit is None or limit < (lamports or 0):
        return None
    give = Leg(SOL, lamports or limit)
    scene.start()
    got = exchange(scene, Route((venue,)), give, Leg(mint, worth(scene, give.raw, mint)))
    if venue is not PUMP_FUN:
        scene.unwrap()
    scene.trade(venue.name, give, got)
    return got


def _claim(scene: Scene, beside: Mint) -> None:
    """A distributor hands out a token, other than the one that is traded beside it."""
    mint = scene.rng.choice([one for one in scene.world.mints.majors if one is not beside])
    amount = worth(scene, scene.rng.randint(LAMPORTS // 200, LAMPORTS // 4), mint)
    account = scene.tokens(mint)
    pool = scene.someone(scene.world.addresses.of("distributor", mint.address))
    vault = scene.their_tokens(pool, mint, amount)
    data = instruction_data.swap(_CLAIM, amount, 0)
    accounts = [pool, vault, account, scene.wallet.address]
    scene.draft.call(MERKLE_DISTRIBUTOR, accounts, data, "NewClaim")
    scene.post("reward", mint, scene.send(vault, account, amount, pool), counterparty=pool)


def _meme(scene: Scene) -> Holding | None:
    """A whole bag of a meme."""
    memes = set(scene.world.mints.memes)
    held = [
        one
        for one in scene.wallet.holdings.values()
        if liquid(one) and one.amount and one.mint in memes
    ]
    return scene.rng.choice(held) if held and scene.wallet.lamports >= RESERVE else None


def _all(holding: Holding) -> Leg:
    return Leg(holding.mint, holding.amount)
