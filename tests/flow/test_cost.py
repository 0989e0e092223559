"""What streams and events cost in system calls. These are counts: a busy machine doesn't change
them, and where it may, the bound says why and is far below one call a stream."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from eventsource import EventSource
from processes import Server, Simulator, server, simulator
from syscalls import Call, Trace, on, traced

FOLLOWERS = 50
# Transactions appended at once, of which at least so many are trades.
BURST, BURST_TRADES = 90, 50
# Writes of a burst to a stream: one. On a busy machine a pass takes longer than the quarter of a
# second after which what it has read so far is stored, and each part is a write.
BURST_WRITES = 3
OPENED = 25
# What a stream costs to open: its socket accepted, its options and two addresses asked for by the
# loop, the request read, head and first events written; and three registrations with the kernel's
# poll: the new socket, and again (refused, then changed) because the loop stops and starts reading
# when the stream becomes the transport's protocol. The loop hands several to the kernel in a call
# where it can: 73 for 25 streams on a quiet machine, 97 to 99 were seen on a busy one.
ON_ITS_SOCKET = Counter(("setsockopt", "getsockname", "getpeername", "read", "write"))
REGISTRATIONS = 4
# Streams opened whose history is read anew for them, and written after their head: every 30 seconds
# a channel forgets it.
FORGOTTEN = 1
# Calls that aren't for a stream while something is done for all of them: wake-ups by the journal's
# thread, log lines and, on a slow machine, a poll of the upstream. Fewer than one for each stream.
OTHER_CALLS = 20
FEW, MANY = 10, 60
BEATS = 3
# Calls in an idle second. The loop measures its lag ten times in it and looks at three other
# timers, each of which it waits for in two calls: 24; in the second in which the list of followed
# wallets is written and the disk is probed, 53 at most were seen. One more for each stream would be
# MANY more.
IDLE_CALLS = 70
# Seconds between two looks for new trades, for tests in which nobody is to look.
NEVER = 3600
# Transactions of a wallet whose history fits into a socket's send buffer: one write takes it.
SIZE = 45

WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}
Streams = list[EventSource]


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    """A chain of its own, so that its wallets grow by what these tests append."""
    with simulator("--only", "--warm", "--wallets", f"{SIZE}x1") as started:
        yield started


@pytest.fixture(scope="module")
def followed(
    market: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Trace, Streams, list[int]]]:
    """FOLLOWERS who have seen everything there is: their streams, and their files in the server."""
    folder = tmp_path_factory.mktemp("followed")
    with (
        server(folder, market.url, POLL_SECONDS=1) as started,
        traced(started, folder / "trace") as trace,
        ExitStack() as stack,
    ):
        streams = _followers(stack, started, market.wallet(SIZE), FOLLOWERS)
        yield trace, streams, _files(trace.between(0, trace.mark()))


def test_a_live_trade_costs_each_follower_one_write_and_its_summary_another(
    market: Simulator, followed: tuple[Trace, Streams, list[int]]
) -> None:
    trace, streams, files = followed
    calls = _calls_for_trades(trace, streams, lambda: _one_trade(market))
    for own in on(files, calls).values():
        *earlier, trade, summary = _sent(own)
        assert (trade, summary) == ("trade", "summary")
        # What was appended before the trade was none, and changed the totals at most.
        assert set(earlier) <= {"summary"}

    others = _others(_span(calls, "trade"), files)
    print(f"{len(others)} calls that are for no follower")
    assert len(others) <= OTHER_CALLS


def test_a_burst_of_trades_costs_each_follower_one_write(
    market: Simulator, followed: tuple[Trace, Streams, list[int]]
) -> None:
    trace, streams, files = followed
    new: list[str] = []

    def burst() -> list[str]:
        new.extend(market.append(market.wallet(SIZE), BURST))
        return new

    calls = _calls_for_trades(trace, streams, burst)
    assert len(new) >= BURST_TRADES
    for own in on(files, calls).values():
        *trades, summary = _sent(own)
        assert set(trades) == {"trade"}
        assert len(trades) <= BURST_WRITES
        assert summary == "summary"


def test_opening_a_stream_takes_nine_calls_and_its_head_and_first_events_leave_in_one_write(
    market: Simulator, tmp_path: Path
) -> None:
    with (
        server(tmp_path, market.url, POLL_SECONDS=NEVER) as started,
        traced(started, tmp_path / "trace") as trace,
        ExitStack() as stack,
    ):
        _followers(stack, started, market.wallet(SIZE), 1)
        start = trace.mark()
        _followers(stack, started, market.wallet(SIZE), OPENED)
        calls = trace.between(start, trace.mark())
    files = _files(calls)
    assert len(files) == OPENED
    opening = _opening(calls, files)
    late = 0
    for own in map(_since_closed, on(files, opening).values()):
        first, *later = [call.arguments for call in own if call.name == "write"]
        head, events = (
            r'"HTTP/1\.1 200 OK\\r\\n.*\\r\\n\\r\\n',
            r"[\da-f]+\\r\\nevent: connected\\n",
        )
        assert re.search(head + events, first)
        late += len(later)
        # Registrations are made on the poll's own descriptor, or by io_uring.
        spent = Counter(call.name for call in own)
        assert spent - Counter(write=len(later)) == ON_ITS_SOCKET
    assert late <= FORGOTTEN
    others = Counter(call.name for call in _others(opening, files))
    print(f"{len(_others(opening, ())) / OPENED:.2f} calls to open a stream")
    registrations = others.pop("io_uring_enter", 0) + others.pop("epoll_ctl", 0)
    assert registrations <= REGISTRATIONS * OPENED + OTHER_CALLS
    assert others.pop("accept4") <= OPENED + OTHER_CALLS
    # Whatever else is done on a busy machine, nothing is done for each stream.
    assert all(count < OPENED for count in others.values()), others


def test_a_heartbeat_costs_one_write_and_an_idle_second_the_same_however_many_streams_there_are(
    market: Simulator, tmp_path: Path
) -> None:
    with (
        server(tmp_path, market.url, POLL_SECONDS=NEVER, SSE_KEEPALIVE_INTERVAL=1) as started,
        traced(started, tmp_path / "trace") as trace,
        ExitStack() as stack,
    ):
        for more in (FEW, MANY - FEW):
            streams = _followers(stack, started, market.wallet(SIZE), more)
            # The look at the history when the wallet's subscription stands.
            started.wait_for_at_least('analyses_total{outcome="complete"}', 2)
            start = trace.mark()
            files = _files(trace.between(0, start))
            newest = files[-1]
            calls = trace.between(start)
            while len(on([newest], calls)[newest]) < BEATS:
                streams[-1].take("heartbeat", 1)
                calls = trace.between(start)
            for own in on(files, calls).values():
                assert set(_sent(own, "heartbeat")) == {"heartbeat"}
                assert len(own) >= BEATS - 1
            idle = max(_stretches(calls, files))
            print(f"{len(files)} streams: {idle} calls in an idle second")
            assert idle <= IDLE_CALLS


def _since_closed(calls: Sequence[Call]) -> Sequence[Call]:
    """Without those on a file that had the number before the stream: one in which the server tries
    whether the disk takes anything."""
    closed = [number for number, call in enumerate(calls, 1) if call.name == "close"]
    return calls[max(closed, default=0) :]


def _followers(stack: ExitStack, started: Server, wallet: str, count: int) -> Streams:
    """So many that have seen the wallet's history, opened one after the other."""
    streams = []
    for _ in range(count):
        streams.append(stack.enter_context(EventSource(started.stream(wallet, "follow=true"))))
        streams[-1].until("complete")
    return streams


