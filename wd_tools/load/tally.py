"""What one process counted, in a shape that processes can add up."""

from msgspec import Struct, field

from wd_tools.load.continuity import Breach
from wd_tools.load.distribution import Distribution
from wd_tools.load.frames import Block

# Breaches that are shown with their ids: enough to look for the cause.
EXAMPLES = 20


class Span(Struct):
    """How many of something there were, and when the first and the last: unix milliseconds."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0

    def add(self, now: float, times: int = 1) -> None:
        if not self.count:
            self.first = now
        self.count += times
        self.last = now

    def merge(self, other: "Span") -> None:
        if self.count and other.count:
            self.first = min(self.first, other.first)
            self.last = max(self.last, other.last)
        elif other.count:
            self.first, self.last = other.first, other.last
        self.count += other.count

    @property
    def seconds(self) -> float:
        return (self.last - self.first) / 1000

    @property
    def per_second(self) -> float | None:
        """None when there is no time between the first and the last."""
        return self.count / self.seconds if self.last > self.first else None


class Example(Struct):
    """A breach: of which wallet, after which position, and the id that came."""

    kind: str
    wallet: str
    entries: int
    after: str
    got: str


class Tally(Struct):
    """Times are distributions in milliseconds. `opened`: streams that were answered with one, each
    counted once. `live`: trades stored after the stream's first event. `early`: those that say
    they were stored later than they arrived, so that the clocks don't agree. `absent`: streams that
    were on their way back when the test ended. `positions`: how many of the others ended where, by
    wallet and place, without slow readers. `verified`: `complete`s whose digest was the one of what
    had come. `given_up`: streams that ended for good before they had all they were to have."""

    opened: Span = field(default_factory=Span)
    events: Span = field(default_factory=Span)
    live: Span = field(default_factory=Span)
    trades: int = 0
    bytes: int = 0
    resumes: int = 0
    lost: int = 0
    duplicates: int = 0
    resets: int = 0
    malformed_ids: int = 0
    mismatches: int = 0
    verified: int = 0
    holes: int = 0
    early: int = 0
    absent: int = 0
    given_up: int = 0
    first_event: Distribution = field(default_factory=Distribution)
    resumed_event: Distribution = field(default_factory=Distribution)
    away: Distribution = field(default_factory=Distribution)
    delay: Distribution = field(default_factory=Distribution)
    gaps: dict[str, int] = field(default_factory=dict)
    closes: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    positions: dict[str, dict[str, int]] = field(default_factory=dict)

    def note_live(self, block: Block, since: float, now: float) -> None:
        """A block arrived at `now` on a stream that was there `since`: unix milliseconds."""
        for emitted, times in block.emitted:
            if emitted >= since:
                self.live.add(now, times)
                if emitted > now:
                    self.early += times
                self.delay.add(max(0.0, now - emitted), times)

    def note_breach(self, wallet: str, breach: Breach) -> None:
        if breach.kind == "lost":
            self.lost += breach.entries
        elif breach.kind == "duplicate":
            self.duplicates += breach.entries
        elif breach.kind == "reset":
            self.resets += breach.entries
        elif breach.kind == "mismatch":
            self.mismatches += breach.entries
        else:
            self.malformed_ids += breach.entries
        if len(self.examples) < EXAMPLES:
            kind, entries, after, got = breach
            self.examples.append(Example(kind, wallet, entries, after, got))

    def note_position(self, wallet: str, place: str) -> None:
        bump(self.positions.setdefault(wallet, {}), place)

    def merge(self, other: "Tally") -> None:
        for spans, more in zip(
            (self.opened, self.events, self.live),
            (other.opened, other.events, other.live),
            strict=True,
        ):
            spans.merge(more)
        for name in ("first_event", "resumed_event", "away", "delay"):
            getattr(self, name).merge(getattr(other, name))
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("gaps", "closes", "refusals"):
            _add_up(getattr(self, name), getattr(other, name))
        for wallet, positions in other.positions.items():
            _add_up(self.positions.setdefault(wallet, {}), positions)
        self.examples = (self.examples + other.examples)[:EXAMPLES]


_COUNTS = (
    "trades",
    "bytes",
    "resumes",
    "lost",
    "duplicates",
    "resets",
    "malformed_ids",
    "mismatches",
    "verified",
    "holes",
    "early",
    "absent",
    "given_up",
)


def bump(counts: dict[str, int], name: str, by: int = 1) -> None:
    counts[name] = counts.get(name, 0) + by


def _add_up(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        bump(counts, name, count)
