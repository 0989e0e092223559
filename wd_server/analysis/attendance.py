"""Who is there for one wallet, and what is kept of the wallet between two passes."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from wd_server.analysis.relay import Relay
from wd_server.analysis.run import Known, Run
from wd_server.chain.payloads import AnyTransaction
from wd_server.journal.base import Lease


@dataclass(slots=True)
class Attendance:
    """A wallet that nobody reads at the moment costs these fields and no task.

    `relay` tells who is there, on all nodes. `news`: somebody wants the newest; `wanted`: somebody
    on another node, until a `complete` is there. `settled`: the audience knows that nothing is
    newer. `task` works for them, `run` is its pass under way. `lease` is kept between two passes,
    and so is `known`, which the next one goes on from. `failures`: passes in a row that failed;
    `interrupted`: tries in a row that lost the lease or the store. `due`: which of the poll's calls
    is meant.
    """

    wallet: str
    relay: Relay
    followers: int = 0
    others: int = 0
    news: bool = False
    wanted: bool = False
    settled: bool = False
    task: asyncio.Task[None] | None = None
    run: Run | None = None
    linger: asyncio.TimerHandle | None = None
    lease: Lease | None = None
    known: Known | None = None
    failures: int = 0
    interrupted: int = 0
    due: float | None = None
    pushed: list[AnyTransaction] = field(default_factory=list)
    unsettled_since: float | None = None

    @property
    def deserted(self) -> bool:
        return not (self.followers or self.others)

    def keep(self, run: Run) -> None:
        """What the next one goes on from."""
        self.known = known = run.known
        if known is None or known.book is None:
            self.unsettled_since = None
        elif self.unsettled_since is None:
            self.unsettled_since = monotonic()

    def cancel_linger(self) -> None:
        if self.linger is not None:
            self.linger.cancel()
            self.linger = None
