"""What looks like a swap and is none: liquidity added and taken back, SOL staked and unstaked.

Each takes a scene that hasn't begun, and returns False, leaving it so, if the wallet can't.
"""

from typing import Final

from wd_tools.simulator import instruction_data
from wd_tools.simulator.draft import MINT_LAMPORTS
from wd_tools.simulator.exchange import known_holdings, value, worth
from wd_tools.simulator.mints import JITOSOL, MSOL, SOL, Mint, pool_share
from wd_tools.simulator.programs import MARINADE, RAYDIUM_V4, STAKE_POOL
from wd_tools.simulator.scene import LAMPORTS, Leg, Scene
from wd_tools.simulator.trades import RESERVE, SMALLEST_TRADE

# Anchor's `deposit` and `liquid_unstake`; Raydium V4 and the stake pool count their own.
_DEPOSIT: Final = "f223c68952e1f2b6"
_LIQUID_UNSTAKE: Final = "1e1e77f0bfe30c10"
# Places, by the names that custodians have in postings.
RAYDIUM: Final = "raydium"
_STAKING: Final = {MARINADE: "marinade", STAKE_POOL: "stake_pool"}


def add_liquidity(scene: Scene) -> bool:
    """A token and SOL into a Raydium pool, for the pool's token."""
    wallet, rng = scene.wallet, scene.rng
    memes = set(scene.world.mints.memes)
    held = [one for one in known_holdings(scene) if one.mint in memes]
    if not held:
        return False
    holding = rng.choice(held)
    raw = holding.amount * rng.choice((100, 50)) // 100
    lamports = value(scene, Leg(holding.mint, raw))
    if not SMALLEST_TRADE <= lamports <= (wallet.lamports - RESERVE) // 2:
        return False
    scene.start()
    pool_mint = _pool_mint(scene, holding.mint)
    wrapped, target = scene.wrap(lamports), scene.tokens(pool_mint)
    source = scene.tokens(holding.mint)
    pool, vault, sol_vault = _pool(scene, holding.mint)
    accounts = [pool, vault, sol_vault, source, wrapped, target, wallet.address]
    data = instruction_data.swap("03", raw, lamports)
    scene.draft.call(RAYDIUM_V4.program, accounts, data, "Deposit")
    scene.send(source, vault, raw, wallet.address)
    scene.send(wrapped, sol_vault, lamports, wallet.address)
    _mint_to(scene, pool_mint, target, pool, lamports)
    scene.unwrap()
    scene.kind, scene.dex = "lp_add", RAYDIUM_V4.name
    scene.post("custody_out", SOL, -lamports, place=RAYDIUM)
    scene.post("custody_out", holding.mint, -raw, place=RAYDIUM)
    scene.post("minted", pool_mint, lamports, place=RAYDIUM)
    return True


def remove_liquidity(scene: Scene) -> bool:
    """The pool's token back for its two sides, which have moved meanwhile."""
    wallet, mints = scene.wallet, scene.world.mints
    pairs = [
        (held, mint)
        for mint in mints.memes
        if (held := wallet.holdings.get(scene.world.addresses.of("lp", mint.address)))
        and held.amount >= SMALLEST_TRADE
    ]
    if not pairs or wallet.lamports < RESERVE:
        return False
    held, mint = scene.rng.choice(pairs)
    scene.start()
    lamports = held.amount * scene.rng.randint(80, 120) // 100
    raw = worth(scene, lamports, mint)
    source, wrapped, target = scene.tokens(held.mint), scene.wrap(0), scene.tokens(mint)
    pool, vault, sol_vault = _pool(scene, mint, raw, lamports)
    accounts = [pool, vault, sol_vault, source, target, wrapped, wallet.address]
    data = instruction_data.swap("04", held.amount, 0)
    scene.draft.call(RAYDIUM_V4.program, accounts, data, "Withdraw")
    scene.send(vault, target, raw, pool)
    scene.send(sol_vault, wrapped, lamports, pool)
    _burn(scene, held.mint, source, held.amount)
    scene.unwrap()
    scene.kind, scene.dex = "lp_remove", RAYDIUM_V4.name
    scene.post("burned", held.mint, -held.amount, place=RAYDIUM)
    scene.post("custody_in", SOL, lamports, place=RAYDIUM)
    scene.post("custody_in", mint, raw, place=RAYDIUM)
    return True


