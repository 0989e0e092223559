"""How streams are sent away: at the end of the process, of their time, or for want of room."""

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from eventsource import Event, EventSource
from processes import PATIENCE, Server, Simulator, server

FOLLOWERS = 30
DRAIN_SECONDS = 4
LIFETIME = 10
MAX_STREAMS = 5
# What an exit takes besides draining: the journal is closed, the interpreter ends. With ample room
# for a busy machine.
EXIT_SECONDS = 10
# Bytes the kernel keeps for a client that reads nothing: hardly any, so that it can't be flushed.
RECEIVE_BUFFER = 2048


def test_sigterm_sends_everybody_away_with_a_time_of_their_own_and_exits(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    settings = {"DRAIN_SECONDS": DRAIN_SECONDS}
    with server(tmp_path, chain.url, **settings) as started, ExitStack() as stack:
        streams = [_follow(stack, started, wallet) for _ in range(FOLLOWERS)]
        signalled = monotonic()
        assert started.stop() == 0
        assert monotonic() - signalled < DRAIN_SECONDS + EXIT_SECONDS
        retries = [_bye(stream, "shutdown") for stream in streams]
        assert all(0 < retry <= DRAIN_SECONDS * 1000 + 1 for retry in retries)
        assert max(retries) - min(retries) > DRAIN_SECONDS * 1000 / 2
        assert len(set(retries)) > FOLLOWERS / 2


def test_a_client_that_takes_nothing_doesnt_hold_up_the_exit(
    chain: Simulator, large_wallet: str, analysed: Path
) -> None:
    with server(analysed, chain.url, DRAIN_SECONDS=1) as started:
        with _deaf(started, large_wallet):
            signalled = monotonic()
            assert started.stop() == 0
            assert monotonic() - signalled < 1 + EXIT_SECONDS
        (line,) = started.logged("stream closed")
        assert line["reason"] == "shutdown"


def test_newcomers_during_a_drain_are_told_to_go_elsewhere(
    chain: Simulator, large_wallet: str, analysed: Path
) -> None:
    settings = {"DRAIN_SECONDS": DRAIN_SECONDS}
    with server(analysed, chain.url, **settings) as started, _deaf(started, large_wallet):
        started.signal(signal.SIGTERM)
        started.wait_until_logged("stopping")
        for path in (f"/v4/wallet/{large_wallet}/stream", "/health/ready"):
            with _refusal(started, path) as refused:
                assert refused.status == 503
                assert refused.headers["Retry-After"] == "1"
                assert json.load(refused)["code"] == "DRAINING"
        with _refusal(started, "/health") as unhealthy:
            assert unhealthy.status == 503
            assert json.load(unhealthy)["status"] == "draining"
        error = _admission_error(started, large_wallet)
        assert error.data["code"] == "DRAINING"
        assert error.retry == 1000
        assert started.process is not None
        assert started.process.wait(PATIENCE) == 0


def test_a_second_sigterm_ends_the_drain(
    chain: Simulator, large_wallet: str, analysed: Path
) -> None:
    with server(analysed, chain.url, DRAIN_SECONDS=60) as started:
        with _deaf(started, large_wallet):
            started.signal(signal.SIGTERM)
            started.wait_until_logged("stopping")
            assert started.stop() == 0
        # Which an exit after the last client's end says.
        assert not started.logged("stopped")


def test_a_client_sent_away_within_a_pass_goes_on_after_the_restart_without_loss(
    chain: Simulator, large_wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        # With its movements, so that every entry has to be there.
        url = started.stream(large_wallet, "include=movements")
        with EventSource(url) as stream:
            before = stream.until("trade")
            started.signal(signal.SIGTERM)
            before += list(stream)
        assert before[-1].name == "bye"
        assert started.process is not None
        assert started.process.wait(PATIENCE) == 0
        started.start()
        received = [event for event in before if event.id]
        with EventSource(url, {"Last-Event-ID": str(received[-1].id)}) as stream:
            received += [event for event in stream if event.id]
        with EventSource(url) as stream:
            assert [event for event in stream if event.id] == received
    assert received[-1].name == "complete"
    assert [int(str(event.id).partition("-")[2]) for event in received] == list(
        range(1, len(received) + 1)
    )


def test_streams_end_within_the_last_fifth_of_their_lifetime(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    settings = {"SSE_MAX_STREAM_DURATION": LIFETIME}
    with server(tmp_path, chain.url, **settings) as started, ExitStack() as stack:
        streams = [_follow(stack, started, wallet) for _ in range(FOLLOWERS)]
        retries = {_bye(stream, "lifetime") for stream in streams}
        started.wait_for("active_streams", 0)
        ages = [line["seconds"] for line in started.logged("stream closed")]
    assert len(retries) > FOLLOWERS / 2
    assert len(ages) == FOLLOWERS
    # Five seconds are room for a busy machine.
    assert min(ages) > LIFETIME * 0.8
    assert max(ages) < LIFETIME + 5
    assert max(ages) - min(ages) > 0.5


def test_one_stream_too_many_is_refused_until_another_leaves(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    settings = {"MAX_STREAMS": MAX_STREAMS}
    with server(tmp_path, chain.url, **settings) as started, ExitStack() as stack:
        streams = [_follow(stack, started, wallet) for _ in range(MAX_STREAMS)]
        for path in (f"/v4/wallet/{wallet}/stream", "/health/ready"):
            with _refusal(started, path) as refused:
                assert refused.status == 503
                assert int(refused.headers["Retry-After"]) > 0
                assert json.load(refused)["code"] == "AT_CAPACITY"
        error = _admission_error(started, wallet)
        assert error.data["code"] == "AT_CAPACITY"
        assert error.retry == error.data["details"]["retry_after"] * 1000
        assert started.metrics()['streams_refused_total{code="AT_CAPACITY"}'] == 3

        streams[0].close()
        started.wait_for("active_streams", MAX_STREAMS - 1)
        _follow(stack, started, wallet)


def _follow(stack: ExitStack, started: Server, wallet: str) -> EventSource:
    """One who has the history and waits for more."""
    stream = stack.enter_context(EventSource(started.stream(wallet, "follow=true")))
    stream.until("complete")
    return stream


def _deaf(started: Server, wallet: str) -> EventSource:
    """One who reads the first trade of a stream that is too large for its socket, and no more."""
    stream = EventSource(started.stream(wallet), receive_buffer=RECEIVE_BUFFER)
    stream.until("trade")
    return stream


def _bye(stream: EventSource, reason: str) -> int:
    """How a stream ended: the time after which its client is to be back."""
    *rest, bye = list(stream)
    assert {event.name for event in rest} <= {"heartbeat", "progress", "summary"}
    assert bye.name == "bye"
    assert bye.retry is not None
    assert bye.data == {"reason": reason, "reconnect_after_ms": bye.retry}
    return bye.retry


def _refusal(started: Server, path: str) -> HTTPError:
    with pytest.raises(HTTPError) as refused:
        urlopen(started.url + path, timeout=PATIENCE)
    return refused.value


def _admission_error(started: Server, wallet: str) -> Event:
    """As a client gets it that can't read a status."""
    url = started.stream(wallet, "errors=event")
    with EventSource(url, {"Connection": "close"}) as stream:
        assert stream.status == 200
        (error,) = list(stream)
    assert error.name == "error"
    return error