def _one_trade(market: Simulator) -> list[str]:
    while not (new := market.append(market.wallet(SIZE), 1)):
        pass
    return new


def _calls_for_trades(
    trace: Trace, streams: Streams, happen: Callable[[], list[str]]
) -> list[Call]:
    """Everything that is done until all have these trades and the totals after them."""
    start = trace.mark()
    last = happen()[-1]
    for stream in streams:
        next(event for event in stream if event.data.get("signature") == last)
        stream.until("summary")
    return trace.between(start, trace.mark())


def _files(calls: Sequence[Call]) -> list[int]:
    """Those on which streams were asked for, in that order."""
    asked = [call for call in calls if call.name == "read" and '"GET /v4/wallet/' in call.arguments]
    return [call.file for call in asked]


def _opening(calls: Sequence[Call], files: Sequence[int]) -> Sequence[Call]:
    """From the first stream's connection to the last call for a stream."""
    accepted = [
        number
        for number, call in enumerate(calls)
        if call.name == "accept4" and call.result == str(files[0])
    ]
    last = max(number for number, call in enumerate(calls) if call.file in files)
    return calls[accepted[-1] : last + 1]


def _sent(calls: Sequence[Call], *also: str) -> list[str]:
    """The first event of each write. Nothing but writes is done; heartbeats, which come when they
    are due, count if they are asked for."""
    assert {call.name for call in calls} <= {"write"}
    names = [_event(call) for call in calls]
    return [name for name in names if name != "heartbeat" or name in also]


def _event(call: Call) -> str:
    """The event that a write begins with; all of it but the end of long ones was seen."""
    begun = re.match(r'\d+, "[\da-f]+\\r\\nevent: (\w+)\\ndata: ', call.arguments)
    assert begun is not None, call
    return begun.group(1)


def _span(calls: Sequence[Call], event: str) -> Sequence[Call]:
    """From the first write of this event to the last one."""
    at = [number for number, call in enumerate(calls) if f"event: {event}\\n" in call.arguments]
    return calls[at[0] : at[-1] + 1]


def _others(calls: Sequence[Call], files: Sequence[int]) -> list[Call]:
    """What isn't done on these files. The loop's waits depend on how fast it is."""
    return [call for call in calls if call.file not in files and call.name not in WAITS]


def _stretches(calls: Sequence[Call], files: Sequence[int]) -> list[int]:
    """How many calls lie between two on these files."""
    at = [number for number, call in enumerate(calls) if call.file in files]
    return [later - earlier - 1 for earlier, later in pairwise(at)]
