"""What a journal has done; metrics read it at scrape."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wd_server.histogram import Histogram

# An append waits for a commit, a read for at most one page: both are done in a few milliseconds
# unless the disk or the processor is busy.
LATENCY_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


@dataclass
class JournalStatistics:
    """Totals since the start; `queued`, `file_bytes` and `leases` held are now. `bytes` is payload
    stored, `failures` counts what ended with StoreUnavailable, `damaged` the epochs that were given
    up because what was read wasn't what was stored. `failing`: a write failed, and no probe has
    succeeded since."""

    appends: int = 0
    entries: int = 0
    bytes: int = 0
    reads: int = 0
    failures: int = 0
    damaged: int = 0
    failing: bool = False
    queued: int = 0
    file_bytes: int = 0
    leases: int = 0
    leases_lost: int = 0
    append_seconds: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS))
    read_seconds: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS))

    def stored(self, sizes: Sequence[int], seconds: float) -> None:
        """One append of entries of so many bytes each."""
        self.appends += 1
        self.entries += len(sizes)
        self.bytes += sum(sizes)
        self.append_seconds.observe(seconds)
