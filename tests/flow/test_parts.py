"""A transaction with several trades, as streams and pages tell it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsource import EventSource
from processes import Server, Simulator, server
from stored_entries import store
from wd_client import TradeList, stream_sync

BOTH = "both"


@pytest.fixture
def served(chain: Simulator, wallet: str, tmp_path: Path) -> Iterator[Server]:
    """The newest transaction of the wallet has two trades: the first is a sale without a price."""
    with server(tmp_path, chain.url) as started:
        with EventSource(started.stream(wallet)) as stream:
            last = next(event.data for event in stream.until("complete")[::-1] if is_trade(event))
        started.kill()
        unpriced = last | {"value_usd": None, "price_usd": None, "pnl_usd": None, "priced": False}
        common = {"signature": BOTH, "parts": 2}
        first = unpriced | common | {"part": 0, "action": "sell", "number": last["number"] + 1}
        second = last | common | {"part": 1, "action": "burn", "number": last["number"] + 2}
        store(tmp_path, wallet, ("trade", first), ("trade", second))
        started.start()
        yield started


def is_trade(event: Any) -> bool:
    return bool(event.name == "trade")


def key(trade: dict[str, Any]) -> tuple[str, int]:
    return trade["signature"], trade["part"]


def ids(started: Server, wallet: str) -> dict[tuple[str, int], str]:
    """Of all trades, by key."""
    found: dict[tuple[str, int], str] = {}
    with EventSource(started.stream(wallet, "follow=true")) as stream:
        for event in stream:
            if is_trade(event):
                assert event.id is not None
                assert key(event.data) not in found
                found[key(event.data)] = event.id
                if key(event.data) == (BOTH, 1):
                    break
    return found


def test_who_resumes_after_the_first_trade_of_a_transaction_gets_the_second(
    served: Server, wallet: str
) -> None:
    known = ids(served, wallet)
    for query in ("follow=true", "follow=true&batch=1", "follow=true&batch=500"):
        headers = {"Last-Event-ID": known[BOTH, 0]}
        with EventSource(served.stream(wallet, query), headers) as stream:
            event = stream.until("trade", "trades")[-1]
        trades = event.data.get("trades", [event.data])
        assert [key(trade) for trade in trades] == [(BOTH, 1)]
        assert event.id == known[BOTH, 1]


def test_batches_have_each_trade_of_a_transaction_once(served: Server, wallet: str) -> None:
    known = list(ids(served, wallet))
    for size in (1, 7, 500):
        found: list[tuple[str, int]] = []
        with EventSource(served.stream(wallet, f"follow=true&batch={size}")) as stream:
            while len(found) < len(known):
                found += map(key, stream.until("trades")[-1].data["trades"])
        assert found == known


def test_a_page_that_ends_between_two_trades_of_a_transaction_leaves_the_second_to_the_next(
    served: Server, wallet: str
) -> None:
    known = ids(served, wallet)
    page = served.get(f"/v4/wallet/{wallet}/trades?after={known[BOTH, 0]}")
    assert [key(trade) for trade in page["trades"]] == [(BOTH, 1)]


def test_filters_see_each_trade_of_a_transaction_by_itself(served: Server, wallet: str) -> None:
    known = list(ids(served, wallet))

    def shown(query: str) -> list[tuple[str, int]]:
        with EventSource(served.stream(wallet, query)) as stream:
            return [key(event.data) for event in stream.until("complete") if is_trade(event)]

    burns = shown("side=burn")
    assert burns[-1] == (BOTH, 1)
    assert (BOTH, 0) not in burns
    assert shown("min_usd=0") == known
    assert (BOTH, 0) not in shown("min_usd=0.000001")


def test_the_python_client_keeps_both(served: Server, wallet: str) -> None:
    known = list(ids(served, wallet))
    trades = TradeList()
    for event in stream_sync(served.url, wallet, min_usd=0):
        trades.take(event)
    assert [(trade.signature, trade.part) for trade in trades] == known
    assert known[-2:] == [(BOTH, 0), (BOTH, 1)]
