"""How soon a newcomer has its first event while 19,000 streams are open and idle.

Newcomers arrive at an even pace, follow the same wallet, and leave with their first trade, so that
the server holds as many streams all the time.
"""

import psutil

from bench import deployment
from bench.checkers import Checkers
from bench.readers import Readers
from bench.row import Row, at_most
from wd_tools.load.report import Report

IDLE = 19_000
# Opens a second, and for how many seconds.
RATE = 200
SECONDS = 30
# Transactions of the wallet: what a newcomer is sent at once is one page of its history.
SIZE = 200

P99_MS = 10
# The program that reads, and a niceness after all others.
READING, LAST = "bench.reading", 19


def measure(idle: int = IDLE, seconds: int = SECONDS) -> list[Row]:
    with (
        deployment.chain("--only", "--warm", "--wallets", str(SIZE)) as chain,
        deployment.deployed(chain) as server,
        Readers() as readers,
    ):
        wallet = chain.wallet(SIZE)
        path = f"/v4/wallet/{wallet}/stream?follow=true"
        readers.open(server.port, idle, [path])
        _let_others_go_first()
        before = deployment.cpu(server)
        arguments = (f"--ramp={RATE}", "--follow", "--trades=1")
        with Checkers(server.url, wallet, RATE * seconds, *arguments) as newcomers:
            newcomers.wait_until_open()
            busy = deployment.cpu(server).since(before).total / seconds
            return rows(newcomers.report(), idle, busy)


def _let_others_go_first() -> None:
    """What reads the heartbeats of all the idle streams shares a core with the newcomers, who are
    to wait for the server and not for that."""
    for process in psutil.Process().children():
        if READING in process.cmdline():
            process.nice(LAST)


def rows(found: Report, idle: int, busy: float) -> list[Row]:
    """`busy`: the share of a core that the server used."""
    first = found.opening.first_event_ms
    assert first.p50 is not None
    assert first.p99 is not None
    assert first.max is not None
    return [
        at_most(
            f"first event beside {idle:,} idle streams, at {RATE} opens/s, p99",
            first.p99,
            P99_MS,
            f"{first.p99:.1f} ms (p50 {first.p50:.1f} ms, longest {first.max:.1f} ms of "
            f"{first.count:,}; {busy:.0%} of a core)",
            " ms",
        )
    ]
