"""100,000 streams on one machine: six processes of wd-server, each with a journal of its own,
follow the same wallet of one simulated chain, and each of their streams gets an event a second.

Servers, clients and the chain share all cores. Clients are checking ones (`bin/wd-load`), one
process for each server. Six servers with a common journal would share the looks for news, and
nothing else of what is measured.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from time import monotonic, sleep
from typing import NamedTuple

import psutil

from bench import deployment
from bench.checkers import Checkers
from bench.row import Row
from tests.eventsource import EventSource
from tests.processes import Server, Simulator
from wd_tools.load.report import Report

STREAMS = 100_000
SERVERS = 6
# Seconds for which all are held and get events.
SECONDS = 300
# Transactions of the wallet before.
SIZE = 20
# Seconds that the last events may take to everybody, that a server's clients may take to open, and
# that clients stay at most.
SETTLE_SECONDS = 10
OPEN_SECONDS = 180
HOLD_SECONDS = 3600
# What wd-load says of streams that it ended itself.
END = "end of test"


class Cost(NamedTuple):
    """Bytes in memory of the servers' processes and of the clients', and by how much less the
    machine had available, sockets included; cores in use while events came."""

    servers: int
    clients: int
    machine: int
    server_cores: float
    client_cores: float


def measure(streams: int = STREAMS, seconds: int = SECONDS) -> list[Row]:
    available = psutil.virtual_memory().available
    with ExitStack() as stack:
        arguments = ("--only", "--warm", "--wallets", str(SIZE))
        chain = stack.enter_context(deployment.chain(*arguments, core=None))
        servers = [
            stack.enter_context(deployment.deployed(chain, core=None, POLL_SECONDS=1))
            for _ in range(SERVERS)
        ]
        for server in servers:
            _analyse(server, chain)
        clients = [
            _open(stack, server, chain, share)
            for server, share in zip(servers, _shares(streams), strict=True)
        ]
        before, started = _cpu(servers, clients), monotonic()
        trades = _events(chain, seconds)
        took = monotonic() - started
        used = [
            (now - then) / took for now, then in zip(_cpu(servers, clients), before, strict=True)
        ]
        cost = Cost(
            sum(map(deployment.resident, servers)),
            sum(each.resident() for each in clients),
            available - psutil.virtual_memory().available,
            *used,
        )
        sleep(SETTLE_SECONDS)
        return rows([each.end() for each in clients], trades, took, cost)


def _shares(streams: int) -> Sequence[int]:
    """Streams of each server."""
    return [
        streams * (number + 1) // SERVERS - streams * number // SERVERS for number in range(SERVERS)
    ]


def _analyse(server: Server, chain: Simulator) -> None:
    """So that what is stored from then on is what is appended."""
    with EventSource(server.stream(chain.wallet(SIZE))) as visitor:
        visitor.until("complete")


def _open(stack: ExitStack, server: Server, chain: Simulator, streams: int) -> Checkers:
    arguments = ("--follow", f"--hold={HOLD_SECONDS}", f"--open-within={OPEN_SECONDS}")
    clients = Checkers(server.url, chain.wallet(SIZE), streams, *arguments, core=None)
    stack.enter_context(clients).wait_until_open()
    return clients


def _events(chain: Simulator, seconds: int) -> int:
    """An event a second; how many there were."""
    trades, due = 0, monotonic()
    for _ in range(seconds):
        trades += deployment.append_trades(chain, chain.wallet(SIZE), 1)
        due += 1
        sleep(max(0.0, due - monotonic()))
    return trades


def _cpu(servers: Sequence[Server], clients: Sequence[Checkers]) -> tuple[float, float]:
    """Seconds of processor time so far."""
    return (
        sum(deployment.cpu(each).total for each in servers),
        sum(each.cpu().total for each in clients),
    )


def rows(found: Sequence[Report], trades: int, seconds: float, cost: Cost) -> list[Row]:
    """`trades`: so many were made while all streams were open, in so many seconds."""
    opened = sum(each.opening.opened for each in found)
    streams = sum(each.asked.streams for each in found)
    got = sum(each.live.trades for each in found)
    lost = sum(each.ids.lost for each in found)
    missing = streams * trades - got - lost
    twice = sum(each.ids.duplicates for each in found)
    again = sum(sum(count for why, count in each.closes.items() if why != END) for each in found)
    wrong = any(not each.is_whole or each.ids.gaps or each.ids.behind.streams for each in found)
    p50, p99, longest = (
        max(getattr(each.live.delay_ms, name) or 0 for each in found)
        for name in ("p50", "p99", "max")
    )
    what = f"{streams:,} streams, {len(found)} processes"
    held = f"{opened:,} held for {seconds:.0f} s, {trades:,} events to each"
    return [
        Row(
            f"{what}, an event a second to all",
            f"{held}: {got:,} delivered ({got / seconds:,.0f} a second), {lost:,} lost, "
            f"{twice:,} twice, {missing:,} not there {SETTLE_SECONDS} s after the last, "
            f"{again:,} streams interrupted",
            f"{STREAMS:,} held for {SECONDS} s, none lost",
            opened == streams >= STREAMS
            and seconds >= SECONDS
            and not (lost or twice or missing or again or wrong),
        ),
        Row(
            f"{what}: memory",
            f"servers {cost.servers / 1e6:,.0f} MB ({cost.servers / streams / 1e3:.1f} KB a "
            f"stream), clients {cost.clients / 1e6:,.0f} MB, the machine with its sockets "
            f"{cost.machine / 1e6:,.0f} MB",
        ),
        Row(
            f"{what}: from stored to received",
            f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms, longest {longest:,.0f} ms (of the slowest "
            f"process's); servers use {cost.server_cores:.2f} cores, clients "
            f"{cost.client_cores:.2f}",
        ),
    ]
