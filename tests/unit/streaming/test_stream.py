"""Streams, their channel and the registry together, on a real journal; the socket is played."""

import asyncio
import gzip
import json
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from chunks import Chunks
from structlog.testing import capture_logs

from wd_server.chain.turns import Tenant
from wd_server.embedded.journal import SqliteJournal
from wd_server.errors import AtCapacity, Draining, StoreUnavailable, UpstreamUnavailable
from wd_server.events import event
from wd_server.events.ids import EventId
from wd_server.journal.base import Entry, Lease, NewEntry
from wd_server.streaming import channel as channels
from wd_server.streaming.channel import Channel, UnreadableId
from wd_server.streaming.connection import Limits
from wd_server.streaming.demand import StreamRequest
from wd_server.streaming.lifecycle import CloseReason, StreamState
from wd_server.streaming.registry import PAGE_READS, StreamRegistry
from wd_server.streaming.stream import Stream
from wd_server.streaming.view import View

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
FOLLOW = View(follow=True)
ASKED = StreamRequest(Tenant("ip:192.0.2.1"), 0.0)
# Seconds after which what never comes, or a loop that gives nobody a turn, fails a test.
PATIENCE = 20
LIMITS = Limits(heartbeat_seconds=3, write_timeout=5, stream_seconds=0, max_streams=100)


class Socket(asyncio.Transport):
    """A transport whose peer reads only when told to. `writes` are as they go out, `received` is
    what they mean; `ended`: the peer was told that the stream ended."""

    def __init__(self, protocol: Stream) -> None:
        super().__init__()
        self._protocol = protocol
        self._tcp = _connected()
        self._chunks = Chunks() if protocol.chunked else None
        self.received = b""
        self.writes: list[bytes] = []
        self.unsent = 0
        self.reading = True
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tcp if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: Any) -> None:
        assert not self.closing
        self.writes.append(data)
        self.received += data if self._chunks is None else self._chunks.feed(data)
        if not self.reading:
            self.unsent += len(data)
            if self.unsent == len(data):
                self._protocol.pause_writing()

    def read_on(self) -> None:
        self.reading, self.unsent = True, 0
        self._protocol.resume_writing()

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.lose()

    def lose(self) -> None:
        """What the loop does when the connection is gone."""
        self._tcp.close()
        self._protocol.connection_lost(None)

    @property
    def ended(self) -> bool:
        return self._chunks is not None and self._chunks.ended

    def events(self) -> list[tuple[str, str | None, dict[str, Any]]]:
        found = []
        for block in self.received.decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
        return found

    def names(self) -> list[str]:
        return [name for name, _, _ in self.events()]

    def ids(self) -> list[int]:
        return [int(text.split("-")[1]) for _, text, _ in self.events() if text is not None]


def _names(text: bytes) -> list[str]:
    return re.findall(r"(?m)^event: (\w+)$", text.decode())


def _connected() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    client.close()
    return accepted


class Nobody:
    """A source that fills nothing by itself."""

    def __init__(self) -> None:
        self.attending = 0

    def join(
        self, wallet: str, observer: Channel, follow: bool, tenant: Tenant, *, held: bool
    ) -> None:
        self.attending += 1

    def leave(self, wallet: str, follow: bool, tenant: Tenant) -> None:
        self.attending -= 1


class Bench:
    def __init__(self, journal: SqliteJournal, limits: Limits) -> None:
        self.journal = journal
        self.source = Nobody()
        self.registry = StreamRegistry(limits, journal, self.source, lambda: 1000.0, Random(1))
        self.lease: Lease | None = None
        self.epoch = 0

    async def begin(self) -> None:
        self.lease = self.lease or await self.journal.acquire(WALLET)
        assert self.lease is not None
        self.epoch = await self.journal.begin(self.lease, 1000.0)

    async def append(self, *kinds: str) -> None:
        if not self.epoch:
            await self.begin()
        assert self.lease is not None
        entries = [NewEntry(kind, b'{"kind":"%b"}' % kind.encode()) for kind in kinds]
        await self.journal.append(self.lease, self.epoch, entries, b"", 1000.0)
        await settled()

    async def admit(self, view: View = FOLLOW, after: EventId | None = None) -> Stream:
        channel = await self.registry.channel(WALLET)
        return self.registry.admit(channel, view, after, ASKED)

    async def open(
        self,
        view: View = FOLLOW,
        after: EventId | None = None,
        *,
        chunked: bool = True,
        compressed: bool = False,
    ) -> tuple[Stream, Socket]:
        stream = await self.admit(view, after)
        stream.answer(b"", chunked=chunked, compressed=compressed)
        transport = Socket(stream)
        stream.connection_made(transport)
        await settled()
        return stream, transport

    def seconds(self, count: int) -> None:
        for _ in range(count):
            self.registry.on_second()

    async def pass_seconds(self, count: int) -> None:
        for _ in range(count):
            self.seconds(1)
            await settled()


