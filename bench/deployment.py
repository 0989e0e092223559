"""wd-server as users start it, with its own journal and sessions, on SERVER_CORE; and beside the
clients, on CLIENT_CORE, the simulated chain that it reads."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

import psutil

from bench import machine
from tests.processes import Server, Simulator

# A key or address may have as many streams as it likes: all clients come from one machine.
UNLIMITED: Mapping[str, Any] = {
    "RATE_LIMIT_REQUESTS": 0,
    "RATE_LIMIT_WALLETS": 0,
    "RATE_LIMIT_STREAMING_CONNECTIONS": 0,
}
# Seconds between two looks at /health, which costs the server a tenth of a millisecond.
LOOK_SECONDS = 0.1


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started meanwhile runs on this core alone, with all threads it will have; None: on
    any."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, allowed if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def chain(*arguments: str, core: int | None = machine.CLIENT_CORE) -> Iterator[Simulator]:
    """`bin/wd-sim` with these arguments."""
    with on_core(core):
        started = Simulator(*arguments)
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def deployed(
    upstream: Simulator, core: int | None = machine.SERVER_CORE, **settings: Any
) -> Iterator[Server]:
    """`bin/wd-server` with the settings' defaults, but for limits of a caller and these."""
    with TemporaryDirectory() as folder:
        made = Server(Path(folder, "data"), upstream.url, **{**UNLIMITED, **settings})
        start(made, core)
        try:
            yield made
        finally:
            if made.process is not None and made.process.poll() is None:
                made.kill()


def start(server: Server, core: int | None = machine.SERVER_CORE) -> None:
    """Also again, on the same port and journal."""
    with on_core(core):
        server.start()


def wait_for_streams(server: Server, number: int, patience: float) -> None:
    """Returns when so many streams are open."""
    deadline = monotonic() + patience
    while (active := server.get("/health")["streaming"]["active_streams"]) != number:
        assert monotonic() < deadline, f"{active} of {number} streams after {patience} s"
        sleep(LOOK_SECONDS)


def append_trades(upstream: Simulator, wallet: str, number: int) -> int:
    """Let the wallet do what is at least so many trades: not all that it does is one. Returns how
    many they were."""
    trades = 0
    while trades < number:
        trades += len(upstream.append(wallet, number - trades))
    return trades


def cpu(server: Server) -> machine.Cpu:
    """What it has used so far, with all its threads."""
    return machine.cpu(_family(server))


def resident(server: Server) -> int:
    """Bytes in memory."""
    return machine.resident(_family(server))


def _family(server: Server) -> list[psutil.Process]:
    assert server.process is not None
    return machine.family(server.process.pid)
