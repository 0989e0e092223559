"""What a stream holds when no two watch the same wallet: 19,000 streams, each of a wallet of its
own, all of them analysed and followed.

The wallets are tiny, so that what is measured is what any wallet costs: a channel, a session, a
task that looks for news. Memory is the growth of the server's, from before the first client. Looks
for news are made as often as the largest plan's limit of requests allows for so many wallets.
"""

from time import monotonic, sleep
from typing import NamedTuple

from bench import deployment
from bench.readers import Readers
from bench.row import Row, at_most
from tests.processes import Server, Simulator

STREAMS = 19_000
# Transactions of each wallet.
SIZE = 2
# Requests a second that the server may make: the largest plan's.
REQUESTS_PER_SECOND = 500
# Seconds between two looks for news of a wallet: 19,000 wallets then take 63 % of the plan.
POLL_SECONDS = 60
# Seconds that looking for news is measured: once for each wallet.
SECONDS = 60
# Seconds for all wallets to be read: several times what the plan's limit makes of it.
PATIENCE = 300
LOOK_SECONDS = 1
# Wallets read to their end for the first time, of those as small as these.
FIRST_PASSES = 'backfill_duration_seconds_count{transactions="100"}'

KB_A_STREAM = 9


class Held(NamedTuple):
    """Bytes in memory without streams and with; seconds until all were analysed; processor time
    for a look for news, in microseconds, and how many there were a second."""

    before: int
    after: int
    seconds: float
    look: float
    looks_per_second: float

    def a_stream(self, streams: int) -> float:
        """Thousands of bytes."""
        return (self.after - self.before) / streams / 1e3


def measure(streams: int = STREAMS, seconds: float = SECONDS) -> list[Row]:
    with (
        deployment.chain("--only", "--wallets", f"{SIZE}x{streams}") as chain,
        deployment.deployed(
            chain,
            POLL_SECONDS=POLL_SECONDS,
            UPSTREAM_PLAN="professional",
            # Nothing listens there: what isn't pushed has to be looked for.
            HELIUS_WS_URL="ws://127.0.0.1:9/",
        ) as server,
        Readers() as readers,
    ):
        before = deployment.resident(server)
        paths = [f"/v4/wallet/{wallet}/stream?follow=true" for wallet, _ in chain.wallets]
        started = monotonic()
        readers.open(server.port, streams, paths)
        _wait_until_read(server, streams)
        took = monotonic() - started
        look, rate = _looks(server, chain, seconds)
        return rows(Held(before, deployment.resident(server), took, look, rate), streams)


def _wait_until_read(server: Server, wallets: int) -> None:
    deadline = monotonic() + PATIENCE
    while (read := server.metrics()[FIRST_PASSES]) < wallets:
        assert monotonic() < deadline, f"{read:.0f} of {wallets} wallets read in {PATIENCE} s"
        sleep(LOOK_SECONDS)


def _looks(server: Server, chain: Simulator, seconds: float) -> tuple[float, float]:
    """Microseconds of processor time for a look for news, with all that the server does besides;
    looks a second."""
    asked, before, started = sum(chain.requests().values()), deployment.cpu(server), monotonic()
    sleep(seconds)
    took, used = monotonic() - started, deployment.cpu(server).since(before)
    looks = sum(chain.requests().values()) - asked
    return used.total / looks * 1e6, looks / took


def rows(held: Held, streams: int) -> list[Row]:
    what = f"{streams:,} streams on {streams:,} wallets, all analysed"
    a_stream = held.a_stream(streams)
    return [
        at_most(
            what,
            a_stream,
            KB_A_STREAM,
            f"{a_stream:.1f} KB a stream ({held.after / 1e6:.0f} MB in all, "
            f"{held.before / 1e6:.0f} MB before); analysed in {held.seconds:.0f} s, "
            f"{streams / REQUESTS_PER_SECOND:.0f} s of them for the plan's "
            f"{REQUESTS_PER_SECOND} requests/s",
            " KB",
        ),
        Row(
            f"{what}: looking for their news, each every {POLL_SECONDS} s",
            f"{held.looks_per_second:.0f} looks/s, {held.look:.0f} µs CPU each, heartbeats and all "
            f"else included: {held.looks_per_second * held.look / 1e4:.0f} % of a core",
        ),
    ]
