"""How the process is: section 6 of the public contract, answered from memory.

| what is so | status |
|---|---|
| it sends its streams away | `draining` |
| the journal, the keys or Redis can't be used, so that clients are refused | `unhealthy` |
| no usable Solana RPC | `degraded` |
| a background task failed lately, or something else can't be stored | `degraded` |

A store counts as failing from a write that failed until a probe of the disk shows that it is over
(`disk.py`): other writes, smaller ones, may succeed in between.

A delivery in quarantine is no reason to be degraded: everything works, nothing is gained by asking
another server, and it stays there until somebody looks at it. A metric and its alert say so.
"""

from dataclasses import dataclass
from time import monotonic
from typing import Literal

from msgspec import convert

from wd_server import __version__
from wd_server.access.authenticator import Authenticator
from wd_server.backend import Backend
from wd_server.chain.budget import Budget
from wd_server.chain.upstream import Upstream
from wd_server.disk import Disk
from wd_server.health_document import HealthDocument, Helius, Status
from wd_server.journal.base import Journal
from wd_server.streaming.registry import StreamRegistry
from wd_server.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Health:
    """`started`: monotonic seconds; `has_upstream`: a Solana RPC is configured; `simulated`: it is
    no real one; `disk` probes DATA_DIR."""

    started: float
    has_upstream: bool
    simulated: bool
    registry: StreamRegistry
    journal: Journal
    authenticator: Authenticator
    upstream: Upstream
    budget: Budget
    backend: Backend
    disk: Disk
    tasks: Tasks

    def document(self, now: int) -> HealthDocument:
        streams = self.registry.counts
        document = {
            "status": self.status(),
            "version": __version__,
            "timestamp": now,
            "uptime": round(monotonic() - self.started, 1),
            "streaming": {
                "active_streams": streams.active,
                "total_streams": streams.total,
                "error_rate": streams.error_rate,
            },
            "dependencies": {"helius": self._helius(), "redis": self._redis()},
            "stores": {"failing": self.failing_stores()},
            "tasks": {"failing": list(self.tasks.statistics().failing)},
            **self.backend.health().details,
        }
        return convert(document, HealthDocument)

    def status(self) -> Status:
        if self.registry.draining:
            return "draining"
        backend, failing = self.backend.health(), set(self.failing_stores())
        stale = self.authenticator.statistics().stale
        if failing & backend.needed or stale or not backend.answers:
            return "unhealthy"
        usable = self._helius() in ("configured", "simulated")
        well = usable and not failing and not self._tasks_fail() and not backend.may_evict
        return "healthy" if well else "degraded"

    def stores(self) -> dict[str, bool]:
        """Whether each is failing."""
        proved_at = self.disk.proved_at
        return {
            "journal": self.journal.statistics().failing,
            "keys": self.authenticator.statistics().failing,
            "credits": self.budget.failing,
            "deliveries": self.upstream.deliveries.failed_at > proved_at,
            "followed_wallets": self.upstream.followed_wallets.failed_at > proved_at,
            "disk": self.disk.failing,
        }

    def failing_stores(self) -> list[str]:
        return [name for name, failing in self.stores().items() if failing]

    def _tasks_fail(self) -> bool:
        return bool(self.tasks.statistics().failing)

    def _helius(self) -> Helius:
        if not self.has_upstream:
            return "missing"
        rpc = self.upstream.rpc.statistics()
        if rpc.quota_exhausted or rpc.failing:
            return "unavailable"
        return "simulated" if self.simulated else "configured"

    def _redis(self) -> Literal["configured", "embedded", "unavailable"]:
        word = self.backend.health().redis
        if word == "configured" and self.authenticator.statistics().stale:
            return "unavailable"
        return word
