"""Real programs for tests: the simulated chain and the server, each in a process of its own."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
# Seconds to wait for a program that should answer at once: only a broken one takes them.
PATIENCE = 30
# Where servers listen: below the kernel's ports for clients (32768 and up on Linux).
SERVER_PORTS = range(15_000, 32_000)
# Ports that a process takes at a time; a run's workers take a few hundred each.
BLOCK = 50


def _own_ports() -> Iterator[int]:
    """Ports that no other process gives out meanwhile, be it a worker of this run or another run,
    each once: those who ask for several listen on the first only after they have the last. A block
    is this process's as long as it holds the block's first port."""
    blocks = SERVER_PORTS[::BLOCK]
    with ExitStack() as held:
        for first in random.sample(blocks, len(blocks)):
            claim = held.enter_context(socket.socket())
            try:
                claim.bind(("0.0.0.0", first))
            except OSError:
                continue
            yield from range(first + 1, first + BLOCK)


_ports = _own_ports()


class Simulator:
    """`bin/wd-sim` and its wallets by number of transactions."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, str(ROOT / "bin/wd-sim"), "--port", "0", "--json", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.url: str = ready["url"]
        self.wallets: list[tuple[str, int]] = [
            (wallet["address"], wallet["size"]) for wallet in ready["wallets"]
        ]

    def wallet(self, transactions: int) -> str:
        return next(address for address, size in self.wallets if size == transactions)

    def call(self, method: str, *parameters: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        request = Request(self.url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=PATIENCE) as response:
            answer = json.load(response)
        assert "error" not in answer, answer
        return answer["result"]

    def append(self, wallet: str, transactions: int) -> list[str]:
        """Let it do more; the signature of each trade, in the order of the chain."""
        new = set(self.call("simAppend", wallet, transactions))
        return [
            each["signature"]
            for each in self.call("simTruth", wallet)
            if each["signature"] in new
            for _ in each["trades"]
        ]

    def requests(self) -> dict[str, int]:
        """Calls since the start, by method."""
        counts: dict[str, int] = self.call("simStatistics")["requests"]
        return counts

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Server:
    """`bin/wd-server` on a port of its own; started again it keeps port and data. `files`: how many
    it may have open; `network`: the namespace it runs in, with `host` as its address there;
    `program`: what is run in place of `bin/wd-server`."""

    def __init__(
        self,
        data_dir: Path,
        upstream: str | None,
        *,
        files: int | None = None,
        network: str | None = None,
        host: str = "127.0.0.1",
        program: Path = ROOT / "bin/wd-server",
        **settings: object,
    ) -> None:
        self._program = program
        self._before = ["prlimit", f"--nofile={files}"] if files else []
        if network:
            self._before += ["ip", "netns", "exec", network]
        self.port = free_port()
        self.address = f"{host}:{self.port}"
        self.url = f"http://{self.address}"
        data_dir.mkdir(exist_ok=True)
        self.log = data_dir / "server.log"
        self._settings = {
            "PATH": os.environ["PATH"],
            "HOST": host,
            "PORT": str(self.port),
            "DATA_DIR": str(data_dir),
            "PRICE_SOURCE": "none",
            "UPSTREAM_PLAN": "professional",
            "LOG_FORMAT": "json",
            # One address runs all tests.
            "RATE_LIMIT_REQUESTS": "0",
            "RATE_LIMIT_WALLETS": "0",
            "RATE_LIMIT_STREAMING_CONNECTIONS": "0",
            **({"HELIUS_RPC_URL": upstream} if upstream else {}),
            **{name: str(value) for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Returns when it listens."""
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                [*self._before, sys.executable, str(self._program)],
                env=self._settings,
                stderr=log,
            )
        self.wait_until_logged("listening")

    def wait_until_logged(self, event: str) -> None:
        """Returns when the log of this start has such a line."""
        for line in self._new_lines(self._log_start):
            if f'"{event}"' in line:
                return

    def _new_lines(self, start: int) -> Iterator[str]:
        """What it logs, as it comes. A file has no event for that, so this waits in small steps."""
        assert self.process is not None
        with self.log.open() as log:
            log.seek(start)
            line = ""
            while True:
                line += log.readline()  # one that is just being written comes in pieces
                if line.endswith("\n"):
                    yield line
                    line = ""
                    continue
                try:
                    self.process.wait(0.01)
                except subprocess.TimeoutExpired:
                    continue
                raise AssertionError(f"the server ended: {self.log.read_text()}")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of this event."""
        return [line for line in self.logged_lines() if line.get("event") == event]

    def logged_lines(self) -> list[dict[str, Any]]:
        """All of the log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_for_log(self, event: str) -> dict[str, Any]:
        """The log's first line of this event, when it is there."""
        for text in self._new_lines(0):
            line: dict[str, Any] = json.loads(text)
            if line["event"] == event:
                return line
        raise AssertionError(f"no {event!r} in the log")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        request = Request(self.url + path, headers=dict(headers or {}))
        with urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)

    def wait_until_healthy(self) -> None:
        """Nothing tells of that, so this asks again."""
        deadline = monotonic() + PATIENCE
        while True:
            try:
                assert self.get("/health")["status"] == "healthy"
            except (OSError, HTTPException):  # no answer, or 503
                assert monotonic() < deadline
                sleep(0.02)
            else:
                return

    def keys(self, command: str, *arguments: str) -> Any:
        """What `bin/wd-keys` does with this server's keys."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "bin/wd-keys"), command, "--json", *arguments],
            env=self._settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def key(self, *arguments: str) -> str:
        """A new key."""
        text: str = self.keys("create", "--name", "test", *arguments)["key"]
        return text

    def stream(self, wallet: str, query: str = "") -> str:
        """A stream's URL."""
        return f"{self.url}/v4/wallet/{wallet}/stream" + (f"?{query}" if query else "")

    def metrics(self) -> dict[str, float]:
        """By name and labels, without the prefix."""
        with urlopen(self.url + "/metrics", timeout=PATIENCE) as response:
            lines = response.read().decode().splitlines()
        values = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.removeprefix("walletdoctor_"): float(value) for name, value in values}

    def wait_for(self, metric: str, value: float, patience: float = PATIENCE) -> None:
        """Returns when a metric has this value. Nothing tells of that, so this asks again."""
        deadline = monotonic() + patience
        while (seen := self.metrics().get(metric)) != value:
            assert monotonic() < deadline, f"{metric} is {seen}, not {value}"
            sleep(0.02)

    def wait_for_at_least(self, metric: str, value: float, patience: float = PATIENCE) -> None:
        deadline = monotonic() + patience
        while (seen := self.metrics().get(metric, 0)) < value:
            assert monotonic() < deadline, f"{metric} is {seen}, below {value}"
            sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def signal(self, number: int) -> None:
        """Like `stop`, without waiting for the end."""
        assert self.process is not None
        self.process.send_signal(number)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It does nothing meanwhile; what comes waits in the kernel."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes of the process that are in memory and its own (resident, without files)."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
        return int(line.split()[1]) * 1024


@contextmanager
def simulator(*arguments: str) -> Iterator[Simulator]:
    started = Simulator(*arguments)
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def server(
    data_dir: Path,
    upstream: str | None,
    *,
    files: int | None = None,
    program: Path = ROOT / "bin/wd-server",
    **settings: object,
) -> Iterator[Server]:
    started = Server(data_dir, upstream, files=files, program=program, **settings)
    started.start()
    try:
        yield started
    finally:
        if started.process is not None and started.process.poll() is None:
            started.kill()


def free_port() -> int:
    """A port that nobody listens on now and that no test gets but this one, below those that the
    kernel gives to clients: one of them would otherwise take it before the server does."""
    for port in _ports:
        with socket.socket() as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError:
                continue
        return port
    raise AssertionError(f"no free port is left among {SERVER_PORTS}")
