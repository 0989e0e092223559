"""How often a trader's wallet does what."""

from collections.abc import Callable
from itertools import accumulate
from typing import Final

from wd_tools.simulator import deposits, trades, transfers
from wd_tools.simulator.scene import LAMPORTS, Scene

Action = Callable[[Scene], bool]

# Shares in percent, by eye on what active traders' histories look like.
_SHARES: Final[tuple[tuple[Action, float], ...]] = (
    (trades.buy, 32),
    (trades.sell, 29),
    (trades.swap, 4),
    (trades.buy_stable, 2),
    (trades.with_stable, 5),
    (trades.failed, 7),
    (transfers.fund, 1.5),
    (transfers.send_sol, 2),
    (transfers.receive_token, 3),
    (transfers.send_token, 1.5),
    (transfers.airdrop, 2),
    (transfers.spam, 5),
    (transfers.wrap, 0.7),
    (transfers.unwrap, 0.3),
    (deposits.add_liquidity, 1.5),
    (deposits.remove_liquidity, 1.5),
    (deposits.stake, 1),
    (deposits.unstake, 1),
)
_ACTIONS: Final = [action for action, _ in _SHARES]
_WEIGHTS: Final = list(accumulate(share for _, share in _SHARES))

# Below this a wallet can't trade and is funded first.
POOR: Final = LAMPORTS


def act(scene: Scene) -> None:
    """Let the wallet do one thing that it can."""
    if scene.wallet.lamports < POOR:
        transfers.fund(scene)
        return
    (action,) = scene.rng.choices(_ACTIONS, cum_weights=_WEIGHTS)
    if not action(scene) and not trades.buy(scene):
        transfers.fund(scene)
