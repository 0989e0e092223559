"""What is lent or staked and comes back with more: Kamino's market, native stake accounts.

Each takes a scene that hasn't begun, and returns False, leaving it so, if the wallet can't.
"""

from typing import Final

from msgspec.structs import replace

from wd_tools.simulator import instruction_data
from wd_tools.simulator.exchange import known_holdings
from wd_tools.simulator.mints import SOL, Mint
from wd_tools.simulator.programs import KAMINO, STAKE, SYSTEM
from wd_tools.simulator.scene import LAMPORTS, Deposit, Leg, Place, Scene
from wd_tools.simulator.trades import RESERVE, spendable

MARKET: Final[Place] = "kamino"
OBLIGATION: Final[Place] = "obligation"
STAKES: Final[Place] = "stake"
# Instructions of Kamino, as Anchor derives them from their names.
_INIT_OBLIGATION: Final = "fb0ae74c1b0b9f60"
_DEPOSIT: Final = "81c70402de271a2e"
_WITHDRAW: Final = "4b5d5ddc2296dac4"
_OBLIGATION_BYTES: Final = 3_344
_STAKE_BYTES: Final = 200


def lend(scene: Scene) -> bool:
    """Into the market. The first time an obligation is opened, which nobody can close."""
    give = _given(scene)
    if give is None:
        return False
    wallet, draft = scene.wallet.address, scene.draft
    scene.start()
    source = scene.wrap(give.raw) if give.mint is SOL else scene.tokens(give.mint)
    obligation = scene.world.addresses.of("obligation", wallet)
    if not _touch_obligation(scene):
        data = instruction_data.swap(_INIT_OBLIGATION, 0, 0)
        draft.call(KAMINO, [wallet, obligation, SYSTEM], data, "InitObligation")
        rent = scene.open_account(obligation, _OBLIGATION_BYTES, KAMINO, "rent_paid")
        scene.give(Deposit(OBLIGATION, obligation, SOL, 0, rent))
    reserve, vault = _reserve(scene, give.mint, 0)
    data = instruction_data.swap(_DEPOSIT, give.raw, 0)
    draft.call(KAMINO, [wallet, obligation, reserve, vault, source], data, "Deposit")
    scene.send(source, vault, give.raw, wallet)
    if give.mint is SOL:
        scene.unwrap()
    scene.kind = "lend"
    scene.post("custody_out", give.mint, -give.raw, place=MARKET)
    scene.give(Deposit(MARKET, obligation, give.mint, give.raw))
    return True


def withdraw(scene: Scene) -> bool:
    """A loan back out of the market, half or all of it, with interest."""
    loans = scene.wallet.kept_by(MARKET)
    if not loans or scene.wallet.lamports < RESERVE:
        return False
    loan, wallet = scene.rng.choice(loans), scene.wallet.address
    whole = scene.rng.random() < 0.7
    raw = loan.raw + loan.raw * scene.rng.randint(1, 400) // 10_000 if whole else loan.raw // 2
    scene.start()
    target = scene.wrap(0) if loan.mint is SOL else scene.tokens(loan.mint)
    _touch_obligation(scene)
    reserve, vault = _reserve(scene, loan.mint, raw)
    data = instruction_data.swap(_WITHDRAW, raw, 0)
    accounts = [wallet, loan.account, reserve, vault, target]
    scene.draft.call(KAMINO, accounts, data, "Withdraw")
    scene.send(vault, target, raw, reserve)
    if loan.mint is SOL:
        scene.unwrap()
    scene.kind = "withdraw"
    scene.post("custody_in", loan.mint, raw, place=MARKET)
    scene.take(loan)
    if whole:
        scene.doubtful.add(loan.mint.address)
    else:
        scene.give(replace(loan, raw=loan.raw - raw))
    return True


def stake_native(scene: Scene) -> bool:
    """A stake account: what it has to hold for itself is kept there like the stake."""
    lamports = spendable(scene)
    if lamports is None or lamports < LAMPORTS // 10:
        return False
    wallet, account = scene.wallet.address, scene.stranger()
    scene.start()
    total = lamports + scene.rent(_STAKE_BYTES)
    scene.draft.account(account, 0)
    data = instruction_data.system_create_account(total, _STAKE_BYTES, STAKE)
    scene.draft.call(SYSTEM, [wallet, account], data)
    scene.draft.move(wallet, account, total)
    scene.draft.call(STAKE, [account], instruction_data.stake_initialize(wallet), "Initialize")
    validator = scene.world.addresses.of("validator")
    accounts = [account, validator, wallet]
    scene.draft.call(STAKE, accounts, instruction_data.STAKE_DELEGATE, "DelegateStake")
    scene.kind = "stake_native"
    scene.post("custody_out", SOL, -total, place=STAKES)
    scene.give(Deposit(STAKES, account, SOL, total))
    return True


def unstake_native(scene: Scene) -> bool:
    stakes = scene.wallet.kept_by(STAKES)
    if not stakes or scene.wallet.lamports < RESERVE:
        return False
    stake, wallet = scene.rng.choice(stakes), scene.wallet.address
    grown = stake.raw + stake.raw * scene.rng.randint(1, 300) // 10_000
    scene.start()
    scene.draft.account(stake.account, grown)
    data = instruction_data.stake_withdraw(grown)
    scene.draft.call(STAKE, [stake.account, wallet, wallet], data, "Withdraw")
    scene.draft.move(stake.account, wallet, grown)
    scene.kind = "unstake_native"
    scene.post("custody_in", SOL, grown, place=STAKES)
    scene.take(stake)
    return True


def _touch_obligation(scene: Scene) -> bool:
    """Name it as it is; False if there is none yet."""
    for one in scene.wallet.kept_by(OBLIGATION):
        scene.draft.account(one.account, one.rent)
        scene.take(one)
        scene.give(one)
        return True
    return False


def _given(scene: Scene) -> Leg | None:
    held = [one for one in known_holdings(scene) if one.amount > 1_000]
    if held and scene.rng.random() < 0.6 and scene.wallet.lamports >= RESERVE:
        holding = scene.rng.choice(held)
        return Leg(holding.mint, holding.amount * scene.rng.choice((100, 50)) // 100)
    lamports = spendable(scene)
    return None if lamports is None else Leg(SOL, lamports)


def _reserve(scene: Scene, mint: Mint, at_least: int) -> tuple[str, str]:
    """The market's reserve of a token, and its vault with at least so much in it."""
    reserve = scene.someone(scene.world.addresses.of("reserve", mint.address))
    return reserve, scene.their_tokens(reserve, mint, at_least)
