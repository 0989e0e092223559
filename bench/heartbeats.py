"""What it costs to keep 19,000 idle streams alive: the share of a core that the server uses while
nothing happens but heartbeats, and the looks for news of the one wallet that all follow."""

from time import monotonic, sleep
from typing import NamedTuple

from bench import deployment
from bench.contenders import FLOOR
from bench.readers import Readers
from bench.row import Row
from tests.processes import Server

STREAMS = 19_000
# The default, and what the target speaks of.
INTERVAL_SECONDS = 15
# Seconds that are measured: four heartbeats to each stream.
SECONDS = 60
# Writes of the floor to each stream, and seconds between two.
FLOOR_ROUNDS = 8
FLOOR_SECONDS = 1
# Transactions of the wallet.
SIZE = 1

PERCENT_OF_A_CORE = 2
# The share of the heartbeats due that must have been written: the wheel's seconds and those that
# are measured don't begin together.
ENOUGH = 0.95


class Quiet(NamedTuple):
    """So many seconds of idle streams: the share of a core used, and events written."""

    seconds: float
    user: float
    system: float
    events: int

    @property
    def share(self) -> float:
        return self.user + self.system


def measure(streams: int = STREAMS, seconds: float = SECONDS) -> list[Row]:
    with (
        deployment.chain("--only", "--warm", "--wallets", str(SIZE)) as chain,
        deployment.deployed(chain, SSE_KEEPALIVE_INTERVAL=INTERVAL_SECONDS) as server,
        Readers() as readers,
    ):
        path = f"/v4/wallet/{chain.wallet(SIZE)}/stream?follow=true"
        readers.open(server.port, 1, [path])
        alone = _quiet(server, seconds / 4)
        readers.open(server.port, streams - 1, [path])
        sleep(INTERVAL_SECONDS)  # until each stream stands in the wheel where it will stay
        quiet = _quiet(server, seconds)
    return rows(quiet, alone, _floor(streams), streams)


def _floor(streams: int) -> float:
    """Share of a core for one small write to each in every interval, and nothing else."""
    with FLOOR.start() as floor, Readers() as readers:
        readers.open(floor.port, streams, [floor.path])
        before = floor.cpu()
        for _ in range(FLOOR_ROUNDS):
            sleep(FLOOR_SECONDS)  # as long as it takes to make what a write needs cold
            floor.publish(0)
            readers.receive(streams)
        return floor.cpu().since(before).total / FLOOR_ROUNDS / INTERVAL_SECONDS


def _quiet(server: Server, seconds: float) -> Quiet:
    events, before, started = server.metrics()["total_events"], deployment.cpu(server), monotonic()
    sleep(seconds)
    took, used = monotonic() - started, deployment.cpu(server).since(before)
    written = int(server.metrics()["total_events"] - events)
    return Quiet(took, used.user / took, used.system / took, written)


def rows(all_of_them: Quiet, alone: Quiet, floor: float, streams: int) -> list[Row]:
    due = streams * all_of_them.seconds / INTERVAL_SECONDS
    percent = all_of_them.share * 100
    return [
        Row(
            f"heartbeats to {streams:,} idle streams, every {INTERVAL_SECONDS} s",
            f"{percent:.2f} % of a core ({all_of_them.user * 100:.2f} user, "
            f"{all_of_them.system * 100:.2f} system; {alone.share * 100:.2f} % with one stream); "
            f"{all_of_them.events:,} written, {due:,.0f} due",
            f"≤ {PERCENT_OF_A_CORE} % of a core",
            percent <= PERCENT_OF_A_CORE and all_of_them.events >= ENOUGH * due,
        ),
        Row(
            f"a write of 250 bytes to {streams:,} idle streams, every {INTERVAL_SECONDS} s: "
            f"{FLOOR.name}",
            f"{floor:.2%} of a core",
        ),
    ]
