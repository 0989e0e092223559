"""A wallet of 20,000 transactions, from the upstream's bytes to trades in the journal: how fast the
processor allows, and how near to the upstream's limit.

The server has one core and the simulated chain the other. The client that asks for the wallet
doesn't read, so nothing is streamed but the first few events.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from bench.machine import CLIENT_CORE, SERVER_CORE
from bench.row import Row, at_least, at_most
from bench.source import ROOT, checkout
from tests.eventsource import EventSource
from tests.processes import Server, Simulator, server, simulator

SIZE = 20_000
ROUNDS = 9
# The requests a second of the largest plan would be the limit before the processor is.
LARGEST_PLAN = "professional"
CPU_TARGET = 20_000

# The last commit whose transactions had no postings: their cost is measured beside it, in turns.
BEFORE_POSTINGS = "69f44c3"
COMPARED_ROUNDS = 5
COMPARED_TARGET = 0.85

# A common plan, its requests a second, and milliseconds to the upstream and back.
PLAN, LIMIT, LATENCY = "developer", 50, 120
LIMITED_ROUNDS = 3
TIME_TARGET = 1.15
METHODS = {
    "getTransactionsForAddress": (),
    "getSignaturesForAddress and batches": ("--no-gtfa", "403"),
}

# So slow that everything but the way there and back is nothing beside it.
SLOW_LATENCY = 1000
PREVIEW_TARGET = 2


class Limited(NamedTuple):
    seconds: float
    requests: int

    @property
    def ratio(self) -> float:
        """To what the upstream's limit alone would take."""
        return self.seconds / (self.requests / LIMIT)


def measure() -> list[Row]:
    rows = [*_by_the_processor(), _compared()]
    for method, refusal in METHODS.items():
        runs = [_limited(refusal) for _ in range(LIMITED_ROUNDS)]
        best = min(runs, key=lambda run: run.ratio)
        rows.append(
            at_most(
                f"the same with {LIMIT} requests/s and {LATENCY} ms, by {method}",
                best.ratio,
                TIME_TARGET,
                f"{best.seconds:.2f} s for {best.requests} requests: {best.ratio:.2f} x the limit's"
                f" (best of {LIMITED_ROUNDS}, median {median(run.ratio for run in runs):.2f})",
                " x requests / limit",
            )
        )
        trips = _trips_to_preview(refusal)
        rows.append(
            at_most(
                f"first `preview`, by {method}",
                trips,
                PREVIEW_TARGET,
                f"{trips} round trips to the upstream",
                " round trips",
            )
        )
    return rows


def _by_the_processor() -> list[Row]:
    cpu, clock = [], []
    with _chain() as sim:
        for _ in range(ROUNDS):
            with _server(sim, LARGEST_PLAN) as srv:
                before = srv.cpu_seconds()
                seconds = _analysed(srv, sim)
                cpu.append(SIZE / (srv.cpu_seconds() - before))
                clock.append(SIZE / seconds)
    figure = "{:,.0f} transactions/s (best of " + str(ROUNDS) + ": {:,.0f})"
    return [
        at_least(
            f"decoding to journalled trades, {SIZE:,} transactions, one core, CPU",
            median(cpu),
            CPU_TARGET,
            figure.format(median(cpu), max(cpu)),
            " transactions/s",
        ),
        Row("the same by the clock", figure.format(median(clock), max(clock))),
    ]


def _compared() -> Row:
    """With the commit before, each run of one beside a run of the other."""
    before, now = [], []
    with _chain() as sim, checkout(BEFORE_POSTINGS) as folder:
        for _ in range(COMPARED_ROUNDS):
            for rates, root in ((before, folder), (now, ROOT)):
                with _server(sim, LARGEST_PLAN, root) as srv:
                    spent = srv.cpu_seconds()
                    _analysed(srv, sim)
                    rates.append(SIZE / (srv.cpu_seconds() - spent))
    ratio = median(now) / median(before)
    return at_least(
        f"the same beside {BEFORE_POSTINGS}, which had no postings",
        ratio,
        COMPARED_TARGET,
        f"{median(now):,.0f} and {median(before):,.0f} transactions/s: {ratio:.2f} x",
        " x",
    )


def _limited(refusal: tuple[str, ...]) -> Limited:
    """A run against the limit, of a server that has yet to learn which methods there are."""
    with (
        _chain("--latency", str(LATENCY), "--plan", PLAN, *refusal) as sim,
        _server(sim, PLAN) as srv,
    ):
        seconds = _analysed(srv, sim)
        return Limited(seconds, _requests(srv))


def _trips_to_preview(refusal: tuple[str, ...]) -> int:
    """Of a server that knows its upstream's methods from another wallet."""
    with (
        _chain("--wallets", "1", "--latency", str(SLOW_LATENCY), *refusal) as sim,
        _server(sim, PLAN) as srv,
    ):
        with EventSource(srv.stream(sim.wallet(1))) as source:
            source.until("complete")
        started = perf_counter()
        with EventSource(srv.stream(sim.wallet(SIZE))) as source:
            source.until("preview")
        return int((perf_counter() - started) * 1000 / SLOW_LATENCY)


@contextmanager
def _chain(*arguments: str) -> Iterator[Simulator]:
    with simulator("--only", "--warm", "--wallets", str(SIZE), *arguments) as sim:
        os.sched_setaffinity(sim.process.pid, {CLIENT_CORE})
        yield sim


@contextmanager
def _server(sim: Simulator, plan: str, root: Path = ROOT) -> Iterator[Server]:
    """`root`: the checkout whose server it is."""
    program = root / "bin" / "wd-server"
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder), sim.url, program=program, UPSTREAM_PLAN=plan, PYTHONPATH=root) as srv,
    ):
        assert srv.process is not None
        for thread in os.listdir(f"/proc/{srv.process.pid}/task"):
            os.sched_setaffinity(int(thread), {SERVER_CORE})
        yield srv


def _analysed(srv: Server, sim: Simulator) -> float:
    """Seconds by the clock for the large wallet."""
    with EventSource(srv.stream(sim.wallet(SIZE)), receive_buffer=4096):
        read = srv.wait_for_log("wallet read")
    assert read["transactions"] > SIZE * 0.9  # by signature a few aren't found
    seconds: float = read["seconds"]
    return seconds


def _requests(srv: Server) -> int:
    """To the upstream, of the group whose limit counts."""
    calls = (
        value
        for name, value in srv.metrics().items()
        if name.startswith("upstream_calls_total") and "getAsset" not in name
    )
    return int(sum(calls))
