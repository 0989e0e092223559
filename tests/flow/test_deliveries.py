"""Helius delivers: stored before it is answered, told to who follows, refused with a reason."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from eventsource import EventSource
from processes import ROOT, Server, Simulator, server, simulator
from redis_server import redis_server

SECRET = "a-secret-that-only-helius-and-we-know"
PATH = "/v4/webhooks/helius"
SIZE = 30


@pytest.fixture(scope="module")
def delivering() -> Iterator[Simulator]:
    """A chain whose WebSocket never opens: what is pushed was delivered."""
    with simulator("--only", "--warm", "--wallets", f"{SIZE}x4", "--end-time", "now") as started:
        started.call("simFault", {"kind": "ws_refuse"})
        yield started


@pytest.fixture
def receiving(delivering: Simulator, tmp_path: Path) -> Iterator[Server]:
    with _server(delivering, tmp_path) as started:
        yield started


def _server(chain: Simulator, folder: Path, **settings: Any) -> Any:
    rarely = {"POLL_SECONDS": 3600, "CHECK_SECONDS": 3600}
    return server(folder, chain.url, WEBHOOK_SECRET=SECRET, **rarely, **settings)


def _deliver(
    started: Server, body: bytes, secret: str = SECRET, **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=30)
    try:
        connection.request("POST", PATH, body, {"Authorization": secret, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _command(chain: Simulator, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HELIUS_API_URL": chain.url,
        "WEBHOOK_SECRET": SECRET,
        "DATA_DIR": str(folder),
    }
    command = [sys.executable, str(ROOT / "bin/wd-webhook"), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("kind", ["raw", "enhanced"])
def test_the_command_makes_a_webhook_that_brings_trades_to_who_follows(
    delivering: Simulator, receiving: Server, tmp_path: Path, kind: str
) -> None:
    wallet = delivering.wallets[kind == "raw"][0]
    wallets = tmp_path / "wallets"
    wallets.write_text(f"{wallet}\n")
    url = f"{receiving.url}{PATH}"
    made = _command(delivering, tmp_path, "create", url, "--type", kind, "--wallets", str(wallets))
    assert made.returncode == 0, made.stderr
    webhook_id = made.stdout.split()[0]
    with EventSource(receiving.stream(wallet, "follow=true")) as stream:
        stream.until("complete")
        new = delivering.append(wallet, 20)
        assert [e.data["signature"] for e in stream.take("trade", len(new))] == new
    assert _command(delivering, tmp_path, "delete", webhook_id).returncode == 0
    assert receiving.metrics()['upstream_credits_total{method="webhook"}'] >= len(new)


def test_sync_has_the_webhook_be_for_the_wallets_that_are_followed(
    delivering: Simulator, receiving: Server, tmp_path: Path
) -> None:
    url = f"{receiving.url}{PATH}"
    first, second = (address for address, _ in delivering.wallets[:2])
    listed = tmp_path / "followed-wallets"
    listed.write_text(f"{first}\n")
    assert "1 wallets" in _command(delivering, tmp_path, "sync", url).stdout
    listed.write_text(f"{first}\n{second}\n")
    synced = _command(delivering, tmp_path, "sync", url)
    assert "2 wallets" in synced.stdout
    assert _command(delivering, tmp_path, "sync", url).stdout == synced.stdout
    assert _command(delivering, tmp_path, "list").stdout == synced.stdout
    again = _command(delivering, tmp_path, "create", url)
    assert again.returncode == 1
    assert "Sync it" in again.stderr
    listed.write_text("no wallet\n")
    assert _command(delivering, tmp_path, "sync", url).returncode == 1
    assert _command(delivering, tmp_path, "delete", synced.stdout.split()[0]).returncode == 0
    gone = _command(delivering, tmp_path, "delete", "nothing")
    assert gone.returncode == 1
    assert "no such webhook" in gone.stderr


def test_who_doesnt_know_the_secret_is_refused_and_told_nothing(receiving: Server) -> None:
    for secret in ("", SECRET[:-1], SECRET + "x", "é"):
        status, problem = _deliver(receiving, b"[]", secret)
        assert status == 403
        assert SECRET not in json.dumps(problem)


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'[{"a":1}', b"\xff\xfe", b"null", b"[" * 2000])
def test_what_is_no_array_is_refused_with_a_reason(receiving: Server, body: bytes) -> None:
    status, problem = _deliver(receiving, body)
    assert status == 400
    assert "JSON array" in problem["detail"]


def test_a_delivery_of_ten_thousand_and_one_elements_is_refused(receiving: Server) -> None:
    assert _deliver(receiving, b"[" + b"0," * 10_000 + b"0]")[0] == 400


def test_fifty_megabytes_are_refused_whether_or_not_they_say_so(receiving: Server) -> None:
    assert _deliver(receiving, b"[" + b" " * 50_000_000 + b"]")[0] == 413
    connection = http.client.HTTPConnection("127.0.0.1", receiving.port, timeout=30)
    pieces = (b" " * 1_000_000 for _ in range(50))
    connection.request("POST", PATH, pieces, {"Authorization": SECRET}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_one_that_cannot_be_read_keeps_nobody_elses_and_what_comes_twice_counts_once(
    delivering: Simulator, receiving: Server
) -> None:
    wallet = delivering.wallets[2][0]
    with EventSource(receiving.stream(wallet, "follow=true")) as stream:
        stream.until("complete")
        new = delivering.append(wallet, 10)
        transactions = [_transaction(delivering, signature) for signature in new]
        bad: list[Any] = [None, 7, {"signature": 5}, {"slot": "x"}]
        body = json.dumps([bad[0], *transactions[:3], *bad[1:], *transactions[3:]]).encode()
        for _ in range(2):
            started = monotonic()
            assert _deliver(receiving, body) == (200, {"stored": len(new) + len(bad)})
            print(f"answered after {(monotonic() - started) * 1000:.1f} ms")
        assert [e.data["signature"] for e in stream.take("trade", len(new))] == new
    receiving.wait_for('webhook_outcomes_total{outcome="repeated"}', len(new))
    assert receiving.metrics()['webhook_outcomes_total{outcome="unread"}'] == 2 * len(bad)


def test_transactions_of_wallets_that_nobody_follows_are_dropped(
    delivering: Simulator, receiving: Server
) -> None:
    signature = delivering.append(delivering.wallets[3][0], 5)[0]
    body = json.dumps([_transaction(delivering, signature)]).encode()
    assert _deliver(receiving, body)[0] == 200
    receiving.wait_for("webhook_transactions_total", 1)
    receiving.wait_for("webhook_waiting", 0)
    assert receiving.metrics()['webhook_outcomes_total{outcome="told"}'] == 0


def test_a_delivery_reaches_the_node_that_reads_its_wallet(
    delivering: Simulator, tmp_path: Path
) -> None:
    wallet = delivering.wallets[3][0]
    with redis_server() as redis, ExitStack() as stack:
        shared = {"REDIS_URL": redis.url.reveal(), "SECRET_KEY": SECRET}
        reading, other = [
            stack.enter_context(_server(delivering, tmp_path / name, **shared))
            for name in ("reading", "other")
        ]
        with EventSource(reading.stream(wallet, "follow=true")) as stream:
            stream.until("complete")
            new = delivering.append(wallet, 5)
            body = json.dumps([_transaction(delivering, signature) for signature in new]).encode()
            assert _deliver(other, body)[0] == 200
            assert [e.data["signature"] for e in stream.take("trade", len(new))] == new


def test_what_was_stored_is_worked_on_after_a_crash(
    delivering: Simulator, receiving: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "deliveries"
    assert receiving.process is not None
    receiving.process.send_signal(signal.SIGKILL)
    receiving.process.wait(30)
    signature = delivering.append(delivering.wallets[3][0], 5)[0]
    (folder / "0000000000000007").write_text(json.dumps([_transaction(delivering, signature)]))
    (folder / "0000000000000008.part").write_text("[half of")
    receiving.start()
    receiving.wait_for("webhook_transactions_total", 1)
    receiving.wait_for("webhook_waiting", 0)
    assert list(folder.iterdir()) == []


def _transaction(chain: Simulator, signature: str) -> Mapping[str, Any]:
    options = {"maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
    found: Mapping[str, Any] = chain.call("getTransaction", signature, options)
    return found


def test_the_command_says_whose_fault_it_is(delivering: Simulator, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"]}
    command = [sys.executable, str(ROOT / "bin/wd-webhook"), "list"]
    key = "a-key-that-nobody-must-see-0123456789"
    for changes, code in (
        ({}, 78),
        ({"HELIUS_API_URL": f"http://127.0.0.1:9/?api-key={key}"}, 69),
        ({"HELIUS_API_URL": f"{delivering.url}/nowhere?api-key={key}"}, 1),
    ):
        ended = subprocess.run(
            command, env=environ | changes, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == code, ended.stderr
        assert ended.stderr
        assert key not in ended.stderr + ended.stdout


def test_what_was_set_aside_is_listed_and_replayed_into_the_running_server(
    delivering: Simulator, receiving: Server, tmp_path: Path
) -> None:
    wallet = delivering.wallets[3][0]
    url = f"{receiving.url}{PATH}"
    folder = tmp_path / "quarantine"
    folder.mkdir(mode=0o700)
    with EventSource(receiving.stream(wallet, "follow=true")) as stream:
        stream.until("complete")
        new = delivering.append(wallet, 10)
        for number, signature in enumerate(new, 1):
            body = json.dumps([_transaction(delivering, signature)])
            (folder / f"{number:016}").write_text(body)
        names = [f"{number:016}" for number in range(1, len(new) + 1)]
        listed = _command(delivering, tmp_path, "quarantine").stdout.splitlines()
        assert [line.split()[0] for line in listed] == names
        assert _command(delivering, tmp_path, "replay", url, "x").returncode == 1
        nobody = _command(delivering, tmp_path, "replay", "http://127.0.0.1:9/")
        assert nobody.returncode == 69
        assert len(list(folder.iterdir())) == len(new), "what wasn't delivered stays"
        first = _command(delivering, tmp_path, "replay", url, names[0])
        assert first.returncode == 0, first.stderr
        assert _command(delivering, tmp_path, "replay", url).returncode == 0
        assert [e.data["signature"] for e in stream.take("trade", len(new))] == new
    assert list(folder.iterdir()) == []
    empty = _command(delivering, tmp_path, "quarantine")
    assert (empty.stdout, empty.stderr) == ("", f"Nothing is in {folder}.\n")


def test_a_delivery_that_cannot_be_worked_on_leaves_the_server_healthy_and_the_next_one_told(
    delivering: Simulator, receiving: Server, tmp_path: Path
) -> None:
    """An account key of an odd shape once ended the only worker, again after each restart."""
    wallet = delivering.wallets[3][0]
    with EventSource(receiving.stream(wallet, "follow=true")) as stream:
        stream.until("complete")
        new = delivering.append(wallet, 10)
        odd = json.loads(json.dumps(_transaction(delivering, new[0])))
        keys = odd["transaction"]["message"]["accountKeys"]
        odd["transaction"]["message"]["accountKeys"] = [{"pubkey": "a"}, *map(str, keys)]
        assert _deliver(receiving, json.dumps([odd]).encode())[0] == 200
        body = json.dumps([_transaction(delivering, each) for each in new]).encode()
        assert _deliver(receiving, body)[0] == 200
        assert [e.data["signature"] for e in stream.take("trade", len(new))] == new
    receiving.wait_for("webhook_waiting", 0)
    assert receiving.get("/health")["status"] == "healthy"
