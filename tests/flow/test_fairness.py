"""Whoever asks for much keeps nobody else waiting, and pays for it alone."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eventsource import EventSource
from processes import PATIENCE, Server, Simulator, server, simulator
from redis_server import redis_server
from wire import Answer, Connection, exchange

# A plan with ten requests a second, and what an attacker with one key may ask for at once.
PLAN = "free"
STREAMS, WALLETS = 10, 50
# Calls at the upstream until somebody else's wallet of 20 transactions is read, which takes about
# four of them: each other one is the attacker's. It was 758 where turns went by order of arrival.
CALLS_MOST = 20
SECRET = "a secret that all nodes have, of 32 or more characters"


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with simulator("--only", "--wallets", f"20x{STREAMS * WALLETS + 60}") as started:
        yield started


@pytest.fixture(scope="module")
def fresh(chain: Simulator) -> Iterator[str]:
    return iter([address for address, _ in chain.wallets])


def several(srv: Server, fresh: Iterator[str], count: int) -> str:
    return f"{srv.url}/v4/stream?" + "&".join(f"wallet={next(fresh)}" for _ in range(count))


def calls(chain: Simulator) -> int:
    return sum(chain.requests().values()) - chain.requests().get("simStatistics", 0)


def until(chain: Simulator, least: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while calls(chain) < least:
        assert time.monotonic() < deadline


def read(srv: Server, wallet: str, key: str, query: str = "") -> list[Any]:
    with EventSource(srv.stream(wallet, query), {"X-API-Key": key}) as stream:
        return stream.until("complete", "error")


def test_a_first_wallet_does_not_wait_for_another_key_s_five_hundred(
    chain: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    settings = {"API_KEY_REQUIRED": "true", "UPSTREAM_PLAN": PLAN}
    with server(tmp_path, chain.url, **settings) as srv, ExitStack() as attack:
        greedy, other = srv.key(), srv.key()
        before = calls(chain)
        for _ in range(STREAMS):
            url = several(srv, fresh, WALLETS)
            stream = attack.enter_context(EventSource(url, {"X-API-Key": greedy}))
            stream.until("connected")
        until(chain, before + 10)
        for _ in range(2):  # the second is no first wallet any more, and still somebody else's
            begun = calls(chain)
            assert read(srv, next(fresh), other)[-1].name == "complete"
            assert calls(chain) - begun <= CALLS_MOST


def asked(srv: Server, wallet: str, *headers: tuple[str, str]) -> Answer:
    """The answer's head."""
    with Connection(srv.url) as connection:
        connection.request("GET", f"/v4/wallet/{wallet}/stream", headers)
        return connection.answer(has_body=False)


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "redis"])
def test_only_wallets_that_have_to_be_read_count(
    chain: Simulator, fresh: Iterator[str], tmp_path: Path, shared: bool
) -> None:
    with ExitStack() as stack:
        settings: dict[str, object] = {"API_KEY_REQUIRED": "true", "RATE_LIMIT_WALLETS": 2}
        if shared:
            redis = stack.enter_context(redis_server())
            settings |= {"REDIS_URL": redis.url.reveal(), "SECRET_KEY": SECRET}
        srv = stack.enter_context(server(tmp_path, chain.url, **settings))
        key, follower = srv.key(), srv.key()
        followed, own, third = next(fresh), next(fresh), next(fresh)
        headers = {"X-API-Key": follower}
        stream = stack.enter_context(EventSource(srv.stream(followed, "follow=true"), headers))
        stream.until("complete")
        by_key = ("X-API-Key", key)
        for _ in range(5):
            assert asked(srv, followed, by_key).status == 200  # somebody else follows it
        last = [read(srv, own, key)[-1] for _ in range(2)][-1]  # to the end: nobody reads it then
        assert [asked(srv, each, by_key).status for each in (third, own)] == [429, 429]
        refused = exchange(srv.url, f"/v4/wallet/{third}/stream", headers=[by_key])
        assert (refused.status, refused.problem()["code"]) == (429, "RATE_LIMIT")
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        assert refused.headers["ratelimit-policy"] == '"wallets";q=2;w=60'
        # Whoever goes on where it was is never locked out.
        begun = {"X-API-Key": key, "Last-Event-ID": f"{last.id.partition('-')[0]}-1"}
        with EventSource(srv.stream(own, "follow=true"), begun) as again:
            assert again.until("connected")[-1].data["resumed"]
        for invented in ("0-0", "0-1", f"{last.id.partition('-')[0]}-1"):
            assert asked(srv, third, by_key, ("Last-Event-ID", invented)).status == 429


def test_wallets_of_a_set_beyond_the_limit_wait_for_their_turn(
    chain: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    with redis_server() as redis:
        settings: dict[str, object] = {"API_KEY_REQUIRED": "true", "RATE_LIMIT_WALLETS": 2}
        settings |= {"REDIS_URL": redis.url.reveal(), "SECRET_KEY": SECRET}
        with server(tmp_path, chain.url, **settings) as srv:
            wallets = [next(fresh) for _ in range(4)]
            url = f"{srv.url}/v4/stream?" + "&".join(f"wallet={each}" for each in wallets)
            with EventSource(url, {"X-API-Key": srv.key()}) as stream:
                done = {stream.until("complete")[-1].data["wallet"] for _ in range(2)}
                assert done == set(wallets[:2])
                # What another key has read comes to all who ask for it.
                assert read(srv, wallets[3], srv.key())[-1].name == "complete"
                assert stream.until("complete")[-1].data["wallet"] == wallets[3]
                # A minute later.
                counted = redis.call("KEYS", "*:wallets").split()
                redis.call("DEL", *counted)
                assert stream.until("complete")[-1].data["wallet"] == wallets[2]
            srv.wait_for("active_streams", 0)


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "redis"])
def test_a_key_that_has_spent_its_credits_streams_what_was_read_and_reads_nothing_new(
    chain: Simulator, fresh: Iterator[str], tmp_path: Path, shared: bool
) -> None:
    with ExitStack() as stack:
        settings: dict[str, object] = {"API_KEY_REQUIRED": "true"}
        if shared:
            redis = stack.enter_context(redis_server())
            settings |= {"REDIS_URL": redis.url.reveal(), "SECRET_KEY": SECRET}
        srv = stack.enter_context(server(tmp_path, chain.url, **settings))
        key, other = srv.key("--credits", "30"), srv.key()
        wallets: list[str] = []
        while (last := read(srv, wallet := next(fresh), key)[-1]).name == "complete":
            wallets.append(wallet)
            assert len(wallets) <= 3
        assert (last.data["code"], wallets != []) == ("UPSTREAM_QUOTA", True)
        assert 0 < last.data["details"]["retry_after"] <= 86_400
        assert "key" in last.data["error"]
        assert read(srv, wallets[0], key)[-1].name == "complete"
        assert read(srv, wallet, other)[-1].name == "complete"
        assert read(srv, wallet, key)[-1].name == "complete"
        assert read(srv, next(fresh), key)[-1].name == "error"
        srv.stop()
        srv.start()
        # A restarted server asks its store about a key when the key comes, and waits for nothing.
        assert read(srv, wallets[0], key)[-1].name == "complete"
        ends = [read(srv, next(fresh), key)[-1].name for _ in range(2)]
        assert ends[-1] == "error"
        assert [each["credits"] for each in srv.keys("list")] == [30, None]
