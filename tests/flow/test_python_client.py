"""`wd_client` against the real server, and against one that does what the test says."""

import asyncio
import json
import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self

import pytest
from processes import PATIENCE, Server, Simulator, server
from scripted_server import ScriptedServer
from wd_client import (
    Away,
    BadAnswer,
    Bookmark,
    Bye,
    Complete,
    Connected,
    Event,
    Gap,
    Mismatch,
    Movement,
    NotAllowed,
    Refused,
    Retract,
    SentAway,
    Trade,
    Trades,
    Unreachable,
    stream,
    stream_sync,
)
from wd_client.chain import Chain

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
APPENDED = 20
SOL = "So11111111111111111111111111111111111111112"


@pytest.fixture(scope="module")
def served(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("client"), chain.url, POLL_SECONDS=1) as started:
        yield started


def read(events: AsyncIterator[Event]) -> list[Event]:
    """All of them, within the patience of a test."""

    async def reading() -> list[Event]:
        async with asyncio.timeout(2 * PATIENCE):
            return [event async for event in events]

    return asyncio.run(reading())


def read_until(events: Any, enough: Callable[[list[Event]], bool]) -> list[Event]:
    async def reading() -> list[Event]:
        found: list[Event] = []
        async with asyncio.timeout(2 * PATIENCE), aclosing(events):
            async for event in events:
                found.append(event)
                if enough(found):
                    return found
        raise AssertionError(f"the stream ended after {found}")

    return asyncio.run(reading())


