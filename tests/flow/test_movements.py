"""What transactions without a trade moved, as streams and pages tell it, from either store."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from eventsource import Event, EventSource
from processes import Server, Simulator, server, simulator
from redis_server import RedisServer
from wire import exchange

SIZE = 60
MOVEMENTS = "include=movements"
# Transactions among which one is sure to be no trade.
APPENDED_MOST = 60


@pytest.fixture(scope="module")
def moving_chain() -> Iterator[Simulator]:
    with simulator("--only", f"--wallets={SIZE}") as started:
        yield started


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def nodes(
    request: pytest.FixtureRequest,
    moving_chain: Simulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Server]]:
    """One server with a file, or two with one Redis."""
    folder = tmp_path_factory.mktemp("movements")
    settings: dict[str, object] = {"POLL_SECONDS": 1}
    with ExitStack() as stack:
        if request.param == "redis":
            redis = RedisServer(folder / "redis")
            stack.callback(redis.stop)
            redis.start()
            settings["REDIS_URL"] = redis.url.reveal()
        names = ["one", "other"] if request.param == "redis" else ["one"]
        yield [
            stack.enter_context(server(folder / name, moving_chain.url, **settings))
            for name in names
        ]


def read(served: Server, wallet: str, query: str = "", last: str | None = None) -> list[Event]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with EventSource(served.stream(wallet, query), headers) as stream:
        assert stream.status == 200
        events = list(stream)
        assert stream.ended
    return [event for event in events if event.id]


def status(served: Server, wallet: str, query: str, last: str | None) -> int:
    path = f"/v4/wallet/{wallet}/stream?{query}"
    return exchange(served.url, path, headers=[("Last-Event-ID", str(last))]).status


def seqs(events: list[Event]) -> list[int]:
    return [int(str(event.id).partition("-")[2]) for event in events]


def test_only_who_asks_for_movements_gets_them_and_every_entry_is_chained_in(
    nodes: list[Server], moving_chain: Simulator
) -> None:
    served, wallet = nodes[0], moving_chain.wallet(SIZE)
    plain, whole = read(served, wallet), read(nodes[-1], wallet, MOVEMENTS)
    assert {event.name for event in plain} == {"trade", "complete"}
    assert [event for event in whole if event.name != "movement"] == plain
    assert seqs(whole) == list(range(1, len(whole) + 1))
    assert [event.data["number"] for event in plain[:-1]] == list(range(1, len(plain)))
    movements = [event for event in whole if event.name == "movement"]
    failed = [event for event in movements if event.data["reason"] == "failed"]
    assert 0 < len(failed) < len(movements)
    assert all(each.data["postings"] for each in movements)
    complete = whole[-1].data
    assert complete["entries_all"] == len(whole) - 1
    assert complete["entries"] == len(plain) - 1
    assert complete["metrics"]["movements"] == len(movements)
    assert complete["metrics"]["failed_transactions"] == len(failed)
    assert complete["metrics"]["unexplained_transactions"] == 0


def test_pages_have_the_same_movements_as_the_stream(
    nodes: list[Server], moving_chain: Simulator
) -> None:
    served, wallet = nodes[-1], moving_chain.wallet(SIZE)
    whole = read(served, wallet, MOVEMENTS)
    told = {
        kind: [event.data for event in whole if event.name == kind]
        for kind in ("trade", "movement")
    }
    assert pages(served, f"/v4/wallet/{wallet}/movements", "movements") == told["movement"]
    both = f"/v4/wallet/{wallet}/trades?{MOVEMENTS}"
    assert pages(served, both, "movements") == told["movement"]
    assert pages(served, both, "trades") == told["trade"]
    first = served.get(f"/v4/wallet/{wallet}/trades?limit=7")
    assert len(first["trades"]) == 7  # of movements in between it has more to go through
    assert "movements" not in first


def pages(served: Server, path: str, field: str) -> list[Any]:
    found: list[Any] = []
    after = f"{'&' if '?' in path else '?'}limit=7"
    while True:
        page = served.get(path + after)
        assert len(page["movements"]) <= 7
        found += page[field]
        if page["next"] is None:
            return found
        after = f"{after.partition('limit')[0]}limit=7&after={page['next']}"


def test_filters_of_tokens_and_times_hide_movements_and_those_of_trades_do_not(
    nodes: list[Server], moving_chain: Simulator
) -> None:
    served, wallet = nodes[0], moving_chain.wallet(SIZE)
    movements = [event for event in read(served, wallet, MOVEMENTS) if event.name == "movement"]
    mint = next(
        posting["mint"]
        for each in reversed(movements)
        for posting in each.data["postings"]
        if posting["symbol" if "symbol" in posting else "mint"] != "SOL"
    )
    since = movements[len(movements) // 2].data["timestamp"]
    for query, expected in (
        (f"mint={mint}", [e for e in movements if mint in str(e.data["postings"])]),
        (f"since={since}", [e for e in movements if e.data["timestamp"] >= since]),
        ("side=burn&min_usd=1000000", movements),
    ):
        shown = read(served, wallet, f"{MOVEMENTS}&{query}")
        assert [event for event in shown if event.name == "movement"] == expected


def test_movements_alone_make_no_new_complete_and_the_old_one_still_ends_a_stream(
    nodes: list[Server], moving_chain: Simulator
) -> None:
    served, other, wallet = nodes[0], nodes[-1], moving_chain.wallet(SIZE)
    with (
        EventSource(served.stream(wallet, f"follow=true&{MOVEMENTS}")) as follower,
        EventSource(other.stream(wallet, "follow=true")) as without,
    ):
        follower.until("complete")
        without.until("complete")
        complete, movement = read(served, wallet)[-1], None
        for _ in range(APPENDED_MOST):
            (signature,) = moving_chain.call("simAppend", wallet, 1)
            told = until_told(follower, signature)
            if told.name == "movement":
                movement = told
                break
            complete = read(served, wallet)[-1]  # overtaken, and made anew for this stream
            follower.until("complete")
        assert movement is not None
        assert movement.data["complete"] == complete.id
        assert read(served, wallet)[-1] == complete
        # It was pushed without its block's time, and told again when the history had that.
        after = read(served, wallet, MOVEMENTS, complete.id)
        assert {each.data["signature"] for each in after} == {movement.data["signature"]}
        for node in nodes:
            # Also one that wasn't there when it came, and has it from the store.
            assert read(node, wallet)[-1] == complete
            assert read(node, wallet, MOVEMENTS)[-1 - len(after) :] == [complete, *after]
            assert read(node, wallet, MOVEMENTS, complete.id) == after
            assert status(node, wallet, "", complete.id) == 204
            assert status(node, wallet, "", after[-1].id) == 204
            assert status(node, wallet, MOVEMENTS, after[-1].id) == 204
            several = f"/v4/stream?wallet={wallet}"
            last = last_of_several(node, several)
            assert exchange(node.url, several, headers=[("Last-Event-ID", last)]).status == 204


def last_of_several(node: Server, path: str) -> str:
    with EventSource(node.url + path) as stream:
        return [str(event.id) for event in stream if event.id][-1]


def until_told(stream: EventSource, signature: str) -> Event:
    for event in stream:
        if event.data.get("signature") == signature and event.name in ("trade", "movement"):
            return event
    raise AssertionError(f"the stream ended before {signature}")
