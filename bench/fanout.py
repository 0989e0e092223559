"""One wallet's events to 5,000 followers, as many as the server can: what a delivered event costs.

All contenders are up at the same time, each with followers of its own, and take turns, so that
what the machine does besides meets all of them alike. Ratios are taken within a turn; the figure is
the median over the turns.
"""

from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import NamedTuple

from bench import contenders
from bench.contenders import ALL, FLOOR, NCHAN, STARLETTE, WD, Contender, Kind
from bench.machine import Cpu
from bench.readers import Readers
from bench.row import Row, at_least, at_most

FOLLOWERS = 5_000
TURNS = 7
# Seconds of saturation a turn: 200 ticks of the 10 ms in which the kernel counts processor time.
SECONDS = 2.0
WARM_UP_SECONDS = 0.5
# A burst: what one tick may bring for a busy wallet.
BURST = 50

PER_EVENT_TO_FLOOR = 1.25
RATE_TO_NCHAN = 1.4
RATE_TO_STARLETTE = 5
BURST_RATE = 5


class Turn(NamedTuple):
    """Events delivered to clients, in so many seconds by the clock, for so much processor time
    of the server."""

    events: int
    seconds: float
    cpu: Cpu

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def per_event(self) -> float:
        """Microseconds of processor time."""
        return self.cpu.total / self.events * 1e6

    @property
    def user_share(self) -> float:
        return self.cpu.user / self.cpu.total


Turns = dict[str, list[Turn]]


def measure() -> list[Row]:
    with ExitStack() as stack:
        present = [kind for kind in ALL if not kind.missing()]
        up = [_start(stack, kind) for kind in present]
        for server, readers in up:
            _turn(server, readers, WARM_UP_SECONDS)
        one: Turns = {kind.name: [] for kind in present}
        bursts: Turns = {WD.name: [], FLOOR.name: []}
        for _ in range(TURNS):
            for server, readers in up:
                one[server.name].append(_turn(server, readers, SECONDS))
                if server.name in bursts:
                    bursts[server.name].append(_turn(server, readers, SECONDS, BURST))
    return [*rows(one, bursts), *contenders.absent(f"fan-out to {FOLLOWERS:,} followers")]


def _start(stack: ExitStack, kind: Kind) -> tuple[Contender, Readers]:
    server = stack.enter_context(kind.start())
    readers = stack.enter_context(Readers())
    readers.open(server.port, FOLLOWERS, [server.path], server.headers)
    return server, readers


def _turn(server: Contender, readers: Readers, seconds: float, burst: int = 1) -> Turn:
    before, started = server.cpu(), perf_counter()
    events = server.publish(seconds, burst) * readers.open_streams
    readers.receive(events)
    return Turn(events, perf_counter() - started, server.cpu().since(before))


def rows(one: Turns, bursts: Turns) -> list[Row]:
    """From what was measured to what is said of it."""
    what = f"fan-out to {FOLLOWERS:,} followers"
    ours = one[WD.name]
    to_floor = _ratio(ours, one[FLOOR.name], lambda turn: turn.per_event)
    found = [
        at_most(
            f"{what}, CPU per delivered event",
            to_floor,
            PER_EVENT_TO_FLOOR,
            f"{_cost(ours)}: {to_floor:.2f} x floor",
            " x floor",
        )
    ]
    for rival, least in ((NCHAN, RATE_TO_NCHAN), (STARLETTE, RATE_TO_STARLETTE)):
        if rival.name in one:
            ratio = _ratio(ours, one[rival.name], lambda turn: turn.rate)
            figure = f"{_rate(ours)}: {ratio:.2f} x {rival.name}"
            unit = f" x {rival.name}"
            found.append(at_least(f"{what}, against {rival.name}", ratio, least, figure, unit))
    ratio = _ratio(bursts[WD.name], ours, lambda turn: turn.rate)
    found.append(
        at_least(
            f"the same in bursts of {BURST}",
            ratio,
            BURST_RATE,
            f"{_rate(bursts[WD.name])}, {_cost(bursts[WD.name])}: {ratio:.1f} x one at a time",
            " x one at a time",
        )
    )
    others = {name: turns for name, turns in one.items() if name != WD.name}
    for name, turns in others.items():
        found.append(Row(f"{what}: {name}", f"{_rate(turns)}, {_cost(turns)}"))
    burst = bursts[FLOOR.name]
    found.append(Row(f"the same in bursts of {BURST}: floor", f"{_rate(burst)}, {_cost(burst)}"))
    return found


def _ratio(ours: list[Turn], theirs: list[Turn], figure: Callable[[Turn], float]) -> float:
    pairs = zip(ours, theirs, strict=True)
    return median(figure(mine) / figure(other) for mine, other in pairs)


def _rate(turns: list[Turn]) -> str:
    return f"{median(turn.rate for turn in turns):,.0f} events/s"


def _cost(turns: list[Turn]) -> str:
    cost = median(turn.per_event for turn in turns)
    user = cost * median(turn.user_share for turn in turns)
    return f"{cost:.2f} µs ({user:.2f} user, {cost - user:.2f} system)"
