"""What a load test found, in the shape that `--json` prints and docs/load.md describes."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from wd_tools.load.distribution import Distribution
from wd_tools.load.fleet import Outcome
from wd_tools.load.job import Result
from wd_tools.load.tally import Example, Tally

# Rises when a field changes its meaning or goes; new ones may come at any time.
VERSION = 1
# A process that takes this share of a processor measures itself.
SATURATED = 0.9


class LoadParameters(Struct, frozen=True):
    """What was asked for. Rates are a second, `slow` and `churn` percentages, `hold` seconds."""

    url: str
    streams: int
    processes: int
    wallets: int
    spread: str
    follow: bool
    batch: int
    keys: int
    ramp: float
    hold: float
    slow: float
    churn: float
    seed: int


class Times(Struct, frozen=True):
    """Milliseconds; None without a single one."""

    count: int
    p50: float | None
    p99: float | None
    p999: float | None
    max: float | None


class Opening(Struct, frozen=True):
    """`seconds`, `per_second`: from the first stream's answer to the last one's. `all_open_after`:
    seconds from the start; None when they never were all open."""

    opened: int
    seconds: float
    per_second: float | None
    all_open_after: float | None
    first_event_ms: Times


class Events(Struct, frozen=True):
    count: int
    trades: int
    bytes: int
    seconds: float
    per_second: float | None


class Live(Struct, frozen=True):
    """Trades stored after the stream that got them was there. `early`: those that arrived before
    they were stored, as far as the clocks agree."""

    trades: int
    seconds: float
    per_second: float | None
    early: int
    delay_ms: Times


class Resumes(Struct, frozen=True):
    """`away_ms`: from the end of a connection to the first event of the next. `absent`: streams on
    their way back at the end. `given_up`: those that won't come back, though they had not had all
    they were to have."""

    count: int
    absent: int
    given_up: int
    first_event_ms: Times
    away_ms: Times


class Behind(Struct, frozen=True):
    """Streams open at the end that had less than the furthest of the same wallet, and by how many
    events together."""

    streams: int
    events: int


class Ids(Struct, frozen=True):
    lost: int
    duplicates: int
    resets: int
    malformed: int
    mismatches: int
    verified: int
    unjudged: int
    gaps: Mapping[str, int]
    behind: Behind
    examples: Sequence[Example]


class Cost(Struct, frozen=True):
    """Of the load test itself. `busiest`: the largest share of a processor that one of its
    processes took over half a second; `saturated`: so large that the figures may be its own."""

    cpu_user: float
    cpu_system: float
    memory: int
    busiest: float
    saturated: bool


class Report(Struct, frozen=True):
    version: int
    asked: LoadParameters
    seconds: float
    opening: Opening
    events: Events
    live: Live
    resumes: Resumes
    ids: Ids
    closes: Mapping[str, int]
    refusals: Mapping[str, int]
    client: Cost

    @property
    def is_whole(self) -> bool:
        """Every event came once and as the server stored it."""
        ids = self.ids
        return not (ids.lost or ids.duplicates or ids.resets or ids.malformed or ids.mismatches)

    @property
    def is_complete(self) -> bool:
        """Every stream was opened, and went on unless it was dropped on purpose."""
        missing = self.resumes.given_up or (self.resumes.absent and not self.asked.churn)
        return self.opening.opened == self.asked.streams and not missing


def report(asked: LoadParameters, outcome: Outcome) -> Report:
    tally = Tally()
    for result in outcome.results:
        tally.merge(result.tally)
    events, live = tally.events, tally.live
    return Report(
        version=VERSION,
        asked=asked,
        seconds=_round(outcome.seconds),
        opening=_opening(tally, outcome.open_after),
        events=Events(
            events.count,
            tally.trades,
            tally.bytes,
            _round(events.seconds),
            _rounded(events.per_second),
        ),
        live=Live(
            live.count,
            _round(live.seconds),
            _rounded(live.per_second),
            tally.early,
            times(tally.delay),
        ),
        resumes=Resumes(
            tally.resumes,
            tally.absent,
            tally.given_up,
            times(tally.resumed_event),
            times(tally.away),
        ),
        ids=_ids(tally),
        closes=dict(sorted(tally.closes.items())),
        refusals=dict(sorted(tally.refusals.items())),
        client=_cost(outcome.results),
    )


def times(distribution: Distribution) -> Times:
    count = distribution.count
    return Times(
        count,
        _rounded(distribution.percentile(50)),
        _rounded(distribution.percentile(99)),
        _rounded(distribution.percentile(99.9)),
        _rounded(distribution.largest) if count else None,
    )


def _opening(tally: Tally, open_after: float | None) -> Opening:
    opened = tally.opened
    return Opening(
        opened.count,
        _round(opened.seconds),
        _rounded(opened.per_second),
        _rounded(open_after),
        times(tally.first_event),
    )


def _cost(results: Sequence[Result]) -> Cost:
    busiest = max((result.busiest for result in results), default=0.0)
    return Cost(
        _round(sum(result.user for result in results)),
        _round(sum(result.system for result in results)),
        sum(result.memory for result in results),
        _round(busiest),
        busiest >= SATURATED,
    )


def _ids(tally: Tally) -> Ids:
    return Ids(
        lost=tally.lost,
        duplicates=tally.duplicates,
        resets=tally.resets,
        malformed=tally.malformed_ids,
        mismatches=tally.mismatches,
        verified=tally.verified,
        unjudged=tally.holes,
        gaps=dict(sorted(tally.gaps.items())),
        behind=behind(tally.positions),
        examples=tally.examples,
    )


def behind(positions: Mapping[str, Mapping[str, int]]) -> Behind:
    """`positions`: how many streams are where, by wallet and place. An older epoch can't be counted
    from, so who is still in one is behind by one."""
    streams = events = 0
    for of_wallet in positions.values():
        parsed = [(_position(text), times) for text, times in of_wallet.items()]
        epoch, seq = max(position for position, _ in parsed)
        for position, times in parsed:
            if position < (epoch, seq):
                streams += times
                events += times * (seq - position[1] if position[0] in (epoch, 0) else 1)
    return Behind(streams, events)


def _position(place: str) -> tuple[int, int]:
    """0, 0 before the first event."""
    epoch, _, seq = place.partition("-")
    return int(epoch or 0), int(seq or 0)


def _round(number: float) -> float:
    return round(number, 3)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