def stake(scene: Scene) -> bool:
    """SOL for a liquid staking token, minted."""
    lamports = min((scene.wallet.lamports - RESERVE) // 2, 3 * LAMPORTS)
    if lamports < LAMPORTS // 10:
        return False
    mint, program = scene.rng.choice(((MSOL, MARINADE), (JITOSOL, STAKE_POOL)))
    scene.start()
    wallet, target = scene.wallet.address, scene.tokens(mint)
    pool = scene.someone(scene.world.addresses.of("stake pool", mint.address))
    raw = worth(scene, lamports, mint)
    data = instruction_data.swap(_DEPOSIT if program == MARINADE else "0e", lamports, 0)
    scene.draft.call(program, [pool, mint.address, wallet, target], data, "Deposit")
    scene.pay(wallet, pool, lamports, 2)
    _mint_to(scene, mint, target, pool, raw)
    scene.kind = "stake"
    place = _STAKING[program]
    scene.post("custody_out", SOL, -lamports, place=place)
    scene.post("minted", mint, raw, place=place)
    return True


def unstake(scene: Scene) -> bool:
    """A liquid staking token for SOL at once."""
    held = [one for mint in (MSOL, JITOSOL) if (one := scene.wallet.holdings.get(mint.address))]
    doubtful = scene.wallet.doubtful
    held = [one for one in held if one.amount > LAMPORTS // 10 and one.mint.address not in doubtful]
    if not held or scene.wallet.lamports < RESERVE:
        return False
    holding = scene.rng.choice(held)
    mint, wallet = holding.mint, scene.wallet.address
    program = MARINADE if mint is MSOL else STAKE_POOL
    raw = holding.amount * scene.rng.choice((100, 50)) // 100
    lamports = value(scene, Leg(mint, raw)) * 997 // 1000
    scene.start()
    source = scene.tokens(mint)
    pool = scene.world.addresses.of("stake pool", mint.address)
    scene.draft.account(pool, lamports + scene.rng.randint(LAMPORTS, 9_000 * LAMPORTS))
    data = instruction_data.swap(_LIQUID_UNSTAKE if program == MARINADE else "10", raw, 0)
    scene.draft.account(mint.address, MINT_LAMPORTS)
    scene.draft.call(program, [pool, mint.address, wallet, source], data, "LiquidUnstake")
    _burn(scene, mint, source, raw)
    scene.draft.move(pool, wallet, lamports)
    scene.kind = "unstake"
    place = _STAKING[program]
    scene.post("burned", mint, -raw, place=place)
    scene.post("custody_in", SOL, lamports, place=place)
    return True


def _pool_mint(scene: Scene, mint: Mint) -> Mint:
    address = scene.world.addresses.of("lp", mint.address)
    held = scene.wallet.holdings.get(address)
    return held.mint if held else pool_share(address)


def _pool(scene: Scene, mint: Mint, raw: int = 0, lamports: int = 0) -> tuple[str, str, str]:
    """The pool and its two vaults, with at least so much in them."""
    pool = scene.someone(scene.world.addresses.of("pool", RAYDIUM_V4.name, mint.address))
    return pool, scene.their_tokens(pool, mint, raw), scene.their_tokens(pool, SOL, lamports)


def _mint_to(scene: Scene, mint: Mint, target: str, authority: str, raw: int) -> None:
    scene.draft.account(mint.address, MINT_LAMPORTS)
    accounts = [mint.address, target, authority]
    data = instruction_data.token_mint_to(raw)
    scene.draft.inner(mint.program, accounts, data, "MintTo")
    scene.draft.issue(target, raw)


def _burn(scene: Scene, mint: Mint, source: str, raw: int) -> None:
    scene.draft.account(mint.address, MINT_LAMPORTS)
    accounts = [source, mint.address, scene.wallet.address]
    data = instruction_data.token_burn(raw)
    scene.draft.inner(mint.program, accounts, data, "Burn")
    scene.draft.issue(source, -raw)
