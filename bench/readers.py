"""Clients of a server under measurement: the benchmark's end of `bench/reading.py`."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from bench.machine import CLIENT_CORE, spawn

# Clients that wait for their first event at the same time: enough that the server always has work,
# few enough that none of them waits for the kernel's backlog.
WINDOW = 256
# Seconds to wait for events that should be there at once.
PATIENCE = 30
# How many clients one process may have: its open files, less a few of its own.
CLIENTS_MAX = 19_900


class Opened(NamedTuple):
    """How opening went. Times in seconds: of the whole, and from a client's connect() to its
    first event."""

    streams: int
    seconds: float
    p50: float
    p99: float
    longest: float

    @property
    def rate(self) -> float:
        """Streams opened a second."""
        return self.streams / self.seconds


class Readers:
    """A process of clients, on a core of its own. At most CLIENTS_MAX in one."""

    def __init__(self) -> None:
        self._process = spawn(
            [sys.executable, "-m", "bench.reading"], CLIENT_CORE, stdout=subprocess.PIPE
        )
        self._expected = 0
        self.open_streams = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def open(
        self,
        port: int,
        number: int,
        paths: Sequence[str] = ("/",),
        headers: Mapping[str, str] | None = None,
        window: int = WINDOW,
        rate: float = 0,
    ) -> Opened:
        """Open `number` streams, on the paths in turn, at most `rate` a second (0: as fast as the
        server answers). Returns when each has its first event; fails if one was refused."""
        requests = [_request(path, headers or {}) for path in paths]
        answer = self._tell(
            "open",
            port=port,
            number=number,
            requests=requests,
            window=window,
            rate=rate,
            patience=PATIENCE,
        )
        assert answer["opened"] == number, f"{answer['opened']} opened, not: {answer['refused']}"
        self.open_streams += number
        return Opened(number, *(answer[key] for key in ("seconds", "p50", "p99", "longest")))

    def receive(self, events: int) -> None:
        """Returns when so many more events have come to all of them together. Fails if there are
        more or less, or a stream was closed."""
        self._expected += events
        answer = self._tell("count", events=self._expected, patience=PATIENCE)
        assert answer == {"events": self._expected, "closed": 0}, (
            f"expected {self._expected} events and no end, but: {answer}"
        )

    def _tell(self, what: str, **how: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **how}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the clients' process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


def _request(path: str, headers: Mapping[str, str]) -> str:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""])
