"""A listening socket that outlives the server: who comes between two processes waits for the next.

tests/ops does the same with systemd; here each moment is held and looked at.
"""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eventsource import EventSource
from processes import PATIENCE, ROOT, Server, Simulator
from wire import Connection

# Long enough that nobody's goodbye is due by itself within a test.
DRAIN_SECONDS = 30
# Bytes the kernel keeps for a client that reads nothing: hardly any, so that it can't be flushed.
RECEIVE_BUFFER = 2048
# As systemd does it: the third file, meant for the process that the shell becomes.
ACTIVATED = 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" 3<&{}'


class Activated(Server):
    """A server on a socket of the test's."""

    def __init__(self, data_dir: Path, upstream: str) -> None:
        super().__init__(data_dir, upstream, DRAIN_SECONDS=DRAIN_SECONDS)
        self.socket = socket.create_server(("127.0.0.1", self.port))

    def start(self) -> None:
        file = self.socket.fileno()
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                ["bash", "-c", ACTIVATED.format(file), "-", sys.executable, ROOT / "bin/wd-server"],
                # Where it would listen by itself, nothing is to be had.
                env=self._settings | {"HOST": "192.0.2.1"},
                pass_fds=[file],
                stderr=log,
            )
        self.wait_until_logged("listening")


@pytest.fixture
def activated(chain: Simulator, analysed: Path) -> Iterator[Activated]:
    server = Activated(analysed, chain.url)
    server.start()
    try:
        yield server
    finally:
        assert server.process is not None
        if server.process.poll() is None:
            server.kill()
        server.socket.close()


def test_it_serves_and_says_where(activated: Activated) -> None:
    assert activated.get("/health/live") == {"status": "alive"}
    (line,) = activated.logged("listening")
    assert (line["host"], line["port"]) == ("127.0.0.1", activated.port)


def test_who_comes_during_a_drain_or_after_it_is_served_by_the_next_process(
    activated: Activated, large_wallet: str
) -> None:
    with _held_in_a_drain(activated, large_wallet):
        waiting = [_asking(activated) for _ in range(20)]
    waiting.append(_asking(activated))
    activated.start()
    for connection in waiting:
        with connection:
            answer = connection.answer()
            assert (answer.status, answer.json()["status"]) == (200, "healthy")


def test_who_had_connected_before_the_drain_is_still_answered(
    activated: Activated, large_wallet: str
) -> None:
    with Connection(activated.url) as early:
        # Connections are accepted in their order: when this one is answered, the other one is.
        activated.get("/health")
        with _held_in_a_drain(activated, large_wallet):
            early.request("GET", "/health")
            assert early.answer().json()["status"] == "draining"


def test_a_restart_loses_no_trade_of_a_follower(
    activated: Activated, chain: Simulator, wallet: str
) -> None:
    url = activated.stream(wallet, "follow=true")
    with EventSource(url) as stream:
        before = stream.until("complete")
        assert activated.stop() == 0
        before += list(stream)
    assert before[-1].name == "bye"
    position = str([event.id for event in before if event.id][-1])
    new = chain.append(wallet, 5)
    sock = socket.create_connection(("127.0.0.1", activated.port), PATIENCE)
    with sock:  # it connects while nobody is there
        target = f"/v4/wallet/{wallet}/stream?follow=true"
        sock.sendall(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {position}\r\n\r\n".encode()
        )
        activated.start()
        signatures = []
        for line in sock.makefile("rb"):
            if len(signatures) == len(new):
                break
            if line.startswith(b'data: {"signature"'):
                signatures.append(json.loads(line[6:])["signature"])
    assert signatures == new


def _asking(server: Activated) -> Connection:
    """One who has asked for the health and waits for the answer."""
    connection = Connection(server.url)
    connection.request("GET", "/health")
    return connection


@contextmanager
def _held_in_a_drain(server: Activated, wallet: str) -> Iterator[None]:
    """The server drains, and can't end before the block does."""
    with EventSource(server.stream(wallet), receive_buffer=RECEIVE_BUFFER) as deaf:
        deaf.until("trade")
        server.signal(signal.SIGTERM)
        server.wait_until_logged("stopping")
        yield
    assert server.process is not None
    assert server.process.wait(PATIENCE) == 0
