"""A process of many clients, as cheap as Python can make them: one epoll, one buffer, no parsing.

It is told what to do on its standard input, a line of JSON each, and answers with one:
`open` (see Clients.open), `count` (see Clients.count). Between the two it keeps reading.
"""

import errno
import json
import os
import select
import socket
import sys
from dataclasses import dataclass
from itertools import count
from statistics import quantiles
from time import monotonic
from typing import Any

from bench.rivals.wire import MARK

BUFFER_BYTES = 256 * 1024
# Events taken from epoll at a time.
POLL_EVENTS = 1024
# Clients on one source address. Linux has 28,000 ports for it, but gives out every other one first
# and then searches for each: from 14,000 on connecting takes longer and longer.
CLIENTS_PER_ADDRESS = 10_000
# Linux' name for a bind that leaves the port to connect(), which Python doesn't know yet.
IP_BIND_ADDRESS_NO_PORT = 24

_MARK = MARK[0]


@dataclass(slots=True)
class Opening:
    """A client whose first event isn't there yet."""

    started: float
    request: bytes
    answer: bytes = b""


class Clients:
    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.events = 0
        self.closed = 0
        self._numbers = count()
        self._sockets: dict[int, socket.socket] = {}
        self._opening: dict[int, Opening] = {}
        self._first_event_seconds: list[float] = []
        self._refused: list[str] = []
        self._buffer = bytearray(BUFFER_BYTES)

    def open(
        self,
        port: int,
        number: int,
        requests: list[str],
        window: int,
        rate: float,
        patience: float,
    ) -> dict[str, Any]:
        """Connect `number` clients, each with the next of `requests`, at most `window` of them
        waiting for their first event and at most `rate` new ones a second (0: no limit). Answers
        when all have their first event or were refused, or nothing came for `patience` seconds."""
        encoded = [request.encode() for request in requests]
        started = heard = monotonic()
        self._first_event_seconds, self._refused = [], []
        launched = 0
        while launched < number or self._opening:
            due = int((monotonic() - started) * rate) + 1 if rate else number
            while launched < min(number, due) and len(self._opening) < window:
                self._connect(port, encoded[launched % len(encoded)])
                launched += 1
            waiting = len(self._opening)
            paced = rate and launched < number and waiting < window
            self.take(max(0.0, started + launched / rate - monotonic()) if paced else patience)
            if len(self._opening) < waiting:
                heard = monotonic()
            elif waiting and monotonic() - heard > patience:
                self._refused.append(f"{waiting} of {launched} wait for their first event")
                break
        seconds = monotonic() - started
        times = sorted(self._first_event_seconds)
        p50, p99 = (quantiles(times, n=100)[at] for at in (49, 98)) if len(times) > 1 else (0, 0)
        return {
            "opened": len(times),
            "refused": self._refused[:3],
            "seconds": seconds,
            "p50": p50,
            "p99": p99,
            "longest": times[-1] if times else 0,
        }

    def count(self, events: int, patience: float) -> dict[str, Any]:
        """Answers when so many events have come since the start, or after `patience` seconds."""
        deadline = monotonic() + patience
        while self.events < events and monotonic() < deadline:
            self.take(deadline - monotonic())
        return {"events": self.events, "closed": self.closed}

    def take(self, timeout: float | None) -> bool:
        """Read what has come; whether standard input has a command."""
        told = False
        buffer, sockets, opening = self._buffer, self._sockets, self._opening
        for fd, happened in self.epoll.poll(timeout, POLL_EVENTS):
            if fd in opening:
                self._go_on_opening(fd, happened)
            elif fd in sockets:
                size = self._receive(sockets[fd])
                if size:
                    self.events += buffer.count(_MARK, 0, size)
                else:
                    self._drop(fd)
                    self.closed += 1
            else:
                told = True
        return told

    def _connect(self, port: int, request: bytes) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((f"127.0.0.{2 + next(self._numbers) // CLIENTS_PER_ADDRESS}", 0))
        started = monotonic()
        error = sock.connect_ex(("127.0.0.1", port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        fd = sock.fileno()
        self._sockets[fd] = sock
        self._opening[fd] = Opening(started, request)
        # Over loopback the connection is there already, unless the server's backlog is full.
        try:
            sock.send(request)
        except BlockingIOError:
            self.epoll.register(fd, select.EPOLLOUT)
        else:
            self.epoll.register(fd, select.EPOLLIN)

    def _go_on_opening(self, fd: int, happened: int) -> None:
        sock, client = self._sockets[fd], self._opening[fd]
        if happened & select.EPOLLOUT:
            sock.send(client.request)
            self.epoll.modify(fd, select.EPOLLIN)
            return
        received = self._receive(sock)
        client.answer += self._buffer[:received]
        head, separator, body = client.answer.partition(b"\r\n\r\n")
        good = head.startswith(b"HTTP/1.1 200")
        if body and good:
            del self._opening[fd]
            self._first_event_seconds.append(monotonic() - client.started)
            self.events += body.count(MARK)
        elif (separator and not good) or not received:
            del self._opening[fd]
            self._refused.append(client.answer[:500].decode("latin-1"))
            self._drop(fd)

    def _receive(self, sock: socket.socket) -> int:
        """How many bytes are in the buffer; 0: the server has ended the connection."""
        try:
            return sock.recv_into(self._buffer)
        except ConnectionResetError:
            return 0

    def _drop(self, fd: int) -> None:
        self.epoll.unregister(fd)
        self._sockets.pop(fd).close()


def main() -> None:
    clients = Clients()
    clients.epoll.register(sys.stdin, select.EPOLLIN)
    while True:
        while not clients.take(None):
            pass
        line = sys.stdin.readline()
        if not line:
            return
        order = json.loads(line)
        answer = getattr(clients, order.pop("do"))(**order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
