"""Clients that read slowly or not at all: what they cost, and that they lose nothing."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event as Signal
from threading import Thread

from eventsource import Event, EventSource, Torn
from processes import Simulator, server

# Bytes a second that the slow client takes, and for how long it is that slow.
SLOW_BYTES, SLOW_SECONDS = 1024, 5
# What the kernel keeps for it, in bytes: hardly anything, so that the rest is the server's to keep.
RECEIVE_BUFFER = 2048
# What one slow client may cost the server, by contract.
MEMORY_BYTES = 1024 * 1024
# Slow clients at once when a whole history is sent: so many that what the allocator keeps of
# passing work, up to a megabyte, is little beside them.
REPLAYED = 8
# Slow clients at once when 5,000 live trades pass them by: a queue for each would hold 4 MB. So
# many that what the sync pass takes and gives back meanwhile, up to 40 MB, is little beside them.
SLOW_CLIENTS = 60
# How many of them are looked at to the end.
CHECKED = 6
# Transactions that are appended at a time, and how often until 5,000 trades are together.
APPENDED, APPENDS = 2600, 3
# The least that WRITE_TIMEOUT may be, in seconds.
WRITE_TIMEOUT = 5


def test_clients_at_one_kilobyte_a_second_cost_less_than_a_megabyte_each_and_get_every_trade(
    analysed: Path, chain: Simulator, large_wallet: str
) -> None:
    with server(analysed, chain.url) as started, ExitStack() as stack:
        url = started.stream(large_wallet)
        # One who stays, so that what the server keeps for the wallet is there before and after.
        with EventSource(started.stream(large_wallet, "follow=true")) as present:
            present.until("complete")
            for _ in range(3):
                _replay(url)
            before = started.memory()
            slow = [stack.enter_context(_slow(f"{url}?since={each}")) for each in range(REPLAYED)]
            readers = [Thread(target=_read_slowly, args=(client,)) for client in slow]
            for reader in readers:
                reader.start()
            passed = _replay(url)
            for reader in readers:
                reader.join()
            grown = started.memory() - before
            received = [[event for event in client if event.id] for client in slow]
    print(f"grown {grown:,} bytes for {REPLAYED}")
    assert sum(event.name == "trade" for event in passed) >= 5000
    assert grown < REPLAYED * MEMORY_BYTES
    assert received == [passed] * REPLAYED


def test_live_trades_that_slow_clients_leave_lying_are_not_kept_for_them(
    analysed: Path, chain: Simulator, large_wallet: str
) -> None:
    with server(analysed, chain.url, POLL_SECONDS=1) as started, ExitStack() as stack:
        newest = str(_replay(started.stream(large_wallet))[-1].id)
        url = started.stream(large_wallet, "follow=true")
        normal = stack.enter_context(EventSource(url, {"Last-Event-ID": newest}))
        first = normal.take("trade", len(chain.append(large_wallet, APPENDED)))
        before = started.memory()
        slow = [
            stack.enter_context(
                _slow(f"{url}&since={number}", {"Last-Event-ID": str(first[-1].id)})
            )
            for number in range(SLOW_CLIENTS)
        ]
        passed: list[Event] = []
        for _ in range(APPENDS):
            passed += normal.take("trade", len(chain.append(large_wallet, APPENDED)))
            for client in slow:
                client.fill(SLOW_BYTES)
        grown = started.memory() - before
        print(f"grown {grown:,} bytes for {SLOW_CLIENTS}")
        assert len(passed) >= 5000
        assert grown < SLOW_CLIENTS * MEMORY_BYTES
        for client in slow[:CHECKED]:
            assert client.take("trade", len(passed)) == passed


def test_a_client_that_reads_nothing_is_closed_as_slow_and_may_resume(
    analysed: Path, chain: Simulator, large_wallet: str
) -> None:
    with server(analysed, chain.url, WRITE_TIMEOUT=WRITE_TIMEOUT) as started:
        url = started.stream(large_wallet)
        everything = _replay(url)
        with _slow(url) as silent:
            started.wait_for('streams_closed_total{reason="slow"}', 1)
            received = _what_arrived(silent)
        assert received
        assert received + _replay(url, str(received[-1].id)) == everything
        ends = {line["stream_id"]: line["reason"] for line in started.logged("stream closed")}
        assert ends[silent.headers["X-Stream-ID"]] == "slow"


def _slow(url: str, headers: Mapping[str, str] | None = None) -> EventSource:
    """With a `since` of its own that all trades pass, it can't share the bytes of others."""
    return EventSource(url, headers, receive_buffer=RECEIVE_BUFFER)


def _replay(url: str, last_event_id: str | None = None) -> list[Event]:
    """What is kept of a wallet, after this position."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with EventSource(url, headers) as stream:
        return [event for event in stream if event.id]


def _read_slowly(client: EventSource) -> None:
    never = Signal()
    for _ in range(SLOW_SECONDS):
        client.fill(SLOW_BYTES)
        never.wait(1)


def _what_arrived(client: EventSource) -> list[Event]:
    """Events with an id, up to where the connection broke."""
    events: list[Event] = []
    with suppress(Torn, ConnectionError):
        events.extend(event for event in client if event.id)
    return events