def of(kind: type[Event], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


# Against the real server.


def test_a_whole_history_comes_as_typed_events_and_ends(served: Server, wallet: str) -> None:
    events = read(stream(served.url, wallet))
    complete = events[-1]
    assert isinstance(events[0], Connected)
    assert isinstance(complete, Complete)
    trades = of(Trade, events)
    assert len(trades) == complete.trades_found > 20
    pnl = sum(trade.pnl_sol for trade in trades if trade.pnl_sol is not None)
    assert pnl == complete.summary.realized_pnl_sol
    assert complete.verified
    assert complete.entries == trades[-1].number == complete.bookmark.entries
    assert complete.bookmark.digest == complete.digest


def test_movements_come_typed_and_are_proved_with_everything_else(
    served: Server, wallet: str
) -> None:
    events = read(stream(served.url, wallet, movements=True))
    movements, (complete,) = of(Movement, events), of(Complete, events)
    assert len(movements) == complete.metrics.movements > 0
    assert complete.verified
    assert complete.bookmark.entries_all == complete.entries_all > complete.entries
    assert complete.bookmark.digest_all == complete.digest_all != complete.digest
    paid = [posting for each in movements for posting in each.postings if posting.mint == SOL]
    assert paid
    assert all(posting.amount * 10**9 == int(posting.amount_raw) for posting in paid)
    assert complete.metrics.unexplained_reasons == {}
    kept = [event for event in events if event.id]
    at = kept.index(movements[1])
    bookmark = Bookmark(*json.loads(json.dumps(kept[at].bookmark)))
    rest = read(stream(served.url, wallet, movements=True, bookmark=bookmark))
    assert [event.id for event in rest if event.id] == [event.id for event in kept[at + 1 :]]
    assert of(Complete, rest)[0].verified
    # A bookmark that has only one of the chains proves that one.
    half = bookmark._replace(entries_all=None, digest_all=None)
    assert not of(Complete, read(stream(served.url, wallet, movements=True, bookmark=half)))[
        0
    ].verified
    assert of(Complete, read(stream(served.url, wallet, bookmark=half)))[0].verified


def test_a_movement_that_is_missing_or_altered_is_a_gap(served: Server, wallet: str) -> None:
    kept = [event for event in read(stream(served.url, wallet, movements=True)) if event.id]
    at = kept.index(of(Movement, kept)[0])
    before = kept[at - 1].bookmark if at else Bookmark("", 0, "00" * 32, 0, "00" * 32)
    skipped = before._replace(id=kept[at].id)
    events = read(stream(served.url, wallet, movements=True, bookmark=skipped))
    (gap,) = of(Gap, events)
    assert gap.reason == "mismatch"
    after = events[events.index(gap) :]
    assert [event.id for event in after if event.id] == [event.id for event in kept]
    assert of(Complete, after)[0].verified


def test_what_comes_behind_a_complete_is_read_to_the_end_of_the_stream() -> None:
    proved = Proved().retract(1).complete(9)
    late = b'event: movement\ndata: {"signature":"S","postings":[],"complete":"7-9"}\nid: 7-10\n\n'
    proved.frames.append(late)
    with ScriptedServer([proved.answer(ends=True)], stays=False) as scripted:
        events = read(stream(scripted.url, WALLET, movements=True))
    assert [event.id for event in events if event.id] == ["7-1", "7-9", "7-10"]
    assert scripted.requests[0].path.endswith("?include=movements")


def test_what_no_digest_is_for_is_not_verified(served: Server, wallets: list[str]) -> None:
    wallet = wallets[0]
    for wish in ({"batch": 7}, {"side": "sell"}, {"skip_pricing": True}, {"since": 1}):
        complete = read(stream(served.url, wallet, **wish))[-1]
        assert isinstance(complete, Complete)
        assert not complete.verified
    assert not any(each.verified for each in of(Complete, read(stream(served.url, wallets))))


def test_a_bookmark_goes_on_and_proves_the_whole(served: Server, wallet: str) -> None:
    whole = [event for event in read(stream(served.url, wallet)) if event.id]
    kept = Bookmark(*json.loads(json.dumps(whole[9].bookmark)))
    rest = read(stream(served.url, wallet, bookmark=kept))
    assert [event.id for event in rest if event.id] == [event.id for event in whole[10:]]
    assert of(Complete, rest)[0].verified
    unproved = read(stream(served.url, wallet, last_event_id=kept.id))
    assert not of(Complete, unproved)[0].verified


def test_a_bookmark_that_does_not_fit_is_a_gap_and_the_history_is_read_anew(
    served: Server, wallet: str
) -> None:
    whole = [event for event in read(stream(served.url, wallet)) if event.id]
    for wrong in (whole[9].bookmark._replace(digest="00" * 32), Bookmark(whole[9].id, 8)):
        events = read(stream(served.url, wallet, bookmark=wrong))
        (gap,) = of(Gap, events)
        assert gap.reason == "mismatch"
        after = events[events.index(gap) :]
        assert [event.id for event in after if event.id] == [event.id for event in whole]
        assert of(Complete, events)[0].verified


def test_the_last_id_of_another_process_goes_on_from_there(served: Server, wallet: str) -> None:
    trades = of(Trade, read(stream(served.url, wallet)))
    events = read(stream(served.url, wallet, last_event_id=trades[9].id))
    assert of(Connected, events)[0].resumed
    assert [trade.id for trade in of(Trade, events)] == [trade.id for trade in trades[10:]]


def test_who_has_everything_is_told_nothing_more(served: Server, wallet: str) -> None:
    complete = read(stream(served.url, wallet))[-1]
    assert read(stream(served.url, wallet, last_event_id=complete.id)) == []


def test_wishes_reach_the_server(served: Server, wallet: str) -> None:
    trades = of(Trade, read(stream(served.url, wallet)))
    batches = of(Trades, read(stream(served.url, wallet, batch=7, side="sell", since=1)))
    assert [each.signature for batch in batches for each in batch.trades] == [
        trade.signature for trade in trades if trade.action == "sell"
    ]


def test_several_wallets_are_named_and_end_with_the_last_of_them(
    served: Server, wallets: list[str]
) -> None:
    events = read(stream(served.url, wallets))
    assert {event.wallet for event in of(Complete, events)} == set(wallets)
    assert {event.wallet for event in of(Trade, events)} == set(wallets)


def test_without_an_event_loop_it_is_a_loop(served: Server, wallet: str) -> None:
    assert [event.id for event in stream_sync(served.url, wallet) if event.id] == [
        event.id for event in read(stream(served.url, wallet)) if event.id
    ]


def test_who_leaves_early_leaves_no_stream_behind(served: Server, wallet: str) -> None:
    for event in stream_sync(served.url, wallet, follow=True):
        if isinstance(event, Complete):
            break
    del event
    served.wait_for("active_streams", 0)


def test_a_server_that_is_killed_and_started_again_loses_nothing(
    chain: Simulator, analysed: Path, large_wallet: str
) -> None:
    with server(analysed, chain.url) as started:
        found: list[Event] = []

        async def reading() -> None:
            async with asyncio.timeout(4 * PATIENCE):
                async for event in stream(started.url, large_wallet):
                    found.append(event)
                    if len(found) == 1000:
                        started.kill()
                    if isinstance(event, Away) and len(of(Away, found)) == 1:
                        await asyncio.to_thread(started.start)

        asyncio.run(reading())
        whole = read(stream(started.url, large_wallet))
    assert of(Away, found)
    assert [event.id for event in found if event.id] == [event.id for event in whole if event.id]
    assert of(Complete, found)[0].verified


def test_a_bye_is_shown_and_obeyed(chain: Simulator, wallet: str, tmp_path: Path) -> None:
    with server(tmp_path / "data", chain.url, DRAIN_SECONDS=2, POLL_SECONDS=1) as started:
        found: list[Event] = []

        async def reading() -> None:
            async with asyncio.timeout(2 * PATIENCE):
                events = stream(started.url, wallet, follow=True)
                async with aclosing(events):
                    async for event in events:
                        found.append(event)
                        if isinstance(event, Complete) and len(of(Complete, found)) == 1:
                            started.signal(15)
                        if isinstance(event, Away) and len(of(Away, found)) == 1:
                            assert started.process is not None
                            await asyncio.to_thread(started.process.wait, PATIENCE)
                            await asyncio.to_thread(started.start)
                            chain.append(wallet, APPENDED)
                        if isinstance(event, Trade) and of(Away, found):
                            return

        asyncio.run(reading())
    (bye,) = of(Bye, found)
    away = of(Away, found)[0]
    assert isinstance(away.cause, SentAway)
    assert away.cause.reason == bye.reason == "shutdown"
    assert away.seconds >= bye.reconnect_after_ms / 1000
    ids = [event.id for event in of(Trade, found)]
    assert len(ids) == len(set(ids))


def test_a_journal_that_began_anew_is_a_gap_and_then_the_whole_history(
    served: Server, wallet: str
) -> None:
    whole = read(stream(served.url, wallet))
    events = read(stream(served.url, wallet, last_event_id="1-5"))
    (gap,) = of(Gap, events)
    assert gap.from_id == "1-5"
    assert [e.id for e in of(Trade, events)] == [e.id for e in of(Trade, whole)]


def test_keys_are_accepted_and_errors_say_why_they_did_not(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path / "data", chain.url, API_KEY_REQUIRED="true") as started:
        key = started.key("--streams", "1")
        asked = []

        async def fresh() -> str:
            asked.append(key)
            return key

        assert isinstance(read(stream(started.url, wallet, key=key))[-1], Complete)
        assert isinstance(read(stream(started.url, wallet, key=fresh))[-1], Complete)
        assert set(asked) == {key}
        with pytest.raises(NotAllowed) as refused:
            read(stream(started.url, wallet))
        assert (refused.value.code, refused.value.status) == ("AUTH_REQUIRED", 401)
        with pytest.raises(NotAllowed) as refused:
            read(stream(started.url, wallet, key="wd_0123456789abcdef0123456789abcdef"))
        assert refused.value.code == "INVALID_KEY"
        holding = stream_sync(started.url, wallet, key=key, follow=True)
        while not isinstance(next(holding), Connected):
            pass  # the stream before it is still being closed
        with pytest.raises(Refused) as busy:
            read(stream(started.url, wallet, key=key, patience=0))
        assert busy.value.code == "TOO_MANY_STREAMS"
        assert busy.value.retry_after
        holding.close()  # type: ignore[attr-defined]


def test_a_wallet_that_is_none_is_refused_and_not_asked_for_again(served: Server) -> None:
    with pytest.raises(Refused) as refused:
        read(stream(served.url, "nobody/../x?"))
    assert refused.value.code == "INVALID_WALLET"


# Against a server that does what the test says.

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CONNECTED = (
    b'event: connected\ndata: {"stream_id":"s","wallet":"W","timestamp":1,"resumed":false,'
    b'"heartbeat_seconds":1,"follow":true,"server":"x"}\n\n'
)
COMPLETE = b"event: complete\ndata: {}\nid: 7-9\n\n"
BYE = b'retry: 10\nevent: bye\ndata: {"reason":"lifetime","reconnect_after_ms":10}\n\n'


def retract(seq: int) -> bytes:
    return b'id: 7-%d\nevent: retract\ndata: {"signature":"s%d"}\n\n' % (seq, seq)


def following(scripted: ScriptedServer, **options: Any) -> AsyncIterator[Event]:
    return stream(scripted.url, WALLET, follow=True, **options)


def test_what_comes_twice_is_shown_once_and_a_retract_is_shown() -> None:
    answers = [
        HEAD + CONNECTED + retract(1) + retract(2) + BYE,
        HEAD + CONNECTED + retract(2) + retract(2) + retract(3),
    ]
    with ScriptedServer(answers) as scripted:
        events = read_until(following(scripted), lambda found: len(of(Retract, found)) == 3)
    assert [event.signature for event in of(Retract, events)] == ["s1", "s2", "s3"]
    assert [each.headers.get("Last-Event-ID") for each in scripted.requests] == [None, "7-2"]


def test_a_full_server_is_asked_again_when_it_said_and_a_wrong_key_is_not() -> None:
    busy = b"HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\n{}"
    closed = (
        b"HTTP/1.1 401 X\r\nContent-Type: application/problem+json\r\n\r\n"
        b'{"code":"INVALID_KEY","detail":"No."}'
    )
    found: list[Event] = []
    with ScriptedServer([busy, busy, closed], stays=False) as scripted:

        async def reading() -> None:
            async for event in following(scripted):
                found.append(event)  # noqa: PERF401

        with pytest.raises(NotAllowed, match=r"No\."):
            asyncio.run(reading())
    assert [event.cause.code for event in of(Away, found)] == ["HTTP_503", "HTTP_503"]
    assert {event.seconds for event in of(Away, found)} == {0}


def test_a_connection_that_falls_silent_is_left() -> None:
    with ScriptedServer([HEAD + CONNECTED]) as scripted:
        (_, away) = read_until(following(scripted), lambda found: len(found) == 2)
    assert isinstance(away, Away)
    assert isinstance(away.cause, Unreachable)
    assert "silent for 3 s" in str(away.cause)


@pytest.mark.parametrize("cut", [1, 40, len(HEAD), len(HEAD) + 30])
def test_an_answer_that_breaks_off_anywhere_is_a_connection_that_ended(cut: int) -> None:
    with ScriptedServer([(HEAD + CONNECTED)[:cut]], stays=False) as scripted:
        (away,) = read_until(following(scripted), lambda found: True)
    assert isinstance(away, Away)
    assert isinstance(away.cause, Unreachable)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>Hello",
        HEAD.replace(b"event-stream", b"event-streams"),
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"),
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: \xb2\r\n\r\n"),
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"),
        HEAD + b"event: heartbeat\ndata: [1]\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_such_server_is_said_so_and_not_asked_again(answer: bytes) -> None:
    with ScriptedServer([answer], stays=False) as scripted, pytest.raises(BadAnswer):
        read(following(scripted))


# A server that proves what it sent.


class Proved:
    """An event stream with the digest of its entries, in chunks. `end`: of the last chunk."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.frames = [CONNECTED]

    def retract(self, seq: int, number: int | None = None, *, kept: bool = True) -> Self:
        """`kept` False: it was stored, and doesn't come."""
        number = (self.chain.entries or 0) + 1 if number is None else number
        payload = b'{"signature":"s%d","number":%d}' % (seq, number)
        self.chain.add(b"7-%d" % seq, payload, None)
        if kept:
            self.frames.append(b"event: retract\ndata: %b\nid: 7-%d\n\n" % (payload, seq))
        return self

    def complete(self, seq: int) -> Self:
        assert self.chain.digest is not None
        payload = b'{"entries":%d,"digest":"%b"}' % (
            self.chain.entries or 0,
            self.chain.digest.hex().encode(),
        )
        self.frames.append(b"event: complete\ndata: %b\nid: 7-%d\n\n" % (payload, seq))
        return self

    def answer(self, *, ends: bool = True) -> bytes:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in self.frames)
        head = HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        return head + chunks + (b"0\r\n\r\n" if ends else b"")


