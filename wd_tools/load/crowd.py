"""The streams of one process: opened in time, dropped and brought back, and swept for dead ones."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from itertools import count
from random import Random

from wd_tools.load.client import FINISHED, Client
from wd_tools.load.frames import Blocks
from wd_tools.load.job import Job, Progress
from wd_tools.load.tally import Tally, bump

# Seconds from the first SYN to the response's head, after which an attempt is given up.
ANSWER_SECONDS = 30
# Seconds that a stream which was told its end may take to close before it is closed from here.
CLOSE_SECONDS = 5
# Seconds of silence after which a stream is taken for dead. The longest heartbeat is 20 s.
SILENCE_SECONDS = 90
# Seconds between two looks at all streams; each costs about 2 ms for 18,000.
SWEEP_SECONDS = 5
# Seconds between two handfuls of streams that a ramp lets in.
RAMP_STEP = 0.01
# A client that comes back waits the time it was told and up to so much more of it; after attempts
# that failed it doubles that, so many times at most.
JITTER = 0.25
DOUBLINGS = 3
# Draws before a churn finds all it looks at closed already and lets this one go.
DRAWS = 20
# A slow reader's receive buffer holds so much of a second's bytes, within these bounds: small, so
# that its slowness is the server's to handle and not the kernel's to hide; and not so small that
# TCP's own waits for a window worth sending into (200 ms) make it slower than asked for.
SLOW_BUFFER_SECONDS = 0.25
SLOW_BUFFER_BYTES = (2048, 64 * 1024)
# Lets connect() choose the port, by target, so that 127.0.0.2 has as many as each target allows
# (linux/in.h; the socket module of 3.11 lacks the name).
IP_BIND_ADDRESS_NO_PORT = 24


class Crowd:
    """`clock` gives unix seconds, `timer` seconds that no one sets back."""

    def __init__(self, job: Job, clock: Callable[[], float], timer: Callable[[], float]) -> None:
        self.habits = job.habits
        self.tally = Tally()
        self.blocks = Blocks()
        self.clock = clock
        self.timer = timer
        self._job = job
        self._random = Random(job.seed)
        self._clients = [Client(self, assignment) for assignment in job.streams]
        # Who comes back goes before who was never there.
        self._due: asyncio.PriorityQueue[tuple[bool, int, Client]] = asyncio.PriorityQueue()
        self._turns = count()
        self._answers: dict[Client, asyncio.Future[None]] = {}
        self._open = 0
        self._over = 0
        self._never = 0
        self._ended = asyncio.Event()
        self._tls = _tls_context(job.target.verify) if job.target.tls else None

    async def run(self) -> None:
        """Returns when no stream will come back, or `end` was called."""
        work = [self._let_in(), self._sweep(), self._drop_some()]
        work += [self._connect_in_turn() for _ in range(self._job.in_flight)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
            await self._ended.wait()
            for task in tasks:
                task.cancel()
        self._leave_all()

    def end(self) -> None:
        self._ended.set()

    def progress(self) -> Progress:
        tally = self.tally
        return Progress(
            opened=tally.opened.count,
            open=self._open,
            over=self._over,
            never=self._never,
            events=tally.events.count,
            trades=tally.trades,
            resumes=tally.resumes,
            lost=tally.lost,
            duplicates=tally.duplicates,
            refused=sum(tally.refusals.values()),
        )

    # What clients tell.

    def answered(self, client: Client) -> None:
        self._open += 1
        self._settle(client)

    def closed(self, client: Client) -> None:
        if self._ended.is_set():
            return
        if client.streaming:
            self._open -= 1
            bump(self.tally.closes, client.ending)
        else:
            bump(self.tally.refusals, client.ending)
        self._settle(client)
        self._come_back(client)

    # Its own ways.

    async def _let_in(self) -> None:
        """All clients, at the ramp's pace."""
        started = self.timer()
        ramp = self._job.ramp
        for number, client in enumerate(self._clients):
            early = number / ramp - (self.timer() - started) if ramp else 0.0
            if early > 0:
                await asyncio.sleep(max(early, RAMP_STEP))
            self._line_up(client)

    def _line_up(self, client: Client) -> None:
        self._due.put_nowait((not client.opened, next(self._turns), client))

    async def _connect_in_turn(self) -> None:
        while True:
            _, _, client = await self._due.get()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._connect(client)
            except TimeoutError:
                if client.transport is None:
                    self._not_connected(client, "no connection")
                else:
                    client.leave("no answer", client.retry_ms)
            except OSError as error:
                self._not_connected(client, _reason(error))

    async def _connect(self, client: Client) -> None:
        """Returns when the client is answered or its connection has ended again."""
        loop = asyncio.get_running_loop()
        target = self._job.target
        client.prepare(self._request(client), self.timer())
        slow_rate = self.habits.slow_rate if client.assignment.slow else None
        sock = _socket(target.address, client.assignment.source, slow_rate)
        try:
            await _connected(sock, (target.address, target.port))
            host = target.host if self._tls else None
            answer = self._answers[client] = loop.create_future()
            await loop.create_connection(
                lambda: client, sock=sock, ssl=self._tls, server_hostname=host
            )
        except BaseException:
            sock.close()
            raise
        await answer

    def _request(self, client: Client) -> bytes:
        job = self._job
        path = job.target.path.replace("{wallet}", client.assignment.wallet)
        query = f"?{job.habits.query}" if job.habits.query else ""
        host = f"[{job.target.host}]" if ":" in job.target.host else job.target.host
        lines = [
            f"GET {path}{query} HTTP/1.1",
            f"Host: {host}:{job.target.port}",
            "Accept: text/event-stream",
            "Cache-Control: no-cache",
            "User-Agent: wd-load",
        ]
        if client.assignment.key is not None:
            lines.append(f"Authorization: Bearer {job.keys[client.assignment.key]}")
        if client.position.run:
            lines.append(f"Last-Event-ID: {client.position.last_event_id}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _not_connected(self, client: Client, reason: str) -> None:
        client.ending = client.ending or reason
        self.closed(client)

    def _settle(self, client: Client) -> None:
        """Whoever waits for this client's answer need not wait any longer."""
        answer = self._answers.pop(client, None)
        if answer is not None and not answer.done():
            answer.set_result(None)

    def _come_back(self, client: Client) -> None:
        if client.retry_ms is None:
            self._over += 1
            self._never += not client.opened
            self.tally.given_up += client.ending not in FINISHED
            if self._over == len(self._clients):
                self.end()
            return
        seconds = client.retry_ms / 1000 * 2 ** min(client.failures, DOUBLINGS)
        seconds *= 1 + JITTER * self._random.random()
        client.failures += 1
        asyncio.get_running_loop().call_later(seconds, self._line_up, client)

    async def _drop_some(self) -> None:
        """The churn: one of those that are open drops without a word, so many times a minute."""
        while self.habits.churn:
            pace = self._open * self.habits.churn / 100 / 60
            await asyncio.sleep(min(1.0, 1 / pace) if pace else 1.0)
            if self._random.random() >= min(1.0, pace):  # less than one a second
                continue
            for _ in range(DRAWS):
                client = self._random.choice(self._clients)
                if client.streaming and not client.due and not client.ending:
                    client.leave("churn", client.retry_ms)
                    break

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self.clock()
            for client in self._clients:
                transport = client.transport
                if transport is None or not client.streaming:
                    continue
                silent = now - client.heard
                if client.ending:
                    if silent > CLOSE_SECONDS:
                        transport.abort()
                elif silent > SILENCE_SECONDS and not client.assignment.slow:
                    client.leave("silent", client.retry_ms)

    def _leave_all(self) -> None:
        tally = self.tally
        for client in self._clients:
            tally.holes += client.position.holes
            is_open = client.transport is not None and client.streaming
            stays = is_open and not client.ending
            if is_open:
                bump(tally.closes, client.ending or "end of test")
                if client.retry_ms is None:
                    tally.given_up += client.ending not in FINISHED
            if client.opened and not stays and client.retry_ms is not None:
                tally.absent += 1
            if stays and not client.assignment.slow:
                tally.note_position(client.assignment.wallet, client.position.place)
            if client.transport is not None:
                client.transport.close()


def _socket(address: str, source: str | None, slow_rate: int | None) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setblocking(False)
    if slow_rate is not None:  # before it connects: the window is agreed on then
        least, most = SLOW_BUFFER_BYTES
        size = min(most, max(least, int(slow_rate * SLOW_BUFFER_SECONDS)))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    if source is not None:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
    return sock


async def _connected(sock: socket.socket, address: tuple[str, int]) -> None:
    """Like the loop's `sock_connect`, which has a thread resolve what is an address already, and
    watches the socket also where, as on the loopback, the handshake is over when connect() comes
    back. The two took a third of the time of opening a stream."""
    error = sock.connect_ex(address)
    if error == errno.EINPROGRESS:
        error = sock.connect_ex(address)
    if error == errno.EALREADY:
        loop = asyncio.get_running_loop()
        writable = asyncio.Event()
        loop.add_writer(sock, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _tls_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'failed'}"
    return (error.strerror or type(error).__name__).lower()
