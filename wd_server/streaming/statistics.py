"""What the streams of this process have done; metrics read it at scrape."""

from collections import Counter
from dataclasses import dataclass, field

from wd_server.histogram import Histogram


@dataclass
class StreamStatistics:
    """Totals since the start; `active` and `channels` are now. `demotions`: times a client that
    was live fell behind; `replayed`: events read from the journal for those behind."""

    active: int = 0
    channels: int = 0
    total: int = 0
    errored: int = 0
    events: int = 0
    trades: int = 0
    bytes: int = 0
    demotions: int = 0
    replayed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    resumes: Counter[str] = field(default_factory=Counter)
    duration_seconds: Histogram = field(
        default_factory=lambda: Histogram((0.1, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400))
    )
    first_event_seconds: Histogram = field(
        default_factory=lambda: Histogram((0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5))
    )
    publish_seconds: Histogram = field(
        default_factory=lambda: Histogram((0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1))
    )

    @property
    def error_rate(self) -> float:
        """Percentage of streams that met an error."""
        return round(100 * self.errored / self.total, 2) if self.total else 0.0
