"""What an open stream holds in the server's memory while nothing happens: 19,000 in one process.

The growth of the resident memory of all the server's processes, from before the first client to
after the last, shared memory included. What the kernel keeps for a socket is the same for all and
isn't in it.
"""

from collections.abc import Mapping
from time import sleep
from typing import NamedTuple

from bench import contenders
from bench.contenders import ALL, NCHAN, WD, Kind
from bench.readers import Readers
from bench.row import Row, at_most

STREAMS = 19_000
# Seconds in which a server may give back what opening took.
SETTLE_SECONDS = 2

KB_A_STREAM = 5
TO_NCHAN = 0.6


class Held(NamedTuple):
    """Bytes in memory without streams and with."""

    before: int
    after: int

    @property
    def a_stream(self) -> float:
        """Thousands of bytes."""
        return (self.after - self.before) / STREAMS / 1e3


def measure() -> list[Row]:
    held = {kind.name: _held(kind) for kind in ALL if not kind.missing()}
    return [*rows(held), *contenders.absent("memory of an idle stream")]


def _held(kind: Kind) -> Held:
    with kind.start() as server, Readers() as readers:
        before = server.resident()
        readers.open(server.port, STREAMS, [server.path], server.headers)
        sleep(SETTLE_SECONDS)
        return Held(before, server.resident())


def rows(held: Mapping[str, Held]) -> list[Row]:
    what = f"memory of an idle stream, {STREAMS:,} in one process"
    ours = held[WD.name].a_stream
    found = [at_most(what, ours, KB_A_STREAM, _said(held[WD.name]), " KB")]
    if NCHAN.name in held:
        ratio = ours / held[NCHAN.name].a_stream
        figure, unit = f"{ratio:.2f} x {NCHAN.name}", f" x {NCHAN.name}"
        found.append(at_most(f"{what}, against {NCHAN.name}", ratio, TO_NCHAN, figure, unit))
    others = [name for name in held if name != WD.name]
    return [*found, *(Row(f"{what}: {name}", _said(held[name])) for name in others)]


def _said(held: Held) -> str:
    megabytes = f"{held.after / 1e6:.0f} MB in all, {held.before / 1e6:.0f} MB before"
    return f"{held.a_stream:.1f} KB a stream ({megabytes})"
