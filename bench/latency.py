"""How soon an idle server answers: first event of an analysed wallet, health, metrics."""

import http.client
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from bench.row import Row
from tests.eventsource import EventSource
from tests.processes import server, simulator

SIZE = 200
TRIES = 300


def measure() -> list[Row]:
    with (
        simulator("--only", "--wallets", str(SIZE)) as sim,
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder), sim.url) as srv,
    ):
        stream = f"{srv.url}/v4/wallet/{sim.wallet(SIZE)}/stream"
        with EventSource(stream) as source:
            source.until("complete")

        def first_event() -> None:
            with EventSource(stream) as source:
                assert next(iter(source)).name == "connected"

        def get(path: str) -> Callable[[], None]:
            connection = http.client.HTTPConnection("127.0.0.1", srv.port)

            def once() -> None:
                connection.request("GET", path)
                response = connection.getresponse()
                response.read()
                assert response.status == 200

            return once

        return [
            _row("first event of a new stream, wallet already analysed", "10 ms", first_event),
            _row("GET /health", "5 ms", get("/health")),
            _row("GET /metrics", "5 ms", get("/metrics")),
        ]


def _row(what: str, target: str, ask: Callable[[], None]) -> Row:
    times = []
    for _ in range(TRIES):
        started = perf_counter()
        ask()
        times.append((perf_counter() - started) * 1000)
    p99 = quantiles(times, n=100)[98]
    return Row(what, f"median {median(times):.1f} ms, p99 {p99:.1f} ms", f"median {target}")
