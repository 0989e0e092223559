"""Who is there for one wallet, and what is kept of the wallet between two passes."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

from wd_server.chain.payloads import PushedTransaction
from wd_server.chain.turns import TENANTS_MAX, Tenant, Turn
from wd_server.journal.base import Lease
from wd_server.sync.relay import Relay
from wd_server.sync.sync_pass import Known, SyncPass


@dataclass(slots=True)
class WalletSession:
    """A wallet that nobody reads at the moment costs these fields and no task.

    `relay` tells who is there, on all nodes. `news`: somebody wants the newest; `wanted`: somebody
    on another node, until a `complete` is there, and `guests` are who. `turn`: whose it is at the
    upstream. `settled`: the observer knows that nothing is newer. `task` works for them,
    `sync_pass` is its pass under way. `lease` is kept between two passes, and so is `known`, which
    the next one goes on from. `failures`: passes in a row that failed; `interrupted`: tries in a
    row that lost the lease or the store. `epoch`: the journal's after the last pass, `anew`: passes
    in a row that began another. `due`: which of the poll's calls is meant.
    """

    wallet: str
    relay: Relay
    turn: Turn = field(default_factory=Turn)
    followers: int = 0
    others: int = 0
    news: bool = False
    wanted: bool = False
    guests: set[Tenant] = field(default_factory=set)
    settled: bool = False
    task: asyncio.Task[None] | None = None
    sync_pass: SyncPass | None = None
    linger: asyncio.TimerHandle | None = None
    lease: Lease | None = None
    known: Known | None = None
    failures: int = 0
    interrupted: int = 0
    epoch: int = 0
    anew: int = 0
    due: float | None = None
    pushed: list[PushedTransaction] = field(default_factory=list)
    unsettled_since: float | None = None

    @property
    def deserted(self) -> bool:
        return not (self.followers or self.others)

    @property
    def is_read(self) -> bool:
        """It was read to its end, as far as this node knows."""
        return self.known is not None or self.settled

    @property
    def rests(self) -> bool:
        """It was read to its end and nothing is on its way: a look could only find news."""
        return self.known is not None and self.known.book is None and not self.pushed

    def come(self, tenant: Tenant, follow: bool) -> None:
        self.turn.join(tenant)
        self.followers += follow
        self.others += not follow

    def leave(self, tenant: Tenant, follow: bool) -> None:
        self.turn.leave(tenant)
        self.followers -= follow
        self.others -= not follow

    def invite(self, tenants: Iterable[Tenant]) -> None:
        """These want it on another node."""
        self.wanted = True
        for tenant in set(tenants) - self.guests:
            if len(self.guests) < TENANTS_MAX:
                self.guests.add(tenant)
                self.turn.join(tenant)

    def dismiss(self) -> None:
        """What they wanted is there, or can't be had."""
        self.wanted = False
        for tenant in self.guests:
            self.turn.leave(tenant)
        self.guests.clear()

    def keep(self, sync_pass: SyncPass) -> None:
        """What the next one goes on from."""
        self.known = known = sync_pass.known
        if known is None or known.book is None:
            self.unsettled_since = None
        elif self.unsettled_since is None:
            self.unsettled_since = monotonic()

    def cancel_linger(self) -> None:
        if self.linger is not None:
            self.linger.cancel()
            self.linger = None
