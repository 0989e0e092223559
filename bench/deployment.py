"""wd-server as users start it, with its own journal and analysis, on SERVER_CORE; and beside the
clients, on CLIENT_CORE, the simulated chain that it reads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from bench import machine
from tests.processes import Server, Simulator

# A key or address may have as many streams as it likes: all clients come from one machine.
UNLIMITED = {"RATE_LIMIT_REQUESTS": 0, "RATE_LIMIT_STREAMING_CONNECTIONS": 0}
# Seconds between two looks at /health, which costs the server a tenth of a millisecond.
LOOK_SECONDS = 0.1


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core alone, with all threads it will have."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def chain(*arguments: str) -> Iterator[Simulator]:
    """`bin/wd-sim` with these arguments."""
    with on_core(machine.CLIENT_CORE):
        started = Simulator(*arguments)
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def deployed(upstream: Simulator, **settings: object) -> Iterator[Server]:
    """`bin/wd-server` with the settings' defaults, but for limits of a caller and these."""
    with TemporaryDirectory() as folder:
        made = Server(Path(folder, "data"), upstream.url, **(UNLIMITED | settings))
        start(made)
        try:
            yield made
        finally:
            if made.process is not None and made.process.poll() is None:
                made.kill()


def start(server: Server) -> None:
    """Also again, on the same port and journal."""
    with on_core(machine.SERVER_CORE):
        server.start()


def wait_for_streams(server: Server, number: int, patience: float) -> None:
    """Returns when so many streams are open."""
    deadline = monotonic() + patience
    while (active := server.get("/health")["streaming"]["active_streams"]) != number:
        assert monotonic() < deadline, f"{active} of {number} streams after {patience} s"
        sleep(LOOK_SECONDS)


def append_trades(upstream: Simulator, wallet: str, number: int) -> None:
    """Let the wallet do what is at least so many trades: not all that it does is one."""
    while number > 0:
        number -= len(upstream.append(wallet, number))


def cpu(server: Server) -> machine.Cpu:
    assert server.process is not None
    return machine.cpu(machine.family(server.process.pid))


def resident(server: Server) -> int:
    """Bytes in memory."""
    assert server.process is not None
    return machine.resident(machine.family(server.process.pid))