def test_a_history_that_a_proxy_altered_is_read_once_more_and_then_refused() -> None:
    altered = Proved().retract(1).retract(2).complete(3).answer().replace(b'"s2"', b'"x2"')
    found: list[Event] = []

    async def reading(scripted: ScriptedServer) -> None:
        async for event in stream(scripted.url, WALLET):
            found.append(event)  # noqa: PERF401

    with (
        ScriptedServer([altered, altered], stays=False) as scripted,
        pytest.raises(Mismatch, match=r"the digest of 2 entries .* read it anew") as raised,
    ):
        asyncio.run(reading(scripted))
    assert [event.reason for event in of(Gap, found)] == ["mismatch"]
    assert [event.signature for event in of(Retract, found)] == ["s1", "x2"] * 2
    assert [each.headers.get("Last-Event-ID") for each in scripted.requests] == [None, None]
    assert not of(Complete, found)
    assert not raised.value.passing


def test_an_entry_that_does_not_come_is_missed_at_the_next_one_of_a_follower() -> None:
    lossy = Proved().retract(1).retract(2, kept=False).retract(3)
    whole = Proved().retract(1).retract(2).retract(3).complete(4)
    with ScriptedServer([lossy.answer(), whole.answer(ends=False)]) as scripted:
        events = read_until(following(scripted), lambda found: bool(of(Complete, found)))
    (away,) = of(Away, events)
    assert isinstance(away.cause, Mismatch)
    assert "entry 3 came after entry 1" in str(away.cause)
    assert events[-1].verified  # type: ignore[attr-defined]


