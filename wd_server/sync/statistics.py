"""What the sync of wallets counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

import structlog

from wd_server.errors import WalletDoctorError
from wd_server.histogram import Histogram
from wd_server.journal.base import Head
from wd_server.sync.checkpoint import Unexplained
from wd_server.sync.sync_pass import SyncPass

# First passes by the most transactions they read, and the upper ends of their buckets in seconds.
PASS_SIZES = {"100": 100.0, "1000": 1_000.0, "10000": 10_000.0, "more": inf}
# Reasons why something is unexplained that are counted one by one, several times as many as there
# are; more would be a bug, and each is a label that Prometheus keeps.
REASONS_MAX = 32
OTHER_REASON = "other"
PASS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_log = structlog.get_logger("sync")


@dataclass
class SyncStatistics:
    """`running` is now, the rest since the start. `pushed`: transactions that were taken without a
    pass; `outcomes`: passes by what they ended with; `first_pass_seconds`: whole first passes by
    the size of the wallet, in transactions; `unexplained`: transactions with postings that nothing
    explains, and `unexplained_lamports` the SOL in them, by reason."""

    running: int = 0
    pushed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    first_pass_seconds: dict[str, Histogram] = field(
        default_factory=lambda: {size: Histogram(PASS_BUCKETS) for size in PASS_SIZES}
    )

    unexplained: Counter[str] = field(default_factory=Counter)
    unexplained_lamports: Counter[str] = field(default_factory=Counter)

    def left_unexplained(self, found: Mapping[str, Unexplained]) -> None:
        for name, each in found.items():
            known = name in self.unexplained or len(self.unexplained) < REASONS_MAX
            reason = name if known else OTHER_REASON
            self.unexplained[reason] += each.transactions
            self.unexplained_lamports[reason] += each.lamports

    def failed(self, wallet: str, error: WalletDoctorError) -> None:
        self.outcomes[error.code] += 1
        _log.warning("analysis failed", wallet=wallet, code=error.code, error=str(error))

    def passed(self, wallet: str, sync_pass: SyncPass, head: Head, seconds: float) -> None:
        self.outcomes["complete"] += 1
        if sync_pass.transactions:
            _log.info(
                "wallet read",
                wallet=wallet,
                transactions=sync_pass.transactions,
                position=f"{head.epoch}-{head.seq}",
                seconds=round(seconds, 3),
            )
        if sync_pass.first:
            size = next(size for size, most in PASS_SIZES.items() if sync_pass.transactions <= most)
            self.first_pass_seconds[size].observe(seconds)
