"""The streams of one process: opened in time, dropped and brought back, and swept for dead ones."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from itertools import count
from random import Random

from wd_tools.load.frames import Blocks
from wd_tools.load.job import Job, Progress
from wd_tools.load.stream import FINISHED, Stream, StreamContext
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
# A stream that comes back waits the time it was told and up to so much more of it; after attempts
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


class StreamPool:
    """`clock` gives unix seconds, `timer` seconds that no one sets back."""

    def __init__(self, job: Job, clock: Callable[[], float], timer: Callable[[], float]) -> None:
        self.tally = Tally()
        self._habits = job.habits
        self._clock = clock
        self._timer = timer
        self._job = job
        self._random = Random(job.seed)
        context = StreamContext(
            job.habits, self.tally, Blocks(), clock, timer, self._answered, self._closed
        )
        self._streams = [Stream(context, assignment) for assignment in job.streams]
        # Streams that come back go before those that were never open.
        self._due: asyncio.PriorityQueue[tuple[bool, int, Stream]] = asyncio.PriorityQueue()
        self._turns = count()
        self._answers: dict[Stream, asyncio.Future[None]] = {}
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

    # What streams tell.

    def _answered(self, stream: Stream) -> None:
        self._open += 1
        self._settle(stream)

    def _closed(self, stream: Stream) -> None:
        if self._ended.is_set():
            return
        if stream.streaming:
            self._open -= 1
            bump(self.tally.closes, stream.ending)
        else:
            bump(self.tally.refusals, stream.ending)
        self._settle(stream)
        self._come_back(stream)

    # Its own ways.

    async def _let_in(self) -> None:
        """All streams, at the ramp's pace."""
        started = self._timer()
        ramp = self._job.ramp
        for number, stream in enumerate(self._streams):
            early = number / ramp - (self._timer() - started) if ramp else 0.0
            if early > 0:
                await asyncio.sleep(max(early, RAMP_STEP))
            self._line_up(stream)

    def _line_up(self, stream: Stream) -> None:
        self._due.put_nowait((not stream.opened, next(self._turns), stream))

    async def _connect_in_turn(self) -> None:
        while True:
            _, _, stream = await self._due.get()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._connect(stream)
            except TimeoutError:
                if stream.transport is None:
                    self._not_connected(stream, "no connection")
                else:
                    stream.leave("no answer", stream.retry_ms)
            except OSError as error:
                self._not_connected(stream, _reason(error))

    async def _connect(self, stream: Stream) -> None:
        """Returns when the stream is answered or its connection has ended again."""
        loop = asyncio.get_running_loop()
        target = self._job.target
        stream.prepare(self._request(stream), self._timer())
        slow_rate = self._habits.slow_rate if stream.assignment.slow else None
        sock = _socket(target.address, stream.assignment.source, slow_rate)
        try:
            await _connected(sock, (target.address, target.port))
            host = target.host if self._tls else None
            answer = self._answers[stream] = loop.create_future()
            await loop.create_connection(
                lambda: stream, sock=sock, ssl=self._tls, server_hostname=host
            )
        except BaseException:
            sock.close()
            raise
        await answer

    def _request(self, stream: Stream) -> bytes:
        job = self._job
        path = job.target.path.replace("{wallet}", stream.assignment.wallet)
        query = f"?{job.habits.query}" if job.habits.query else ""
        host = f"[{job.target.host}]" if ":" in job.target.host else job.target.host
        lines = [
            f"GET {path}{query} HTTP/1.1",
            f"Host: {host}:{job.target.port}",
            "Accept: text/event-stream",
            "Cache-Control: no-cache",
            "User-Agent: wd-load",
        ]
        if stream.assignment.key is not None:
            lines.append(f"Authorization: Bearer {job.keys[stream.assignment.key]}")
        if stream.position.epoch:
            lines.append(f"Last-Event-ID: {stream.position.last_event_id}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _not_connected(self, stream: Stream, reason: str) -> None:
        stream.ending = stream.ending or reason
        self._closed(stream)

    def _settle(self, stream: Stream) -> None:
        """Ends the wait for this stream's answer."""
        answer = self._answers.pop(stream, None)
        if answer is not None and not answer.done():
            answer.set_result(None)

    def _come_back(self, stream: Stream) -> None:
        if stream.retry_ms is None:
            self._over += 1
            self._never += not stream.opened
            self.tally.given_up += stream.ending not in FINISHED
            if self._over == len(self._streams):
                self.end()
            return
        seconds = stream.retry_ms / 1000 * 2 ** min(stream.failures, DOUBLINGS)
        seconds *= 1 + JITTER * self._random.random()
        stream.failures += 1
        asyncio.get_running_loop().call_later(seconds, self._line_up, stream)

    async def _drop_some(self) -> None:
        """The churn: one of those that are open drops without a word, so many times a minute."""
        while self._habits.churn:
            pace = self._open * self._habits.churn / 100 / 60
            await asyncio.sleep(min(1.0, 1 / pace) if pace else 1.0)
            if self._random.random() >= min(1.0, pace):  # less than one a second
                continue
            for _ in range(DRAWS):
                stream = self._random.choice(self._streams)
                if stream.streaming and not stream.due and not stream.ending:
                    stream.leave("churn", stream.retry_ms)
                    break

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._clock()
            for stream in self._streams:
                transport = stream.transport
                if transport is None or not stream.streaming:
                    continue
                silent = now - stream.heard
                if stream.ending:
                    if silent > CLOSE_SECONDS:
                        transport.abort()
                elif silent > SILENCE_SECONDS and not stream.assignment.slow:
                    stream.leave("silent", stream.retry_ms)

    def _leave_all(self) -> None:
        tally = self.tally
        for stream in self._streams:
            tally.holes += stream.position.holes
            is_open = stream.transport is not None and stream.streaming
            stays = is_open and not stream.ending
            if is_open:
                bump(tally.closes, stream.ending or "end of test")
                if stream.retry_ms is None:
                    tally.given_up += stream.ending not in FINISHED
            if stream.opened and not stays and stream.retry_ms is not None:
                tally.absent += 1
            if stays and not stream.assignment.slow:
                tally.note_position(stream.assignment.wallet, stream.position.place)
            if stream.transport is not None:
                stream.transport.close()


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