async def settled() -> None:
    """Until the loop has nothing more to do but wait for a thread or a socket, and those too."""
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    for _ in range(20):
        await asyncio.sleep(0)


def in_house(
    tmp_path: Path, scene: Callable[[Bench], Awaitable[None]], limits: Limits = LIMITS
) -> None:
    async def play() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        bench = Bench(journal, limits)
        try:
            await scene(bench)
        finally:
            bench.registry.close()
            await journal.close()

    asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    """Until a thread's answer has come round. Waiting for a thread lets the journal's run as well:
    a loop that only spins would keep the interpreter from them for seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not condition():
        assert loop.time() < deadline, "what was waited for never came"
        await loop.run_in_executor(None, lambda: None)


def test_the_first_write_has_the_greeting_and_what_follows_is_in_order(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade")
        stream = await bench.admit()
        stream.answer(b"HTTP/1.0 200 OK\r\n\r\n", chunked=False, compressed=False)
        transport = Socket(stream)
        stream.connection_made(transport)
        assert transport.writes[0].startswith(b"HTTP/1.0 200 OK\r\n\r\nevent: connected\n")
        transport.received = transport.received.partition(b"\r\n\r\n")[2]
        await until(lambda: len(transport.names()) == 3)
        await bench.append("trade")
        assert transport.ids() == [1, 2, 3]
        assert stream.state is StreamState.LIVE

    in_house(tmp_path, scene)


def test_a_client_resumes_behind_the_id_it_names(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade", "trade")
        _, transport = await bench.open(after=EventId(bench.epoch, 2))
        await until(lambda: len(transport.ids()) == 1)
        assert transport.ids() == [3]
        assert transport.events()[0][2]["resumed"] is True

    in_house(tmp_path, scene)


@pytest.mark.parametrize(("older", "seq", "reason"), [(1, 1, "expired"), (-1, 1, "unknown_id")])
def test_an_id_of_another_epoch_is_a_gap_and_the_whole_history_follows(
    tmp_path: Path, older: int, seq: int, reason: str
) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade")
        _, transport = await bench.open(after=EventId(bench.epoch - older, seq))
        await until(lambda: len(transport.ids()) == 2)
        (_, _, connected), (name, _, gap), *_ = transport.events()
        assert (name, gap["reason"], connected["resumed"]) == ("gap", reason, False)
        assert (gap["from"], gap["to"]) == (f"{bench.epoch - older}-{seq}", f"{bench.epoch}-2")

    in_house(tmp_path, scene)


def test_an_id_from_the_future_is_a_gap(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade")
        _, transport = await bench.open(after=EventId(bench.epoch, 2))
        await until(lambda: transport.ids() == [1])
        assert transport.events()[1][2]["reason"] == "unknown_id"

    in_house(tmp_path, scene)


def test_a_journal_that_begins_anew_under_a_stream_is_a_gap(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade")
        _, transport = await bench.open()
        await until(lambda: transport.ids() == [1, 2])
        before = bench.epoch
        await bench.begin()
        await bench.append("trade")
        await until(lambda: transport.ids() == [1, 2, 1])
        gap = next(data for name, _, data in transport.events() if name == "gap")
        assert gap == {"reason": "reset", "from": f"{before}-2", "to": f"{bench.epoch}-1"}

    in_house(tmp_path, scene)


def test_one_who_comes_before_the_first_epoch_sees_no_gap(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        _, transport = await bench.open()
        await bench.append("trade")
        assert transport.names() == ["connected", "trade"]

    in_house(tmp_path, scene)


def test_a_client_that_does_not_read_costs_one_write_and_gets_the_rest_later(
    tmp_path: Path,
) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade")
        stream, transport = await bench.open()
        await until(lambda: transport.ids() == [1])
        transport.reading = False
        for _ in range(50):
            await bench.append(*["trade"] * 20)
        assert transport.ids() == [*range(1, 22)]
        assert stream.state is StreamState.REPLAYING
        assert bench.registry.statistics().demotions == 1
        transport.read_on()
        await until(lambda: stream.seq == 1001)
        assert transport.ids() == [*range(1, 1002)]
        assert stream.state is StreamState.LIVE

    in_house(tmp_path, scene)


def test_one_who_does_not_follow_ends_with_a_complete_that_nothing_overtakes(
    tmp_path: Path,
) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "complete")
        stream, transport = await bench.open(View())
        await until(lambda: transport.ids() == [1])
        await bench.append("trade", "complete")
        await until(lambda: transport.ids() == [1, 3])
        stream.channel.on_settled()
        await settled()
        assert transport.ids() == [1, 3, 4]
        assert transport.closing
        assert stream.reason is CloseReason.COMPLETE

    in_house(tmp_path, scene)


def test_the_last_batch_says_so_though_its_complete_may_still_be_overtaken(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade", "complete")
        _, transport = await bench.open(View(batch=5))
        await until(lambda: transport.ids() == [2])
        assert b'"has_more":false' in transport.received
        assert b"event: complete" not in transport.received

    in_house(tmp_path, scene)


def test_a_follower_stays_after_the_complete(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "complete")
        stream, transport = await bench.open()
        stream.channel.on_settled()
        await bench.append("trade")
        await until(lambda: transport.ids() == [1, 2, 3])
        assert not transport.closing

    in_house(tmp_path, scene)


def test_streams_at_one_position_are_given_the_very_same_bytes(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade")
        opened = [await bench.open() for _ in range(3)]
        await until(lambda: all(transport.ids() == [1] for _, transport in opened))
        await bench.append("trade", "trade")
        first, *others = [transport.writes[-1] for _, transport in opened]
        assert first.count(b"event: trade") == 2
        assert all(other is first for other in others)

    in_house(tmp_path, scene)


def test_compressed_streams_at_one_position_share_what_was_deflated_once(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        sockets = [(await bench.open(compressed=True))[1] for _ in range(2)]
        _, plain = await bench.open()
        await bench.append("trade", "trade")
        first, second = sockets
        assert first.writes[-1] is second.writes[-1]
        assert first.writes[-1] != plain.writes[-1]

    in_house(tmp_path, scene)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_compressed_stream_is_whole_however_it_ends(tmp_path: Path, chunked: bool) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade")
        after = EventId(bench.epoch + 7, 1)
        stream, transport = await bench.open(after=after, chunked=chunked, compressed=True)
        await until(lambda: stream.seq == 2)
        stream.bye(CloseReason.SHUTDOWN, 1500)
        early = await bench.admit()
        early.answer(b"", chunked=chunked, compressed=True)
        early.bye(CloseReason.SHUTDOWN, 1500)
        told = Socket(early)
        early.connection_made(told)
        assert _names(gzip.decompress(transport.received)) == [
            *("connected", "gap", "trade", "trade", "bye")
        ]
        assert _names(gzip.decompress(told.received)) == ["connected", "bye"]
        assert transport.ended is told.ended is chunked

    in_house(tmp_path, scene)


def test_silence_is_broken_by_a_heartbeat_and_an_event_puts_it_off(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        _, transport = await bench.open()
        await bench.pass_seconds(2)
        await bench.append("trade")
        await bench.pass_seconds(2)
        assert "heartbeat" not in transport.names()
        await bench.pass_seconds(1)
        assert transport.names()[-1] == "heartbeat"
        await bench.pass_seconds(3)
        assert transport.names().count("heartbeat") == 2

    in_house(tmp_path, scene)


def test_a_client_may_ask_for_a_shorter_or_longer_silence_than_others_have(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        channel = await bench.registry.channel(WALLET)
        sockets = []
        for seconds in (2, None, 5):
            stream = bench.registry.admit(channel, FOLLOW, None, ASKED, seconds)
            sockets.append(Socket(stream))
            stream.connection_made(sockets[-1])
        told = [transport.events()[0][2]["heartbeat_seconds"] for transport in sockets]
        assert told == [2, LIMITS.heartbeat_seconds, 5]
        await bench.pass_seconds(30)
        assert [transport.names().count("heartbeat") for transport in sockets] == [15, 10, 6]

    in_house(tmp_path, scene)


def test_streams_with_a_heartbeat_of_their_own_share_pages_with_others(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        channel = await bench.registry.channel(WALLET)
        sockets = []
        for seconds in (5, None):
            stream = bench.registry.admit(channel, FOLLOW, None, ASKED, seconds)
            stream.answer(b"", chunked=True, compressed=False)
            sockets.append(Socket(stream))
            stream.connection_made(sockets[-1])
        await bench.append("trade")
        assert sockets[0].writes[-1] is sockets[1].writes[-1]

    in_house(tmp_path, scene)


def test_a_client_that_takes_nothing_is_told_and_closed_as_slow(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        stream, transport = await bench.open()
        transport.reading = False
        await bench.append("trade")
        await bench.pass_seconds(LIMITS.write_timeout - 1)
        assert not transport.closing
        await bench.pass_seconds(2)
        assert transport.closing
        assert transport.names()[-1] == "bye"
        assert stream.reason is CloseReason.SLOW
        await bench.pass_seconds(6)
        assert stream.state is StreamState.CLOSED
        assert bench.registry.statistics().closed == {"slow": 1}

    in_house(tmp_path, scene)


def test_a_client_that_takes_a_little_now_and_then_is_kept(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        _, transport = await bench.open()
        transport.reading = False
        await bench.append("trade")
        for _ in range(4 * LIMITS.write_timeout):
            transport.unsent -= 1
            await bench.pass_seconds(1)
        assert not transport.closing

    in_house(tmp_path, scene)


def test_a_life_ends_between_four_fifths_and_the_whole_of_what_is_allowed(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        opened = [await bench.open() for _ in range(20)]
        ends = {}
        for second in range(1, 101):
            await bench.pass_seconds(1)
            for stream, transport in opened:
                if transport.closing:
                    ends.setdefault(stream.stream_id, second)
                    assert stream.reason is CloseReason.LIFETIME
        assert len(ends) == 20
        assert 80 <= min(ends.values()) < max(ends.values()) <= 100

    in_house(tmp_path, scene, Limits(3, 5, 100, 100))


def test_an_id_that_cannot_be_read_is_a_gap_and_the_whole_history_follows(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade")
        channel = await bench.registry.channel(WALLET)
        stream = bench.registry.admit(channel, FOLLOW, UnreadableId(), ASKED)
        transport = Socket(stream)
        stream.connection_made(transport)
        await until(lambda: len(transport.ids()) == 2)
        (_, _, connected), (name, _, gap), *_ = transport.events()
        assert (name, connected["resumed"]) == ("gap", False)
        assert gap == {"reason": "unknown_id", "from": "", "to": f"{bench.epoch}-2"}
        assert bench.registry.statistics().resumes == {"unknown_id": 1}

    in_house(tmp_path, scene)


def test_the_first_reason_wins(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        stream, transport = await bench.open()
        stream.fail(UpstreamUnavailable("The chain doesn't answer.", retry_after=5))
        stream.bye(CloseReason.SHUTDOWN, 1000)
        transport.lose()
        assert transport.names() == ["connected", "error"]
        assert bench.registry.statistics().closed == {"error": 1}
        assert bench.registry.statistics().error_rate == 100

    in_house(tmp_path, scene)


def test_an_end_that_comes_before_the_socket_is_told_with_the_greeting(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        stream = await bench.admit()
        stream.fail(UpstreamUnavailable("The chain doesn't answer."))
        transport = Socket(stream)
        stream.connection_made(transport)
        assert transport.names() == ["connected", "error"]
        assert transport.closing

    in_house(tmp_path, scene)


def test_a_socket_that_never_comes_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        stream = await bench.admit()
        stream.abandon()
        statistics = bench.registry.statistics()
        assert (statistics.active, statistics.channels, bench.source.attending) == (0, 0, 0)
        assert statistics.closed == {"client_gone": 1}

    in_house(tmp_path, scene)


def test_the_last_one_to_leave_closes_the_channel_and_stops_the_wheel(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        opened = [await bench.open() for _ in range(3)]
        for _, transport in opened:
            transport.lose()
        statistics = bench.registry.statistics()
        assert (statistics.active, statistics.channels, bench.source.attending) == (0, 0, 0)
        assert len(bench.registry.wheel) == 0
        await bench.append("trade")
        assert all(transport.ids() == [] for _, transport in opened)

    in_house(tmp_path, scene)


def test_progress_is_shown_to_newcomers_and_never_goes_back(tmp_path: Path) -> None:
    def progress(percentage: int) -> event.Progress:
        return event.Progress("", percentage, "processing_trades", 0, 0, 0, 0)

    async def scene(bench: Bench) -> None:
        stream, early = await bench.open()
        stream.channel.on_progress(progress(40))
        await settled()
        _, late = await bench.open()
        stream.channel.on_progress(progress(20))
        stream.channel.on_progress(progress(60))
        await settled()
        for transport in (early, late):
            shown = [
                data["percentage"] for name, _, data in transport.events() if name != "connected"
            ]
            assert shown == [40, 60]

    in_house(tmp_path, scene)


def test_a_client_that_was_behind_still_sees_the_last_progress(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        stream, transport = await bench.open()
        transport.reading = False
        await bench.append("trade")
        stream.channel.on_progress(event.Progress("", 100, "complete", 0, 0, 0, 0))
        await settled()
        assert "progress" not in transport.names()
        transport.read_on()
        assert transport.names()[-1] == "progress"

    in_house(tmp_path, scene)


def test_one_too_many_is_refused_and_there_is_room_again_when_one_leaves(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        _, transport = await bench.open()
        with pytest.raises(AtCapacity) as refusal:
            await bench.admit()
        assert refusal.value.retry_after is not None
        transport.lose()
        await bench.open()
        assert bench.registry.statistics().refused == {"AT_CAPACITY": 1}

    in_house(tmp_path, scene, Limits(3, 5, 0, 1))


def test_a_drain_sends_everybody_away_and_takes_nobody(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        opened = [await bench.open() for _ in range(3)]
        draining = asyncio.ensure_future(bench.registry.drain(5))
        await until(lambda: all(transport.closing for _, transport in opened))
        with pytest.raises(Draining):
            await bench.admit()
        waits = set()
        for _, transport in opened:
            name, _, bye = transport.events()[-1]
            assert (name, bye["reason"]) == ("bye", "shutdown")
            assert b"retry: %d\n" % bye["reconnect_after_ms"] in transport.received
            waits.add(bye["reconnect_after_ms"])
            transport.lose()
        assert len(waits) == 3
        await draining
        assert bench.registry.statistics().closed == {"shutdown": 3}

    in_house(tmp_path, scene)


def test_a_read_that_fails_ends_the_stream_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> Sequence[Entry]:
        raise StoreUnavailable("The store is away.")

    async def scene(bench: Bench) -> None:
        await bench.append("trade")
        monkeypatch.setattr(bench.journal, "read", fails)
        _, transport = await bench.open()
        assert transport.names() == ["connected", "error"]
        assert transport.events()[-1][2]["code"] == "STORE_UNAVAILABLE"

    in_house(tmp_path, scene)


def test_an_odd_entry_ends_its_wallets_streams_with_an_error_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade")
        read = bench.journal.read

        async def odd(wallet: str, *position: int) -> Sequence[Entry]:
            if wallet == WALLET:
                raise KeyError("a field is missing")
            return await read(wallet, *position)

        monkeypatch.setattr(bench.journal, "read", odd)
        with capture_logs() as logs:
            for _ in range(2 * PAGE_READS):  # none of them keeps its turn at the journal
                _, transport = await bench.open()
                await until(lambda: transport.closing)  # noqa: B023
                assert transport.names() == ["connected", "error"]
                assert transport.events()[-1][2]["code"] == "INTERNAL_ERROR"
        assert logs[0]["wallet"] == WALLET
        failures = bench.registry.tasks.statistics().failures
        assert failures["page"] == 2 * PAGE_READS
        monkeypatch.undo()
        _, transport = await bench.open()
        await until(lambda: transport.ids() == [1])

    in_house(tmp_path, scene)


def test_what_is_kept_for_nearly_everybody_is_bounded(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        stream, transport = await bench.open()
        for _ in range(10):
            await bench.append(*["trade"] * 200)
        assert len(transport.ids()) == 2000
        kept = stream.channel._recent
        assert len(kept) <= 2 * channels.RECENT_ENTRIES
        stream.channel.forget()
        assert stream.channel._recent == []
        await bench.append("trade")
        assert transport.ids()[-1] == 2001

    in_house(tmp_path, scene)


def test_visits_leave_the_loop_to_others_between_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wd_server.streaming.registry.SLICE_SECONDS", 0.0)
    monkeypatch.setattr("wd_server.streaming.registry.VISITS_A_LOOK", 1)

    async def scene(bench: Bench) -> None:
        opened = [await bench.open() for _ in range(5)]
        turns: list[str] = []
        bench.registry.visit([stream for stream, _ in opened], lambda _: turns.append("visit"))
        loop = asyncio.get_running_loop()

        def other() -> None:
            turns.append("other")
            if turns.count("visit") < 5:
                loop.call_soon(other)

        loop.call_soon(other)
        await settled()
        assert turns.count("visit") == 5
        assert "visit visit" not in " ".join(turns)

    in_house(tmp_path, scene)


def test_many_that_are_behind_at_places_of_their_own_cost_no_read_twice(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for _ in range(3):
            await bench.append(*["trade"] * 200)
        reads = []
        read = bench.journal.read

        async def counted(wallet: str, epoch: int, after: int, *limits: int) -> Sequence[Entry]:
            reads.append(after)
            return await read(wallet, epoch, after, *limits)

        bench.journal.read = counted  # type: ignore[method-assign, assignment]
        starts = range(0, 200, 2)
        streams = [await bench.admit(after=EventId(bench.epoch, start)) for start in starts]
        transports = [Socket(stream) for stream in streams]
        for stream, transport in zip(streams, transports, strict=True):
            stream.connection_made(transport)
        await until(lambda: all(stream.seq == 600 for stream in streams))
        for start, transport in zip(starts, transports, strict=True):
            assert transport.ids() == [*range(start + 1, 601)]
        assert len(reads) == len(set(reads))

    in_house(tmp_path, scene)


def test_a_bug_met_by_one_stream_drops_it_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(bench: Bench) -> None:
        opened = [await bench.open() for _ in range(3)]
        unlucky = opened[1][0]
        pump = Stream.pump

        def fails(stream: Stream) -> None:
            if stream is unlucky:
                raise ZeroDivisionError
            pump(stream)

        monkeypatch.setattr(Stream, "pump", fails)
        await bench.append("trade")
        assert [transport.ids() for _, transport in opened] == [[1], [], [1]]
        assert unlucky.state is StreamState.CLOSED
        await bench.append("trade")
        assert opened[2][1].ids() == [1, 2]

    in_house(tmp_path, scene)


def test_a_life_shorter_than_a_heartbeats_silence_ends_in_time_however_old_the_server(
    tmp_path: Path,
) -> None:
    async def scene(bench: Bench) -> None:
        bench.registry.wheel.now = 1000
        stream, transport = await bench.open()
        await bench.pass_seconds(10)
        assert transport.closing
        assert stream.reason is CloseReason.LIFETIME

    in_house(tmp_path, scene, Limits(15, 5, 10, 100))


def test_who_reads_while_a_new_epoch_begins_waits_for_its_first_entry(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.append("trade", "trade")
        channel = await bench.registry.channel(WALLET)
        stream = bench.registry.admit(channel, FOLLOW, None, ASKED)
        await bench.begin()
        transport = Socket(stream)
        stream.connection_made(transport)
        await settled()
        assert transport.names() == ["connected"]
        await bench.append("trade")
        await until(lambda: transport.ids() == [1])
        assert "error" not in transport.names()

    in_house(tmp_path, scene)


def test_a_channel_dropped_in_the_turn_that_opened_it_is_opened_anew(tmp_path: Path) -> None:
    def stuck(*_: object) -> None:
        raise AssertionError("the loop never had another turn")

    async def scene(bench: Bench) -> None:
        first = asyncio.get_running_loop().create_task(bench.registry.channel(WALLET))
        while not bench.registry.statistics().channels:  # noqa: ASYNC110 - in that very turn
            await asyncio.sleep(0)
        for _ in range(3):
            channel = await bench.registry.channel(WALLET)
            bench.registry.drop_unused(channel)
        bench.registry.drop_unused(await first)
        assert bench.registry.statistics().channels == 0

    earlier = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(PATIENCE)
    try:
        in_house(tmp_path, scene)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)