def test_the_chain_goes_on_over_ids_that_step_completes_and_connections() -> None:
    first = Proved().retract(2).complete(3).retract(7)
    rest = Proved()
    rest.chain = first.chain
    rest.retract(9).complete(20).retract(21).complete(30)
    with ScriptedServer([first.answer(ends=False), rest.answer(ends=False)]) as scripted:
        events = read_until(following(scripted), lambda found: len(of(Complete, found)) == 3)
    assert [(event.entries, event.verified) for event in of(Complete, events)] == [
        *((1, True), (3, True), (4, True))
    ]
    assert [event.bookmark.entries for event in events if event.id] == [1, 1, 2, 3, 3, 4, 4]
    assert [each.headers.get("Last-Event-ID") for each in scripted.requests] == [None, "7-7"]


def test_after_a_gap_of_the_server_the_chain_begins_anew() -> None:
    gap = b'event: gap\ndata: {"reason":"reset","from":"7-9","to":null}\n\n'
    proved = Proved().retract(1).complete(2)
    proved.frames.insert(1, gap)
    with ScriptedServer([proved.answer()]) as scripted:
        bookmark = Bookmark("7-9", 5, "11" * 32)
        events = read(stream(scripted.url, WALLET, bookmark=bookmark))
    assert of(Complete, events)[0].verified


