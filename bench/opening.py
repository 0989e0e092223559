"""How fast streams open, and how much faster than where each is a coroutine of Tornado.

19,000 clients come as fast as they are answered, 256 at a time. A stream counts as open when its
first event is there. Every turn has a new process: what opening leaves behind belongs to it.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench import contenders
from bench.contenders import ALL, TORNADO, WD, Kind
from bench.machine import Cpu
from bench.readers import Opened, Readers
from bench.row import Row, at_least

STREAMS = 19_000
TURNS = 3

RATE = 4_500
RATE_TO_TORNADO = 1.3


class Turn(NamedTuple):
    opened: Opened
    cpu: Cpu
    with_key: bool


Turns = Mapping[str, Sequence[Turn]]


def measure() -> list[Row]:
    turns: dict[str, list[Turn]] = {kind.name: [] for kind in ALL if not kind.missing()}
    for number in range(TURNS):
        for kind in ALL:
            # Those no target speaks of are shown once, for comparison.
            if kind.name in turns and (number == 0 or kind in (WD, TORNADO)):
                turns[kind.name].append(_turn(kind))
    return [*rows(turns), *contenders.absent("opening")]


def _turn(kind: Kind) -> Turn:
    with kind.start() as server, Readers() as readers:
        before = server.cpu()
        opened = readers.open(server.port, STREAMS, [server.path], server.headers)
        return Turn(opened, server.cpu().since(before), bool(server.headers))


def rows(turns: Turns) -> list[Row]:
    ours, plain = turns[WD.name], turns[TORNADO.name]
    rate = median(turn.opened.rate for turn in ours)
    ratio = median(
        mine.opened.rate / other.opened.rate for mine, other in zip(ours, plain, strict=True)
    )
    what = f"opening {STREAMS:,} streams, " + ("with" if ours[0].with_key else "without") + " a key"
    others = [name for name in turns if name != WD.name]
    return [
        at_least(what, rate, RATE, _said(ours), " streams/s"),
        at_least(
            f"{what}, against {TORNADO.name}",
            ratio,
            RATE_TO_TORNADO,
            f"{ratio:.2f} x {TORNADO.name}",
            f" x {TORNADO.name}",
        ),
        *(Row(f"opening {STREAMS:,} streams: {name}", _said(turns[name])) for name in others),
    ]


def _said(turns: Sequence[Turn]) -> str:
    rate = median(turn.opened.rate for turn in turns)
    cost = median(turn.cpu.total / turn.opened.streams for turn in turns) * 1e6
    p99 = median(turn.opened.p99 for turn in turns) * 1e3
    return f"{rate:,.0f} streams/s, {cost:.0f} µs CPU a stream, first event p99 {p99:.0f} ms"
