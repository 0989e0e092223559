"""How long the loop keeps others waiting while it has the most to do: 15,000 streams get five
events a second, one at a time, and large wallets are read from the first transaction to the last.

The wallets are read one after the other, each for a client that takes all of it. The upstream has
no latency, which makes the work as dense as it can be.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, NamedTuple

from bench import deployment, machine
from bench.readers import Readers
from bench.rivals.wd import WALLET
from bench.row import Row, at_most
from tests.eventsource import EventSource
from tests.processes import Simulator

STREAMS = 15_000
# Events a second to each.
RATE = 5
# Transactions of a wallet, and how many wallets are read: several, because one is read in seconds.
SIZE = 20_000
WALLETS = 5
# Of the simulated chain: with its default, WALLET is one of its wallets.
SEED = 11
# Taken from a socket at a time, unparsed: the client shares its core with all the others.
RECEIVE_BYTES = 1 << 20

P99_MS, LONGEST_MS = 10, 50
# The share of the events that should have been written: with less, there was less to do.
ENOUGH = 0.98


class Late(NamedTuple):
    """How late a timer ran, in milliseconds."""

    p50: float
    p99: float
    p999: float
    longest: float


class Seen(NamedTuple):
    """`own`: the lateness without what others on the server's core added to it. Events written to
    each stream, and how many should have been; the share of a core that the server used, and for
    how many seconds."""

    wall: Late
    own: Late
    events: int
    due: float
    busy: float
    seconds: float


def measure(streams: int = STREAMS, wallets: int = WALLETS) -> list[Row]:
    with (
        deployment.chain(
            f"--seed={SEED}", "--only", "--warm", f"--wallets={SIZE}x{wallets}"
        ) as chain,
        _watched(chain) as process,
        Readers() as readers,
    ):
        port = _answer(process)["port"]
        readers.open(port, streams, [f"/v4/wallet/{WALLET}/stream?follow=true"])
        before, started = machine.cpu(machine.family(process.pid)), monotonic()
        _tell(process, str(RATE))
        for wallet, _ in chain.wallets:
            _read(port, wallet)
        _tell(process, "enough")
        answer, seconds = _answer(process), monotonic() - started
        busy = machine.cpu(machine.family(process.pid)).since(before).total / seconds
        readers.receive(answer["events"] * streams)
    wall, own = Late(**answer["wall"]), Late(**answer["own"])
    seen = Seen(wall, own, answer["events"], seconds * RATE, busy, seconds)
    return rows(seen, streams, wallets)


def _read(port: int, wallet: str) -> None:
    """Returns when the whole wallet is read."""
    url = f"http://127.0.0.1:{port}/v4/wallet/{wallet}/stream?batch=500"
    with EventSource(url) as client:
        while client.socket.recv(RECEIVE_BYTES):
            pass


@contextmanager
def _watched(chain: Simulator) -> Iterator[subprocess.Popen[str]]:
    with TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        environment = {
            "PATH": os.environ["PATH"],
            "PORT": "0",
            "DATA_DIR": folder,
            "HELIUS_RPC_URL": chain.url,
            "UPSTREAM_PLAN": "professional",
            "PRICE_SOURCE": "none",
            **{name: str(value) for name, value in deployment.UNLIMITED.items()},
        }
        process = machine.spawn(
            [sys.executable, "-m", "bench.watched"],
            machine.SERVER_CORE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the server has ended"
    answer: dict[str, Any] = json.loads(line)
    return answer


def rows(seen: Seen, streams: int, wallets: int) -> list[Row]:
    what = (
        f"loop stall, {streams:,} streams at {RATE} events/s beside wallets of {SIZE:,} being read"
    )
    rate = streams * seen.events / seen.seconds
    return [
        at_most(
            f"{what}, p99",
            seen.wall.p99,
            P99_MS,
            f"{seen.wall.p99:.1f} ms (p50 {seen.wall.p50:.1f} ms, p99.9 {seen.wall.p999:.1f} ms); "
            f"{seen.own.p99:.1f} ms of it the server's own",
            " ms",
        ),
        at_most(
            f"{what}, longest",
            seen.wall.longest,
            LONGEST_MS,
            f"{seen.wall.longest:.1f} ms; {seen.own.longest:.1f} ms of it the server's own",
            " ms",
        ),
        Row(
            f"{what}: what was done",
            f"{rate:,.0f} events/s in all, {seen.events / seen.due:.0%} of those due, and "
            f"{wallets} wallets in {seen.seconds:.1f} s, {seen.busy:.0%} of a core",
            f"≥ {ENOUGH:.0%} of the events due",
            seen.events >= ENOUGH * seen.due,
        ),
    ]
