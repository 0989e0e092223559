"""`wd_server.client` against the real server, and against one that does what the test says."""

import asyncio
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from processes import PATIENCE, ROOT, Server, Simulator, server
from scripted_server import ScriptedServer

from wd_server.client import (
    Away,
    BadAnswer,
    Bye,
    Complete,
    Connected,
    Event,
    Gap,
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

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
APPENDED = 20


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


def test_keys_open_the_door_and_errors_say_why_they_did_not(
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
        HEAD + b"event: connected\ndata: {}\n\n",
        HEAD + b"event: heartbeat\ndata: [1]\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_such_server_is_said_so_and_not_asked_again(answer: bytes) -> None:
    with ScriptedServer([answer], stays=False) as scripted, pytest.raises(BadAnswer):
        read(following(scripted))


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
    ],
)
def test_what_cannot_be_sent_is_refused_before(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"URL|characters"):
        read(stream(url, WALLET, **options))


def test_it_needs_nothing_that_the_server_needs() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import wd_server.client;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "__main__ wd_server\n"