def test_a_server_that_proves_nothing_is_believed_and_the_result_says_so() -> None:
    with ScriptedServer([HEAD + CONNECTED + retract(1) + COMPLETE], stays=False) as scripted:
        (complete,) = of(Complete, read(stream(scripted.url, WALLET)))
    assert (complete.verified, complete.digest) == (False, None)


@pytest.mark.parametrize(("ends", "cause"), [(True, "ended the stream"), (False, "broke off")])
def test_a_cut_is_told_from_an_end_and_neither_is_taken_for_a_complete(
    ends: bool, cause: str
) -> None:
    answers = [Proved().retract(1).answer(ends=ends), HEAD + CONNECTED + retract(2) + COMPLETE]
    with ScriptedServer(answers, stays=False) as scripted:
        events = read(stream(scripted.url, WALLET))
    (away,) = of(Away, events)
    assert isinstance(away.cause, Unreachable)
    assert cause in str(away.cause)
    assert [event.id for event in events if event.id] == ["7-1", "7-2", "7-9"]
    assert [each.headers.get("Last-Event-ID") for each in scripted.requests] == [None, "7-1"]


# Odd, and allowed by the standards or sent by a server of another age.


def after(frames: bytes) -> str | None:
    """The position that a connection goes on from after these."""
    answers = [HEAD + CONNECTED + frames + BYE, HEAD + CONNECTED + retract(99)]
    with ScriptedServer(answers) as scripted:
        read_until(following(scripted), lambda found: found[-1].id == "7-99")
    return scripted.requests[1].headers.get("Last-Event-ID")


