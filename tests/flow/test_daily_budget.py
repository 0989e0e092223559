"""A day's budget of credits is one for the service: over restarts, and for all nodes of a Redis."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from eventsource import EventSource
from processes import PATIENCE, Server, Simulator, server, simulator
from redis_server import RedisServer, redis_server

SECRET = "a secret that all nodes have, of 32 or more characters"
# What two or three of the wallets cost.
BUDGET = 50
TODAY, OWN = "upstream_credits_today", "upstream_credits_today_own"
TO_WEBHOOK = 'upstream_credits_total{method="webhook"}'


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with simulator("--only", "--wallets", "30x20") as started:
        yield started


@pytest.fixture(scope="module")
def fresh(chain: Simulator) -> Iterator[str]:
    return iter([address for address, _ in chain.wallets])


def end(asked: Server, wallet: str) -> str:
    """How a stream of a wallet ends: `complete`, or the code of an error."""
    with EventSource(asked.stream(wallet)) as stream:
        last = stream.until("complete", "error")[-1]
    code: str = last.data.get("code", last.name)
    return code


def spend_all(asked: Server, fresh: Iterator[str]) -> None:
    while (ended := end(asked, next(fresh))) != "UPSTREAM_QUOTA":
        assert ended == "complete"


def refuses(asked: Server, chain: Simulator, wallet: str) -> bool:
    """Whether it has nothing left, and so asks the chain nothing."""
    before = chain.requests()
    return end(asked, wallet) == "UPSTREAM_QUOTA" and chain.requests() == before


def two_nodes(
    stack: ExitStack, chain: Simulator, redis: RedisServer, folder: Path, **settings: object
) -> list[Server]:
    shared = {"REDIS_URL": redis.url.reveal(), "SECRET_KEY": SECRET, **settings}
    return [
        stack.enter_context(server(folder / name, chain.url, **shared)) for name in ("one", "two")
    ]


def test_a_restart_brings_no_new_budget(
    chain: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, UPSTREAM_DAILY_CREDITS=BUDGET) as started:
        spend_all(started, fresh)
        spent = started.metrics()[TODAY]
        assert spent >= BUDGET
        assert started.stop() == 0
        started.start()
        shown = started.metrics()
        assert (shown[TODAY], shown[OWN], shown["upstream_credits_limit"]) == (spent, 0, BUDGET)
        assert refuses(started, chain, next(fresh))


def test_without_a_budget_nothing_is_kept_of_it(
    chain: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        assert end(started, next(fresh)) == "complete"
        assert TODAY not in started.metrics()
        started.stop()
    assert not list(tmp_path.glob("credits.db*"))


def test_nodes_with_one_redis_have_one_budget_that_outlives_a_kill(
    chain: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    with redis_server() as redis, ExitStack() as stack:
        one, two = two_nodes(stack, chain, redis, tmp_path, UPSTREAM_DAILY_CREDITS=BUDGET)
        assert end(two, next(fresh)) == "complete"
        spend_all(one, fresh)
        for node in (one, two):
            node.wait_for(TODAY, one.metrics()[OWN] + two.metrics()[OWN])
        assert two.metrics()[OWN] < BUDGET
        assert refuses(two, chain, next(fresh))
        one.kill()
        one.start()
        assert one.metrics()[OWN] == 0
        assert one.metrics()[TODAY] >= BUDGET
        assert refuses(one, chain, next(fresh))


def test_what_is_spent_while_redis_is_away_is_counted_once_it_is_back_even_empty(
    chain: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    settings = {"UPSTREAM_DAILY_CREDITS": 1000, "WEBHOOK_SECRET": "a secret of the webhook"}
    with redis_server(keeps=False) as redis, ExitStack() as stack:
        one, two = two_nodes(stack, chain, redis, tmp_path, **settings)
        assert end(one, next(fresh)) == "complete"
        before = one.metrics()[OWN]
        for node in (one, two):
            node.wait_for(TODAY, before)
        redis.stop()
        deliver(one, 20)
        assert one.metrics()[TODAY] == before + 20
        for node in (one, two):
            node.wait_until_logged("spent credits can't be stored")
        redis.start()
        for node in (one, two):
            node.wait_for(TODAY, before + 20)
            node.wait_until_logged("spent credits are stored again")
        assert two.metrics()[OWN] == 0


def deliver(to: Server, transactions: int) -> None:
    """By the webhook, which costs whether or not somebody wants them: nobody wants these."""
    request = Request(
        f"{to.url}/v4/webhooks/helius",
        json.dumps([{}] * transactions).encode(),
        {"Authorization": "a secret of the webhook", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=PATIENCE) as response:
        assert response.status == 200
    to.wait_for(TO_WEBHOOK, transactions)
