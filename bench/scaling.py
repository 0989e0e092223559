"""What arithmetic doesn't show of a large site: how long clients are away after nodes were lost,
and what it does to Redis when the wallets of a lost node find other ones.

`python -m bench.scaling` prints the tables of docs/scaling.md, the same for the same seed. Nothing
is measured here: capacities are those of RESULTS.md, times those of the code.
"""

import heapq
import sys
from collections.abc import Iterator, Sequence
from random import Random
from statistics import quantiles
from typing import NamedTuple

from wd_server.redis.membership import DEAD_SECONDS, HEARTBEAT_SECONDS
from wd_tools.load.pool import ANSWER_SECONDS, DOUBLINGS, JITTER
from wd_tools.load.stream import RETRY_MS

SEED = 7
# Streams of the site, and what one node holds.
STREAMS, STREAMS_A_NODE = 10_000_000, 75_000
NODES = -(-STREAMS // STREAMS_A_NODE)
# Streams with a key that a process opens in a second, on a core (RESULTS.md: opening).
OPENED_A_SECOND = 3_800
DRAIN_SECONDS = 20
# Nodes that are lost at once, out of all.
LOST = (1, 14, 45, 90)

# Followed wallets of the site, and streams of each.
WALLETS = 1_000_000
READERS = STREAMS // WALLETS


class Storm(NamedTuple):
    """Seconds from the loss until streams are open again; `given_up`: tries that took longer than
    a client waits; `busy`: seconds for which a node does nothing but open streams."""

    p50: float
    p99: float
    last: float
    given_up: int
    busy: float


def storm(lost: int, nodes: int, drain: float, chance: Random) -> Storm:
    """What comes to one of the nodes that are left when `lost` of them end: killed (`drain` 0), so
    that clients come back after their retry, or drained, so that they were told when.

    The node serves those who wait in turn. A client that waited too long is gone when its turn
    comes, which costs as much, and comes back later, as `bin/wd-load` does.
    """
    clients = lost * STREAMS_A_NODE // (nodes - lost)
    arrivals = [(_first_try(drain, chance), 0) for _ in range(clients)]
    heapq.heapify(arrivals)
    free, given_up, away = 0.0, 0, []
    while arrivals:
        asked, failures = heapq.heappop(arrivals)
        free = max(free, asked) + 1 / OPENED_A_SECOND
        if free - asked <= ANSWER_SECONDS:
            away.append(free)
            continue
        given_up += 1
        wait = RETRY_MS / 1000 * 2 ** min(failures, DOUBLINGS) * (1 + JITTER * chance.random())
        heapq.heappush(arrivals, (asked + ANSWER_SECONDS + wait, failures + 1))
    return Storm(*_cuts(away), given_up, (clients + given_up) / OPENED_A_SECOND)


def _first_try(drain: float, chance: Random) -> float:
    if drain:
        return chance.random() * drain * (1 + JITTER * chance.random())
    return RETRY_MS / 1000 * (1 + JITTER * chance.random())


class Churn(NamedTuple):
    """`p50`, `p99`, `last`: seconds from a node's death until another has a wallet's lease.
    `commands` to Redis for it, `busiest` the most in one second, `watched`: wallets that any other
    node has streams of."""

    p50: float
    p99: float
    last: float
    commands: int
    busiest: int
    watched: int


def churn(nodes: int, readers: int, chance: Random) -> Churn:
    """One of `nodes` dies with its share of all wallets. Each of these has streams on `readers`
    nodes that are drawn at random; those on others see every HEARTBEAT_SECONDS whether it lives.

    Who sees that it doesn't asks for the lease, hears who has it, looks whether that one lives, and
    asks again. Who comes later finds a holder that lives.
    """
    looks = [chance.random() * HEARTBEAT_SECONDS for _ in range(nodes)]
    dead_after = DEAD_SECONDS - chance.random() * HEARTBEAT_SECONDS
    seconds: dict[int, int] = {}
    taken = []
    for _ in range(WALLETS // nodes):
        others = {chance.randrange(nodes) for _ in range(readers - 1)} - {0}
        seen = sorted(_next_look(looks[each], dead_after) for each in others)
        for number, at in enumerate(seen):
            seconds[int(at)] = seconds.get(int(at), 0) + (2 if number else 3)
        taken += seen[:1]
    return Churn(*_cuts(taken), sum(seconds.values()), max(seconds.values()), len(taken))


def _next_look(phase: float, after: float) -> float:
    rounds = max(0, -(-(after - phase) // HEARTBEAT_SECONDS))
    return phase + rounds * HEARTBEAT_SECONDS


def _cuts(found: Sequence[float]) -> tuple[float, float, float]:
    cuts = quantiles(found, n=100)
    return cuts[49], cuts[98], max(found)


def tables(chance: Random) -> Iterator[str]:
    yield f"{STREAMS:,} streams, {NODES} nodes of {STREAMS_A_NODE:,}, seed {SEED}"
    yield ""
    yield "| nodes lost | how | back: half | 99 % | last | given up after 30 s | node busy for |"
    yield "|---|---|---|---|---|---|---|"
    for lost in LOST:
        for how, drain in (("killed", 0), (f"drained, {DRAIN_SECONDS} s", DRAIN_SECONDS)):
            p50, p99, last, given_up, busy = storm(lost, NODES, drain, chance)
            yield (
                f"| {lost} | {how} | {p50:.1f} s | {p99:.1f} s | {last:.1f} s | {given_up:,} "
                f"| {busy:.1f} s |"
            )
    yield ""
    yield f"One node dies: its wallets out of {WALLETS:,} are taken over"
    yield ""
    yield "| nodes | a wallet's nodes | wallets | half | 99 % | last | commands | in one second |"
    yield "|---|---|---|---|---|---|---|---|"
    for nodes in (3, NODES, 10 * NODES):
        for readers in (2, READERS):
            found = churn(nodes, readers, chance)
            yield (
                f"| {nodes} | {readers} | {found.watched:,} | {found.p50:.1f} s "
                f"| {found.p99:.1f} s | {found.last:.1f} s | {found.commands:,} "
                f"| {found.busiest:,} |"
            )


def main() -> int:
    for line in tables(Random(SEED)):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