@pytest.mark.parametrize(
    ("frames", "position"),
    [
        (b"id: 7-5\n\n", "7-5"),
        (retract(1) + b"id: 7-5\n\n", "7-5"),
        (retract(1) + b"id:\n\n", None),
        (retract(1) + b"id\ndata: {}\n\n", None),
        (retract(1) + b"id: 7-5\0\n\n", "7-1"),
        (retract(1) + "id: ä→\n\n".encode(), "ä→"),
    ],
)
def test_ids_move_the_position_as_the_standard_says(frames: bytes, position: str | None) -> None:
    assert after(frames) == position


def test_an_interim_answer_a_mark_and_another_spelling_are_the_same_stream() -> None:
    head = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream ; charset=UTF-8\r\n"
        b"Content-Encoding: identity\r\n\r\n\xef\xbb\xbf"
    )
    with ScriptedServer([head + CONNECTED + COMPLETE], stays=False) as scripted:
        events = read(stream(scripted.url, WALLET))
    assert [type(event) for event in events] == [Connected, Complete]
    assert scripted.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "frame",
    [
        *(b"event: %b\ndata: {}\n\n" % name for name in (b"connected", b"progress", b"bye")),
        *(b"event: %b\ndata: {}\nid: 7-1\n\n" % name for name in (b"trade", b"retract")),
        b'event: connected\ndata: {"heartbeat_seconds":0}\n\n',
        b'event: connected\ndata: {"heartbeat_seconds":-1}\n\n',
        b"event:\ndata: {}\n\n",
    ],
)
def test_a_field_that_is_missing_does_not_end_the_stream(frame: bytes) -> None:
    answers = [HEAD + frame + b"retry: 0\n\n", HEAD + COMPLETE]
    with ScriptedServer(answers, stays=False) as scripted:
        events = read(stream(scripted.url, WALLET))
    assert isinstance(events[-1], Complete)
    assert len(scripted.requests) == 2


def test_an_error_without_a_code_or_a_sentence_is_still_one() -> None:
    with (
        ScriptedServer([HEAD + b"event: error\ndata: {}\n\n"], stays=False) as scripted,
        pytest.raises(Refused, match="without a reason") as refused,
    ):
        read(stream(scripted.url, WALLET))
    assert refused.value.code == "UNKNOWN"


def moved(location: str, status: int = 308) -> bytes:
    return f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_asked_for_again_by_the_next_connection(status: int) -> None:
    answers = [
        moved("/there?side=sell", status),
        HEAD + CONNECTED + retract(1) + BYE,
        moved("there", status),
        HEAD + CONNECTED + retract(2),
    ]
    with ScriptedServer(answers) as scripted:
        events = read_until(
            following(scripted, key="k"), lambda found: len(of(Retract, found)) == 2
        )
    assert len(of(Away, events)) == 1
    first = f"/v4/wallet/{WALLET}/stream?follow=true"
    assert [(each.path, each.headers.get("Last-Event-ID")) for each in scripted.requests] == [
        *((first, None), ("/there?side=sell", None)),
        *((first, "7-1"), (f"/v4/wallet/{WALLET}/there", "7-1")),
    ]
    assert {each.headers["Authorization"] for each in scripted.requests} == {"Bearer k"}


