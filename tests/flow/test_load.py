"""`bin/wd-load` against the real server, and against one that loses and repeats events."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
from eventsource import EventSource
from processes import PATIENCE, ROOT, Simulator, server
from scripted_server import ScriptedServer
from wd_client.chain import Chain
from wd_client.frame import FrameReader

STREAMS = 60
# Transactions that each wallet does while the test runs.
APPENDED = 20
KEY = "wd_0123456789abcdef0123456789abcdef"
WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"


class Load:
    """A running `bin/wd-load`."""

    def __init__(self, url: str, *arguments: str, **environment: str) -> None:
        command = [sys.executable, str(ROOT / "bin/wd-load"), url, "--json", *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def report(self, code: int = 0) -> dict[str, Any]:
        """When it ends, which it has to with this exit code."""
        out, error = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == code, error + out
        assert not error
        found: dict[str, Any] = json.loads(out)
        return found


def of(wallets: Sequence[str]) -> list[str]:
    return [f"--wallet={wallet}" for wallet in wallets]


# Against the real server.


def test_followers_get_every_trade_once_and_the_report_says_what_the_server_counted(
    chain: Simulator, wallets: list[str], tmp_path: Path
) -> None:
    with server(tmp_path / "data", chain.url, POLL_SECONDS=1) as started:
        for wallet in wallets:
            _trades(started.stream(wallet))
        arguments = ("--follow", "--announce", "--processes=2", f"--streams={STREAMS}")
        with Load(started.url, *arguments, "--hold=600", *of(wallets)) as load:
            assert load.line()["open"] == STREAMS
            live = 0
            for wallet in wallets:
                with EventSource(started.stream(wallet, "follow=true")) as present:
                    present.until("complete")
                    new = chain.append(wallet, APPENDED)
                    present.take("trade", len(new))
                    live += len(new)
            trades = sum(_trades(started.stream(wallet)) for wallet in wallets)
            # The streams of the test, and of each wallet the three here; the first of them came
            # before the new trades.
            whole = trades * (STREAMS // len(wallets) + 3) - live
            started.wait_for("total_trades", whole)
            load.process.send_signal(signal.SIGINT)
            report = load.report()
        metrics = started.metrics()
    assert report["opening"]["opened"] == STREAMS
    assert report["asked"]["processes"] == 2
    assert report["events"]["trades"] == trades * STREAMS // len(wallets)
    assert report["live"]["trades"] == live * STREAMS // len(wallets)
    assert report["live"]["delay_ms"]["count"] == report["live"]["trades"]
    assert report["ids"]["lost"] == report["ids"]["duplicates"] == 0
    assert report["ids"]["behind"] == {"streams": 0, "events": 0}
    # At the end of the history, and again with what was new.
    assert report["ids"]["verified"] >= STREAMS
    assert report["closes"] == {"end of test": STREAMS}
    assert metrics["total_streams"] == STREAMS + 3 * len(wallets)


def test_churn_and_slow_readers_lose_nothing_of_a_long_history(
    analysed: Path, chain: Simulator, large_wallet: str
) -> None:
    with server(analysed, chain.url) as started:
        trades = _trades(started.stream(large_wallet))
        # Each stream is dropped every second or so, and slow ones take a few seconds.
        trouble = ("--churn=6000", "--slow=20", "--slow-rate=2000000")
        with Load(started.url, "--streams=30", *trouble, *of([large_wallet])) as load:
            report = load.report()
        resumed = started.metrics()['resumes_total{outcome="resumed"}']
    assert trades >= 5000
    assert report["events"]["trades"] == 30 * trades
    assert report["ids"]["lost"] == report["ids"]["duplicates"] == 0
    assert report["closes"].pop("churn") >= report["resumes"]["count"] > 0
    assert report["closes"] == {"complete": 30}
    assert report["ids"]["verified"] == 30
    assert resumed == report["resumes"]["count"]


def test_streams_come_back_to_a_server_that_was_killed_and_lose_nothing(
    chain: Simulator, wallets: list[str], tmp_path: Path
) -> None:
    with server(tmp_path / "data", chain.url, POLL_SECONDS=1) as started:
        arguments = ("--follow", "--announce", f"--streams={STREAMS}", "--hold=600")
        with Load(started.url, *arguments, *of(wallets)) as load:
            load.line()
            for wallet in wallets:
                _trades(started.stream(wallet))
            started.wait_for("active_streams", STREAMS)
            started.kill()
            for wallet in wallets:
                chain.append(wallet, APPENDED)
            started.start()
            started.wait_for('resumes_total{outcome="resumed"}', STREAMS)
            load.process.send_signal(signal.SIGTERM)
            report = load.report()
    assert report["resumes"]["count"] == STREAMS
    assert report["resumes"]["away_ms"]["count"] == STREAMS
    assert report["ids"]["lost"] == report["ids"]["duplicates"] == 0
    assert report["closes"].pop("end of test") == STREAMS
    assert sum(report["closes"].values()) == STREAMS
    assert report["closes"].keys() <= {"cut", "dropped"}


def test_wallets_that_are_not_known_to_the_server_are_errors_and_not_tried_again(
    chain: Simulator, tmp_path: Path
) -> None:
    with (
        server(tmp_path / "data", chain.url) as started,
        Load(started.url, "--streams=4", "--wallet=abc") as load,
    ):
        report = load.report(code=3)
    assert report["closes"] == {"error INVALID_WALLET": 4}
    assert report["resumes"]["given_up"] == 4


def _trades(url: str) -> int:
    with EventSource(url) as stream:
        return sum(event.name == "trade" for event in stream)


# Against a server that does what the test says.


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CONNECTED = b'event: connected\ndata: {"resumed":false}\n\n'
BYE = b'retry: 10\nevent: bye\ndata: {"reason":"lifetime","reconnect_after_ms":10}\n\n'


def trade(seq: int, epoch: int = 7) -> bytes:
    return b'id: %d-%d\nevent: trade\ndata: {"signature":"s","emitted_at":1}\n\n' % (epoch, seq)


def trades(*seqs: int) -> bytes:
    return b"".join(map(trade, seqs))


def complete(seq: int, trades_found: int) -> bytes:
    return b'id: 7-%d\nevent: complete\ndata: {"trades_found":%d}\n\n' % (seq, trades_found)


@contextmanager
def against(
    answers: Sequence[bytes], *arguments: str, stays: bool = True
) -> Iterator[tuple[ScriptedServer, Load]]:
    with (
        ScriptedServer(answers, stays=stays) as scripted,
        Load(scripted.url, f"--wallet={WALLET}", "--streams=1", *arguments) as load,
    ):
        yield scripted, load


def test_an_event_that_is_left_out_and_one_that_comes_twice_are_found() -> None:
    answers = [HEAD + CONNECTED + trades(1, 2, 4, 4) + BYE, HEAD + CONNECTED + trades(5, 6)]
    with against(answers, "--follow", "--trades=6") as (scripted, load):
        report = load.report(code=1)
    assert report["ids"]["lost"] == report["ids"]["duplicates"] == 1
    assert report["ids"]["examples"] == [
        {"kind": "lost", "wallet": WALLET, "entries": 1, "after": "7-2", "got": "7-4"},
        {"kind": "duplicate", "wallet": WALLET, "entries": 1, "after": "7-4", "got": "7-4"},
    ]
    assert report["resumes"]["count"] == 1
    assert report["closes"] == {"bye lifetime": 1, "enough": 1}
    assert [each.headers.get("Last-Event-ID") for each in scripted.requests] == [None, "7-4"]


def entry(seq: int, number: int) -> bytes:
    payload = b'{"signature":"s","emitted_at":1,"number":%d}' % number
    return b"event: trade\ndata: %b\nid: 7-%d\n\n" % (payload, seq)


def ending(seq: int, *entries: bytes) -> bytes:
    """A `complete` that proves these."""
    chain = Chain()
    for each in entries:
        (frame,) = FrameReader().feed(each)
        chain.add(frame.event_id or b"", frame.data or b"", None)
    assert chain.digest is not None
    payload = b'{"trades_found":%d,"entries":%d,"digest":"%b"}' % (
        *(len(entries), len(entries)),
        chain.digest.hex().encode(),
    )
    return b"event: complete\ndata: %b\nid: 7-%d\n\n" % (payload, seq)


def test_a_history_is_proved_by_its_digest_over_connections_and_steps_in_the_ids() -> None:
    entries = [entry(2, 1), entry(3, 2), entry(9, 3)]
    answers = [
        HEAD + CONNECTED + entries[0] + entries[1] + BYE,
        HEAD + CONNECTED + entries[2] + ending(11, *entries),
    ]
    with against(answers, stays=False) as (scripted, load):
        report = load.report()
    assert report["ids"]["verified"] == 1
    assert report["ids"]["lost"] == report["ids"]["unjudged"] == 0
    assert [each.headers.get("Last-Event-ID") for each in scripted.requests] == [None, "7-3"]


def test_a_trade_that_was_altered_on_the_way_is_a_mismatch() -> None:
    entries = [entry(1, 1), entry(2, 2)]
    altered = (entries[0] + entries[1]).replace(b'"s"', b'"x"', 1)
    with against([HEAD + altered + ending(3, *entries)], stays=False) as (_, load):
        report = load.report(code=1)
    assert (report["ids"]["verified"], report["ids"]["mismatches"]) == (0, 1)
    assert report["ids"]["examples"] == [
        {"kind": "mismatch", "wallet": WALLET, "entries": 1, "after": "", "got": "7-3"}
    ]


@pytest.mark.parametrize("follow", [["--follow", "--trades=2"], []])
def test_a_number_that_is_left_out_is_a_loss_whether_it_follows_or_not(follow: list[str]) -> None:
    entries = [entry(1, 1), entry(2, 3)]
    answer = HEAD + b"".join(entries) + (b"" if follow else ending(4, *entries))
    with against([answer], *follow, stays=bool(follow)) as (_, load):
        report = load.report(code=1)
    assert report["ids"]["lost"] == 1


@pytest.mark.parametrize(
    ("end", "closes"),
    [(b"", {"cut": 1}), (b"0\r\n\r\n", {"ended": 1})],
)
def test_a_stream_that_was_cut_is_told_from_one_that_ended(
    end: bytes, closes: dict[str, int]
) -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    first = trade(1)
    answers = [head + b"%x\r\n%b\r\n" % (len(first), first) + end, HEAD + trade(2) + complete(3, 2)]
    with against(answers, stays=False) as (scripted, load):
        report = load.report()
    assert report["closes"] == {**closes, "complete": 1}
    assert scripted.requests[1].headers["Last-Event-ID"] == "7-1"


@pytest.mark.parametrize("wait", ["\xb2", "9" * 400])
def test_a_time_to_wait_that_is_none_or_endless_breaks_nothing(wait: str) -> None:
    refused = f"HTTP/1.1 429 X\r\nRetry-After: {wait}\r\nContent-Length: 0\r\n\r\n"
    arguments = ("--open-within=1", "--hold=0")
    with against([refused.encode("latin-1")], *arguments, stays=False) as (_, load):
        assert load.report(code=3)["refusals"]["status 429"] == 1


def test_losses_can_be_only_told_instead_of_failed_for() -> None:
    answers = [HEAD + trades(1, 3)]
    with against(answers, "--follow", "--trades=2", "--no-fail-on-loss") as (_, load):
        assert load.report(code=0)["ids"]["lost"] == 1


@pytest.mark.parametrize(("trades_found", "lost", "code"), [(3, 0, 0), (4, 1, 1)])
def test_a_hole_in_a_history_is_judged_by_what_the_complete_says(
    trades_found: int, lost: int, code: int
) -> None:
    with against([HEAD + trades(1, 2, 4) + complete(5, trades_found)], stays=False) as (_, load):
        report = load.report(code)
    assert report["ids"]["lost"] == lost
    assert report["closes"] == {"complete": 1}


def test_a_gap_is_counted_and_the_history_that_follows_is_no_repetition() -> None:
    gap = b'event: gap\ndata: {"reason":"expired","from":"7-2","to":"8-3"}\n\n'
    anew = b"".join(trade(seq, epoch=8) for seq in (1, 2, 3))
    answers = [HEAD + trades(1, 2) + BYE, HEAD + CONNECTED + gap + anew]
    with against(answers, "--follow", "--trades=5") as (_, load):
        report = load.report()
    assert report["ids"]["gaps"] == {"expired": 1}
    assert report["ids"]["lost"] == report["ids"]["duplicates"] == report["ids"]["resets"] == 0


def test_a_stream_that_is_not_back_at_the_end_is_missing() -> None:
    bye = b'event: bye\ndata: {"reason":"shutdown","reconnect_after_ms":600000}\n\n'
    with against([HEAD + trades(1) + bye], "--follow", "--hold=0", stays=False) as (_, load):
        report = load.report(code=3)
    assert report["opening"]["opened"] == 1
    assert report["resumes"]["absent"] == 1
    assert report["closes"] == {"bye shutdown": 1}


def test_a_refusal_is_tried_again_and_one_for_good_is_not() -> None:
    refused = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    unknown = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    with against([refused, refused, unknown]) as (_, load):
        report = load.report(code=3)
    assert report["refusals"] == {"status 401": 1, "status 429": 2}
    assert report["opening"]["opened"] == 0


def test_a_stream_in_chunks_as_proxies_cut_them_is_read_the_same() -> None:
    body = CONNECTED + trades(1, 2, 3) + complete(4, 3)
    parts = [body[at : at + 50] for at in range(0, len(body), 50)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    head = HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    with against([head + chunks]) as (_, load):
        report = load.report()
    assert report["events"] | {"seconds": 0, "per_second": 0, "bytes": 0} == {
        "count": 5,
        "trades": 3,
        "seconds": 0,
        "per_second": 0,
        "bytes": 0,
    }


def test_a_server_that_is_not_there_is_told_and_ends_with_the_time_to_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    arguments = (f"--wallet={WALLET}", "--streams=2", "--open-within=1", "--hold=0")
    with Load(url, *arguments) as load:
        report = load.report(code=3)
    assert report["opening"]["all_open_after"] is None
    assert report["refusals"]["connection refused"] >= 2


@pytest.mark.parametrize("by", ["file", "environment"])
def test_a_key_reaches_the_server_and_no_process_list(by: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# the only one\n{KEY}\n")
    arguments = ["--key-file", str(keys)] if by == "file" else []
    environment = {} if by == "file" else {"WD_LOAD_KEYS": KEY}
    with (
        ScriptedServer([HEAD + trades(1)]) as scripted,
        Load(
            *(scripted.url, f"--wallet={WALLET}", "--streams=1", "--follow", "--announce"),
            *("--source=127.0.0.9", *arguments),
            **environment,
        ) as load,
    ):
        load.line()
        parent = psutil.Process(load.process.pid)
        processes = [parent, *parent.children(recursive=True)]
        assert len(processes) == 2
        assert not any(KEY in " ".join(process.cmdline()) for process in processes)
        load.process.send_signal(signal.SIGINT)
        assert KEY not in json.dumps(load.report())
    (request,) = scripted.requests
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.source == "127.0.0.9"
