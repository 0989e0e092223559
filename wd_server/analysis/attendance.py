"""Who is there for one wallet, and what is kept of the wallet between two passes."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from wd_server.analysis import run as running
from wd_server.analysis.run import Known, Run
from wd_server.errors import WalletDoctorError
from wd_server.journal.base import Lease


class Audience(running.Audience, Protocol):
    def on_unsettled(self) -> None: ...
    def on_settled(self) -> None: ...
    def on_failed(self, error: WalletDoctorError, followers_too: bool) -> None: ...


@dataclass(slots=True)
class Attendance:
    """A wallet that nobody reads at the moment costs these fields and no task.

    `news`: somebody wants the newest. `settled`: the audience knows that nothing is newer.
    `task` works for them, `run` is its pass under way. `lease` is kept between two passes, and so
    is `known`, which the next one goes on from. `due`: which of the poll's calls is meant.
    """

    wallet: str
    audience: Audience
    followers: int = 0
    others: int = 0
    news: bool = False
    settled: bool = False
    task: asyncio.Task[None] | None = None
    run: Run | None = None
    linger: asyncio.TimerHandle | None = None
    lease: Lease | None = None
    known: Known | None = None
    failures: int = 0
    due: float | None = None

    @property
    def deserted(self) -> bool:
        return not (self.followers or self.others)

    def cancel_linger(self) -> None:
        if self.linger is not None:
            self.linger.cancel()
            self.linger = None
