"""How often a wallet does what."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, Literal

from msgspec import Struct

from wd_tools.simulator import deposits, lending, orders, trades, transfers, unusual
from wd_tools.simulator.scene import LAMPORTS, Scene

Action = Callable[[Scene], bool]
Profile = Literal["trader", "everything"]


class _Mix(Struct, frozen=True):
    actions: Sequence[Action]
    weights: Sequence[float]


# Shares in percent or so, by eye on what active traders' histories look like.
_TRADES: Final[dict[Action, float]] = {
    trades.buy: 32,
    trades.sell: 29,
    trades.swap: 4,
    trades.buy_stable: 2,
    trades.with_stable: 5,
    trades.failed: 7,
}
_TRANSFERS: Final[dict[Action, float]] = {
    transfers.fund: 1.5,
    transfers.send_sol: 2,
    transfers.receive_token: 3,
    transfers.send_token: 1.5,
    transfers.send_to_friend: 0.3,
    transfers.receive_from_friend: 0.3,
    transfers.airdrop: 2,
    transfers.spam: 5,
    transfers.wrap: 0.7,
    transfers.unwrap: 0.3,
}
_CUSTODY: Final[dict[Action, float]] = {
    deposits.add_liquidity: 1.5,
    deposits.remove_liquidity: 1.5,
    deposits.stake: 1,
    deposits.unstake: 1,
    lending.lend: 0.4,
    lending.withdraw: 0.3,
    lending.stake_native: 0.15,
    lending.unstake_native: 0.15,
    orders.limit_place: 0.6,
    orders.limit_fill: 0.5,
    orders.limit_cancel: 0.2,
    orders.dca_open: 0.3,
    orders.dca_fill: 1,
    orders.dca_close: 0.15,
    orders.dca_collect: 0.15,
}
_UNUSUAL: Final[dict[Action, float]] = {
    unusual.sell_two: 0.3,
    unusual.buy_with_claim: 0.3,
    unusual.sell_with_claim: 0.3,
    unusual.claim: 0.3,
    unusual.rug: 0.5,
    unusual.burn: 0.4,
    unusual.round_trip: 0.4,
    unusual.buy_unlisted: 0.4,
    unusual.buy_through: 0.3,
    unusual.buy_batched: 0.4,
    unusual.sell_to_other: 0.2,
    unusual.excess: 0.2,
}
_SHARES: Final = _TRADES | _TRANSFERS | _CUSTODY | _UNUSUAL
# A wallet of everything does each of them about as often.
_EVEN: Final = {action: max(3.0, share / 4) for action, share in _SHARES.items()}
# In blocks that don't tell the owners of token accounts.
_OLD: Final[dict[Action, float]] = {
    unusual.buy_plainly: 40,
    unusual.sell_plainly: 30,
    unusual.burn: 5,
    transfers.fund: 5,
    transfers.send_sol: 5,
    transfers.send_token: 7,
    transfers.receive_token: 8,
}
ACTIONS: Final = {action.__name__: action for action in _SHARES}

# Below this a wallet can't trade and is funded first.
POOR: Final = LAMPORTS


def _mix(shares: dict[Action, float]) -> _Mix:
    return _Mix(tuple(shares), tuple(accumulate(shares.values())))


_MIXES: Final[dict[Profile, _Mix]] = {"trader": _mix(_SHARES), "everything": _mix(_EVEN)}
_OLD_MIX: Final = _mix(_OLD)


def act(scene: Scene, profile: Profile) -> None:
    """Let the wallet do one thing that it can."""
    if scene.wallet.lamports < POOR:
        transfers.fund(scene)
        return
    mix = _OLD_MIX if scene.old else _MIXES[profile]
    (action,) = scene.rng.choices(mix.actions, cum_weights=mix.weights)
    if action(scene):
        return
    buy = unusual.buy_plainly if scene.old else trades.buy
    if not buy(scene):
        transfers.fund(scene)
