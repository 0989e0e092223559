"""A wallet of 20,000 transactions, from the upstream's bytes to trades in the journal.

The server has one core and the simulated chain the other. The client that starts the run doesn't
read, so nothing is streamed but the first few trades.
"""

import os
import tempfile
from pathlib import Path
from statistics import median

from bench.row import Row
from tests.eventsource import EventSource
from tests.processes import Server, server, simulator

SIZE = 20_000
ROUNDS = 9
# The requests a second of the largest plan would be the limit before the processor is.
PLAN = "professional"


def measure() -> list[Row]:
    cpu, wall = [], []
    with simulator("--warm") as sim:
        os.sched_setaffinity(sim.process.pid, {1})
        for _ in range(ROUNDS):
            with (
                tempfile.TemporaryDirectory() as folder,
                server(Path(folder), sim.url, UPSTREAM_PLAN=PLAN) as srv,
            ):
                seconds, duration = _run(srv, sim.wallet(SIZE))
                cpu.append(SIZE / seconds)
                wall.append(SIZE / duration)
    return [
        Row(
            f"decoding to journalled trades, {SIZE:,} transactions, one core, CPU",
            f"{median(cpu):,.0f} transactions/s (best of {ROUNDS}: {max(cpu):,.0f})",
            "10,000 transactions/s",
        ),
        Row(
            "the same by the clock",
            f"{median(wall):,.0f} transactions/s (best of {ROUNDS}: {max(wall):,.0f})",
            "",
        ),
    ]


def _run(srv: Server, wallet: str) -> tuple[float, float]:
    """Seconds of CPU and of the clock for one analysis."""
    assert srv.process is not None
    os.sched_setaffinity(srv.process.pid, {0})
    for thread in os.listdir(f"/proc/{srv.process.pid}/task"):
        os.sched_setaffinity(int(thread), {0})
    before = srv.cpu_seconds()
    with EventSource(f"{srv.url}/v4/wallet/{wallet}/stream", receive_buffer=4096):
        read = srv.wait_for_log("wallet read")
    assert read["transactions"] == SIZE
    return srv.cpu_seconds() - before, read["seconds"]