def test_another_host_gets_no_key_and_its_refusal_says_so() -> None:
    closed = b'HTTP/1.1 401 X\r\n\r\n{"code":"AUTH_REQUIRED","detail":"A key is needed."}'
    with ScriptedServer([HEAD + CONNECTED, closed], stays=False) as other:
        there = other.url.replace("127.0.0.1", "localhost")
        with ScriptedServer([moved(there), moved(f"{there}/?api_key=x")], stays=False) as here:
            read_until(following(here, key="secret"), lambda found: True)
            with pytest.raises(NotAllowed, match=r"^A key is needed\. It wasn't shown") as refused:
                read(following(here, key="secret"))
    assert refused.value.code == "AUTH_REQUIRED"
    assert f"{here.url}, which redirects to {there}. If" in str(refused.value)
    assert not re.search("secret|api_key", str(refused.value))
    assert ["Authorization" in each.headers for each in other.requests] == [False, False]
    assert ["Authorization" in each.headers for each in here.requests] == [True, True]


def test_a_circle_of_redirects_ends_at_once() -> None:
    with (
        ScriptedServer([moved("/a"), moved("/b"), moved("/a")], stays=False) as scripted,
        pytest.raises(BadAnswer, match="redirects in a circle"),
    ):
        read(following(scripted))
    assert len(scripted.requests) == 3


def test_a_name_that_is_none_is_a_server_that_cannot_be_reached() -> None:
    for host in ("a" * 70, "a..b"):
        with (
            ScriptedServer([moved(f"http://{host}/")], stays=False) as scripted,
            pytest.raises(Unreachable, match="can't be reached"),
        ):
            read(following(scripted, patience=0))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for 127.0.0.1 that nobody trusts yet, with its key."""
    folder = tmp_path_factory.mktemp("certificate")
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    path = folder / "both.pem"
    command = ["openssl", "req", *kind, *subject, "-keyout", path, "-out", folder / "public.pem"]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("a") as both:
        both.write((folder / "public.pem").read_text())
    return path


def test_tls_is_spoken_to_who_is_trusted_and_to_nobody_else(certificate: Path) -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    answer = HEAD + CONNECTED + retract(1)
    with ScriptedServer([answer], tls=ours) as scripted:
        events = read_until(following(scripted, tls=trusting), lambda found: len(found) == 2)
    assert events[-1].id == "7-1"
    with ScriptedServer([b""], tls=ours) as scripted, pytest.raises(BadAnswer, match="trusted"):
        read(following(scripted))


def test_a_redirect_to_tls_takes_the_key_along_and_one_back_is_refused(certificate: Path) -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    wishes = {"tls": trusting, "key": "k"}
    answers = [HEAD + CONNECTED + retract(1), moved("http://127.0.0.1:1/?access_token=t")]
    with (
        ScriptedServer(answers, stays=False, tls=ours) as secure,
        ScriptedServer([moved(f"{secure.url}/x")], stays=False) as plain,
    ):
        read_until(following(plain, **wishes), lambda found: len(found) == 2)
        with pytest.raises(BadAnswer, match=r"to http://127\.0\.0\.1:1, where .* in the clear"):
            read(following(secure, **wishes))
    assert [each.headers["Authorization"] for each in secure.requests] == ["Bearer k", "Bearer k"]


def test_where_nobody_listens_the_cause_is_told_when_patience_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unreachable, match="can't be reached"):
        read(stream(url, WALLET, patience=0))


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://x", {}),
        ("http://u:p@x", {}),
        ("http://x/?api_key=k", {}),
        ("http://127.0.0.1:1", {"key": "a\r\nX: y"}),
        ("http://127.0.0.1:1", {"last_event_id": "1\r\n"}),
        ("http://127.0.0.1:1", {"last_event_id": ""}),
    ],
)
def test_what_cannot_be_sent_is_refused_before(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"URL|characters"):
        read(stream(url, WALLET, **options))
