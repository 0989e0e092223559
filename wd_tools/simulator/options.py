"""What a simulator can be told."""

from typing import Final

from msgspec import Struct

from wd_tools.simulator.commitments import FINALIZED_SECONDS
from wd_tools.simulator.faults import Fault
from wd_tools.simulator.limits import PlanName
from wd_tools.simulator.rpc import Refusal

SIZES: Final = (0, 1, 200, 5_000, 20_000)
END_TIME: Final = 1_788_220_800  # 2026-09-01 00:00 UTC


class SimulatorOptions(Struct, frozen=True, kw_only=True):
    """`sizes`: transactions of each wallet; `everything`: of those that do all there is about as
    often. `end_time`: unix seconds at which the histories end
    and the simulated clock begins to run. `live_rate`: transactions a second that wallets go on
    making. `latency` and `jitter`: seconds before an answer, and at most as many more.
    `confirmed_after`, `finalized_after`: seconds from a slot's beginning. `ws_idle_seconds`: a
    WebSocket that says nothing for so long is closed, at Helius after ten minutes. `webhook_pause`:
    seconds before a delivery is tried again."""

    seed: int = 7
    sizes: tuple[int, ...] = SIZES
    everything: tuple[int, ...] = ()
    end_time: int = END_TIME
    plan: PlanName = "none"
    no_gtfa: Refusal | None = None
    no_transaction_subscribe: Refusal | None = None
    api_key: str | None = None
    latency: float = 0.0
    jitter: float = 0.0
    live_rate: float = 0.0
    confirmed_after: float = 0.0
    finalized_after: float = FINALIZED_SECONDS
    ws_idle_seconds: float = 600.0
    webhook_pause: float = 1.0
    warm: bool = False
    faults: tuple[Fault, ...] = ()
