"""wd-server, itself and whole, with two things added: one wallet's events are written by the
benchmark instead of a session, as often as it wants, and the loop is watched more closely than
the server does it itself.

It first says where it listens: `{"port": 1234}`. A first line on its standard input, `RATE`, has it
write so many events a second to the wallet. At the second it stops and says what it has seen: how
late timers ran, in milliseconds.
"""

import asyncio
import json
import os
import sys
import time
from random import Random
from statistics import quantiles
from typing import Any

import uvloop

from bench.rivals import wire
from bench.rivals.wd import WALLET
from wd_server import logs
from wd_server.app import App
from wd_server.chain.turns import Tenant
from wd_server.config.settings import Settings
from wd_server.events import kinds, sse
from wd_server.journal.base import Journal, NewEntry
from wd_server.server import Server
from wd_server.streaming.channel import Channel
from wd_server.streaming.registry import StreamRegistry
from wd_server.sync.sessions import Sessions

# Seconds between two looks at the clock: as fine as the loop's timers are.
SAMPLE_SECONDS = 0.001

_ENVELOPE = len(sse.frame(kinds.TRADE, b"", "1882685741609896-1234"))
ENTRY = NewEntry(kinds.TRADE, wire.payload(wire.EVENT_BYTES - _ENVELOPE))


class OthersAnalysed:
    """The sessions of all wallets but the one that the benchmark writes."""

    def __init__(self, analysis: Sessions) -> None:
        self._analysis = analysis

    def join(
        self, wallet: str, observer: Channel, follow: bool, tenant: Tenant, *, held: bool
    ) -> None:
        if wallet != WALLET:
            self._analysis.join(wallet, observer, follow, tenant, held=held)

    def leave(self, wallet: str, follow: bool, tenant: Tenant) -> None:
        if wallet != WALLET:
            self._analysis.leave(wallet, follow, tenant)


class Lateness:
    """How late whoever comes to the loop at any moment has to wait, in seconds.

    A timer that is late by 50 ms kept everybody waiting who came in these 50 ms, the last of them
    hardly at all. So a late timer counts once for each sample that it has kept from being taken,
    and not as one among many that were quick.

    `own` is it without the time for which this thread could have run, but others had the core.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.own: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        # proc(5): time on the processor, time waiting for one, both in nanoseconds, ...
        self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        armed = time.monotonic(), self._pushed_aside()
        self._timer = loop.call_later(SAMPLE_SECONDS, self._sample, *armed)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        os.close(self._schedule)

    def _pushed_aside(self) -> float:
        """Seconds so far for which this thread waited for its core."""
        return int(os.pread(self._schedule, 100, 0).split()[1]) / 1e9

    def _sample(self, armed: float, pushed_aside: float) -> None:
        late = time.monotonic() - armed - SAMPLE_SECONDS
        aside = self._pushed_aside() - pushed_aside
        self.start()
        self.seconds += waits(late)
        self.own += waits(late - aside)


def waits(late: float) -> list[float]:
    """How long they waited who came while a timer was late, SAMPLE_SECONDS apart."""
    found = [max(late, 0.0)]
    while (late := late - SAMPLE_SECONDS) > 0:
        found.append(late)
    return found


class Writer:
    """Writes the wallet's journal at an even pace. `written`: events so far; `late`: by how many
    seconds one of them was, at most."""

    def __init__(self, journal: Journal) -> None:
        self.written = 0
        self.late = 0.0
        self._journal = journal

    async def write(self, rate: float, enough: asyncio.Event) -> None:
        """So many events a second."""
        lease = await self._journal.acquire(WALLET)
        assert lease is not None
        epoch = await self._journal.begin(lease, time.time())
        due = time.monotonic()
        while not enough.is_set():
            self.late = max(self.late, time.monotonic() - due)
            await self._journal.append(lease, epoch, [ENTRY], b"", time.time())
            self.written += 1
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def serve() -> None:
    settings = Settings.from_environment(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr, settings.secrets())
    app = App(settings)
    app.registry = StreamRegistry(
        app.registry.limits, app.journal, OthersAnalysed(app.analysis), time.time, Random()
    )
    server = Server(app)
    await server.start()
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    _say({"port": server.port})
    rate = float(await lines.readline())
    lateness, writer, enough = Lateness(), Writer(app.journal), asyncio.Event()
    lateness.start()
    writing = loop.create_task(writer.write(rate, enough))
    await lines.readline()
    lateness.stop()
    enough.set()
    await writing
    _say(
        {
            "events": writer.written,
            "late": writer.late,
            "wall": _figures(lateness.seconds),
            "own": _figures(lateness.own),
        }
    )
    await lines.read()


def _figures(seconds: list[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=1000)
    figures = {"p50": cuts[499], "p99": cuts[989], "p999": cuts[998], "longest": max(seconds)}
    return {name: value * 1e3 for name, value in figures.items()}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve())
