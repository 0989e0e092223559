"""Things that move without a trade: SOL and tokens in and out, airdrops, spam, wrapping.

Each takes a scene that hasn't begun, and returns False, leaving it so, if the wallet can't.
"""

from typing import Final

from wd_tools.simulator import base58, instruction_data
from wd_tools.simulator.exchange import known_holdings, worth
from wd_tools.simulator.mints import SOL, USDC, Mint
from wd_tools.simulator.programs import MEMO, MERKLE_DISTRIBUTOR
from wd_tools.simulator.scene import LAMPORTS, Deposit, Place, Scene
from wd_tools.simulator.trades import RESERVE
from wd_tools.simulator.truth import Kind

FRIEND: Final[Place] = "friend"


def fund(scene: Scene) -> bool:
    """SOL from somebody, enough to trade with."""
    return _receive(scene, "transfer_in", scene.rng.randint(3 * LAMPORTS, 40 * LAMPORTS))


def dust(scene: Scene) -> bool:
    """A few lamports and a memo: spam."""
    return _receive(scene, "spam", scene.rng.randint(1, 5_000), memo=True)


def _receive(scene: Scene, kind: Kind, lamports: int, *, memo: bool = False) -> bool:
    sender = scene.stranger()
    scene.start(sender, signs=False)
    scene.pay(sender, scene.wallet.address, lamports)
    if memo:
        text = b"Claim your reward at the site in our name"
        scene.draft.call(MEMO, [sender], base58.encode(text))
    scene.kind = kind
    scene.post("received", SOL, lamports, counterparty=sender)
    return True


def send_sol(scene: Scene) -> bool:
    spare = scene.wallet.lamports - RESERVE
    if spare < LAMPORTS:
        return False
    scene.start()
    lamports = spare * scene.rng.randint(5, 50) // 100
    target = scene.someone(scene.stranger())
    scene.pay(scene.wallet.address, target, lamports)
    scene.kind = "transfer_out"
    scene.post("sent", SOL, -lamports, counterparty=target)
    return True


def send_token(scene: Scene) -> bool:
    held = [one for one in scene.wallet.holdings.values() if one.amount and one.mint is not SOL]
    if not held or scene.wallet.lamports < RESERVE:
        return False
    holding = scene.rng.choice(held)
    amount = max(1, holding.amount * scene.rng.choice((100, 50, 20)) // 100)
    scene.start()
    owner = scene.stranger()
    if scene.rng.random() < 0.5:
        target = scene.open_theirs(owner, holding.mint)
    else:
        target = scene.their_tokens(owner, holding.mint)
    scene.send(scene.tokens(holding.mint), target, amount, scene.wallet.address, None)
    scene.kind = "transfer_out"
    scene.post("sent", holding.mint, -amount, counterparty=owner)
    return True


def send_to_friend(scene: Scene) -> bool:
    """Tokens to somebody who sends them back one day, as one's other wallet does."""
    held = known_holdings(scene)
    if not held or scene.wallet.lamports < RESERVE:
        return False
    holding = scene.rng.choice(held)
    amount = max(1, holding.amount * scene.rng.choice((100, 50)) // 100)
    scene.start()
    friend = scene.world.addresses.of("second wallet", scene.wallet.address)
    target = scene.their_tokens(friend, holding.mint)
    scene.send(scene.tokens(holding.mint), target, amount, scene.wallet.address, None)
    scene.kind = "transfer_out"
    scene.post("sent", holding.mint, -amount, counterparty=friend)
    scene.give(Deposit(FRIEND, friend, holding.mint, amount))
    return True


def receive_from_friend(scene: Scene) -> bool:
    lent = scene.wallet.kept_by(FRIEND)
    if not lent:
        return False
    back = scene.rng.choice(lent)
    friend, mint = back.account, back.mint
    scene.start(friend, signs=False, wallet=mint.address not in scene.wallet.holdings)
    account = scene.tokens(mint, funder=friend)
    source = scene.their_tokens(friend, mint, back.raw)
    scene.send(source, account, back.raw, friend, None)
    scene.kind = "transfer_in"
    scene.post("received", mint, back.raw, counterparty=friend)
    scene.take(back)
    return True


def receive_token(scene: Scene) -> bool:
    """Where the wallet has an account of the token already, it isn't named itself."""
    mints = scene.world.mints
    others = mints.majors if scene.old else mints.majors + mints.taxed
    mint = USDC if scene.rng.random() < 0.4 else scene.rng.choice(others)
    _deliver(scene, "transfer_in", mint, worth(scene, scene.rng.randint(1, 4) * LAMPORTS, mint))
    return True


def airdrop(scene: Scene) -> bool:
    """Tokens that somebody hands out, or that the wallet claims for the fee and the rent."""
    mint = scene.rng.choice(scene.world.mints.majors)
    amount = worth(scene, scene.rng.randint(LAMPORTS // 50, LAMPORTS), mint)
    if scene.rng.random() < 0.5 or scene.wallet.lamports < RESERVE:
        _deliver(scene, "airdrop", mint, amount)
        return True
    scene.start()
    account = scene.tokens(mint)
    pool = scene.someone(scene.world.addresses.of("distributor", mint.address))
    vault = scene.their_tokens(pool, mint, amount)
    data = instruction_data.swap("4eb16221aaf6b108", amount, 0)
    accounts = [pool, vault, account, scene.wallet.address]
    scene.draft.call(MERKLE_DISTRIBUTOR, accounts, data, "NewClaim")
    scene.post("reward", mint, scene.send(vault, account, amount, pool), counterparty=pool)
    scene.kind = "airdrop"
    return True


def spam(scene: Scene) -> bool:
    if scene.rng.random() < 0.4:
        return dust(scene)
    mint = scene.rng.choice(scene.world.mints.spam)
    _deliver(scene, "spam", mint, scene.rng.randint(1, 5_000) * 10**mint.decimals)
    return True


def _deliver(scene: Scene, kind: Kind, mint: Mint, amount: int) -> None:
    """Somebody sends a token, and opens and pays for the wallet's account if there is none."""
    sender = scene.stranger()
    known = mint.address in scene.wallet.holdings
    scene.start(sender, signs=False, wallet=not known)
    account = scene.tokens(mint, funder=sender)
    source = scene.their_tokens(sender, mint, amount)
    arrived = scene.send(source, account, amount, sender, None)
    scene.post("received", mint, arrived, counterparty=sender)
    scene.kind = kind


def wrap(scene: Scene) -> bool:
    """Open a wrapped SOL account that stays."""
    spare = scene.wallet.lamports - RESERVE
    if SOL.address in scene.wallet.holdings or spare < LAMPORTS:
        return False
    scene.start()
    scene.wrap(scene.rng.randint(spare // 20, spare // 3))
    scene.kind = "wrap"
    return True


def unwrap(scene: Scene) -> bool:
    if SOL.address not in scene.wallet.holdings or scene.wallet.lamports < RESERVE:
        return False
    scene.start()
    scene.tokens(SOL)
    scene.close(SOL)
    scene.kind = "unwrap"
    return True
