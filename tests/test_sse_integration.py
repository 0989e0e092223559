"""The event stream as its clients see it, by the public contract alone.

Without anything set it starts a server and a simulated chain. Against a deployed server:

    API_URL=https://api.example TEST_WALLET=<address> pytest tests/test_sse_integration.py

TEST_WALLET is a wallet with trades (default: one of `wd-server --demo`), which may go on trading
meanwhile. Where the server asks for keys, TEST_API_KEY is one with room for 50 streams and some
hundred requests a minute.
"""

import os
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from chunks import Chunks
from deployed import PATIENCE, Event, Source
from eventsource import EventSource
from processes import server, simulator

# The wallet of 200 transactions of the simulator's usual market.
DEMO_WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
# An address that nobody has the key of, and so without a trade.
NOBODY = "1nc1nerator11111111111111111111111111111112"
CONCURRENT = 50

STEPS = [
    "initializing",
    "fetching_signatures",
    "fetching_transactions",
    "processing_trades",
    "calculating_pnl",
    "complete",
]
TRADE_FIELDS = {
    "signature",
    "part",
    "parts",
    "slot",
    "block_index",
    "timestamp",
    "action",
    "token_in",
    "token_out",
    "token",
    "price_usd",
    "price_sol",
    "value_usd",
    "value_sol",
    "fee_sol",
    "network_fee_sol",
    "priority_fee_sol",
    "tip_sol",
    "platform_fee_sol",
    "pnl_usd",
    "pnl_sol",
    "cost_basis",
    "unmatched_amount",
    "position_amount",
    "priced",
    "dex",
    "confidence",
    "commitment",
    "emitted_at",
    "number",
}
# What only some trades have.
SOME_FIELDS = {"postings", "replaces"}
LEG_FIELDS = {"mint", "symbol", "decimals", "amount", "amount_raw"}


class Api:
    """The server under test. `fresh(n)`: the n-th wallet that no other category streams, where
    the server is ours."""

    def __init__(self, url: str, key: str | None, wallets: list[str]) -> None:
        self.url = url.rstrip("/")
        self.ours = len(wallets) > 1
        self._headers = {"X-API-Key": key} if key else {}
        self._wallets = wallets

    @property
    def wallet(self) -> str:
        return self._wallets[0]

    def fresh(self, number: int) -> str:
        return self._wallets[number] if self.ours else self.wallet

    def open(
        self,
        path: str,
        accept: str | None = "text/event-stream",
        *,
        method: str = "GET",
        **headers: str,
    ) -> Source:
        given = self._headers | {name.replace("_", "-"): text for name, text in headers.items()}
        if accept is not None:
            given["Accept"] = accept
        return Source(self.url + path, given, method=method)

    def stream(self, wallet: str, query: str = "", **headers: str) -> Source:
        source = self.open(f"/v4/wallet/{wallet}/stream{query}", **headers)
        assert source.status in (200, 204), source.body()
        return source

    def read(self, wallet: str, query: str = "", **headers: str) -> list[Event]:
        """A whole stream that ends by itself."""
        with self.stream(wallet, query, **headers) as stream:
            return list(stream)

    def active_streams(self) -> int:
        with self.open("/health", "application/json") as health:
            body = health.body()
        match = re.search(rb'"active_streams": ?(\d+)', body)
        assert match is not None, body
        return int(match[1])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    url, key = os.environ.get("API_URL"), os.environ.get("TEST_API_KEY")
    if url:
        yield Api(url, key, [os.environ.get("TEST_WALLET", DEMO_WALLET)])
        return
    sizes = ("200", "1500", "400", "300", "250")
    chain_options = ("--only", *(f"--wallets={size}" for size in sizes), "--latency", "20")
    settings = {
        "SSE_KEEPALIVE_INTERVAL": 1,
        "RATE_LIMIT_REQUESTS": 0,
        "RATE_LIMIT_STREAMING_CONNECTIONS": 0,
    }
    # Without getTransactionsForAddress it takes many calls to read a wallet: progress has steps.
    with simulator(*chain_options, "--no-gtfa", "403", "--jitter", "20") as chain:
        folder = tmp_path_factory.mktemp("sse")
        with server(folder, chain.url, **settings) as served:
            yield Api(served.url, None, [address for address, _ in chain.wallets])


@pytest.fixture(scope="module")
def history(api: Api) -> list[Event]:
    """One whole stream of the wallet that most tests look at."""
    return api.read(api.wallet)


@pytest.fixture(scope="module")
def trades(history: list[Event]) -> list[dict[str, Any]]:
    found = [event.data for event in history if event.name == "trade"]
    assert found, "TEST_WALLET needs trades"
    return found


def _ids(events: Iterable[Event]) -> list[str]:
    return [event.id for event in events if event.id is not None]


def _position(event_id: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-(\d+)", event_id)
    assert match is not None, event_id
    return int(match[1]), int(match[2])


def _agree(api: Api, shown: list[Any], known: list[Any]) -> None:
    """Both are the same trades (and `complete`s). A wallet of a server that isn't ours may have
    gone on trading in between: the shorter one is the beginning of the longer one then."""
    if not api.ours:
        shown, known = (
            [each for each in kept if isinstance(each, dict) or each[0] == "trade"]
            for kept in (shown, known)
        )
        length = min(len(shown), len(known))
        assert length > 0
        shown, known = shown[:length], known[:length]
    assert shown == known


def _kept(events: Iterable[Event]) -> list[tuple[str, str | None, dict[str, Any]]]:
    """What every client is to get alike: the events with ids."""
    return [(event.name, event.id, event.data) for event in events if event.id is not None]


class TestBasicConnection:
    def test_the_response_is_an_event_stream_that_nobody_buffers(self, api: Api) -> None:
        with api.stream(api.wallet) as stream:
            assert stream.status == 200
            assert stream.media_type == "text/event-stream"
            assert "no-cache" in stream.headers["cache-control"]
            if api.ours:  # a proxy may take this one for itself
                assert stream.headers["x-accel-buffering"] == "no"

    def test_the_security_headers_are_there(self, api: Api) -> None:
        with api.stream(api.wallet) as stream:
            headers = stream.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-xss-protection"] == "1; mode=block"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers

    def test_connected_comes_first_with_all_its_fields(self, api: Api) -> None:
        with api.stream(api.wallet) as stream:
            connected = next(iter(stream))
            stream_id = stream.headers["x-stream-id"]
        assert (connected.name, connected.id) == ("connected", None)
        data = connected.data
        assert data.keys() == {
            "stream_id",
            "wallet",
            "timestamp",
            "resumed",
            "heartbeat_seconds",
            "follow",
            "server",
        }
        assert str(UUID(data["stream_id"])) == data["stream_id"] == stream_id
        assert data["wallet"] == api.wallet
        assert isinstance(data["timestamp"], int)
        assert (data["resumed"], data["follow"]) == (False, False)
        assert data["heartbeat_seconds"] >= 1
        assert data["server"].startswith("wd-server")

    def test_head_and_first_event_leave_in_one_write(self, api: Api) -> None:
        if not api.ours:  # what a proxy makes of it can't be told from here
            with api.stream(api.wallet) as stream:
                assert next(iter(stream)).name == "connected"
            return
        with EventSource(f"{api.url}/v4/wallet/{api.wallet}/stream") as raw:
            head, _, rest = raw.first_bytes.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert raw.headers["Transfer-Encoding"] == "chunked"
        body = Chunks().feed(rest)
        assert body.startswith(b"event: connected\ndata: {")
        assert b"\n\n" in body

    def test_every_stream_has_an_id_of_its_own(self, api: Api) -> None:
        ids = set()
        for _ in range(5):
            with api.stream(api.wallet) as stream:
                ids.add(stream.headers["x-stream-id"])
        assert len(ids) == 5

    def test_follow_is_echoed_and_keeps_the_stream_open(self, api: Api) -> None:
        with api.stream(NOBODY, "?follow=true") as stream:
            events = stream.until("complete")
            assert events[0].data["follow"] is True
            assert stream.until("heartbeat")

    def test_without_follow_the_stream_ends_after_complete(self, history: list[Event]) -> None:
        assert history[-1].name == "complete"
        assert [event.name for event in history].count("complete") == 1

    def test_head_sends_the_headers_alone(self, api: Api) -> None:
        with api.open(f"/v4/wallet/{api.wallet}/stream", method="HEAD") as answer:
            assert (answer.status, answer.media_type) == (200, "text/event-stream")
            assert answer.body() == b""

    @pytest.mark.parametrize("accept", [None, "*/*", "text/event-stream, */*;q=0.1"])
    def test_clients_that_ask_for_nothing_special_get_the_stream(
        self, api: Api, accept: str | None
    ) -> None:
        with api.open(f"/v4/wallet/{api.wallet}/stream", accept) as stream:
            assert stream.media_type == "text/event-stream"
            assert next(iter(stream)).name == "connected"


class TestTradeStreaming:
    def test_every_trade_has_exactly_the_fields_of_the_contract(
        self, trades: list[dict[str, Any]]
    ) -> None:
        for trade in trades:
            assert trade.keys() - SOME_FIELDS == TRADE_FIELDS
            assert trade["token_in"].keys() == trade["token_out"].keys() == LEG_FIELDS
            assert trade["action"] in ("buy", "sell", "swap", "burn")
            assert trade["cost_basis"] in ("fifo", "average")
            assert trade["confidence"] in ("high", "low")
            assert trade["dex"]
            assert isinstance(trade["slot"], int)
            assert isinstance(trade["timestamp"], int)
            assert isinstance(trade["emitted_at"], int)
            assert trade["emitted_at"] > 10**12

    def test_trades_come_oldest_first_and_once(self, trades: list[dict[str, Any]]) -> None:
        slots = [trade["slot"] for trade in trades]
        assert slots == sorted(slots)
        signatures = [trade["signature"] for trade in trades]
        assert len(set(signatures)) == len(signatures)

    def test_ids_count_from_one_without_holes(self, api: Api, history: list[Event]) -> None:
        positions = [_position(event_id) for event_id in _ids(history)]
        assert len({epoch for epoch, _ in positions}) == 1
        numbers = [number for _, number in positions]
        assert numbers == sorted(set(numbers))
        if api.ours:  # movements, and a `complete` that news came after, are entries not shown
            counted = [event.data["number"] for event in history if event.name == "trade"]
            assert counted == list(range(1, len(counted) + 1))

    def test_only_what_is_kept_has_an_id(self, history: list[Event]) -> None:
        for event in history:
            assert (event.id is not None) == (event.name in ("trade", "complete"))

    def test_amounts_are_exact(self, trades: list[dict[str, Any]]) -> None:
        for leg in (trade[side] for trade in trades for side in ("token_in", "token_out")):
            assert re.fullmatch(r"[1-9]\d*", leg["amount_raw"])
            assert leg["amount"] == Decimal(leg["amount_raw"]).scaleb(-leg["decimals"])

    def test_profit_is_realized_by_sales_and_never_by_buys(
        self, trades: list[dict[str, Any]]
    ) -> None:
        for trade in trades:
            if trade["action"] == "buy":
                assert (trade["pnl_usd"], trade["pnl_sol"]) == (None, None)
            assert trade["unmatched_amount"] >= 0
            assert trade["position_amount"] >= 0
            assert trade["unmatched_amount"] <= trade["token_in"]["amount"]
        sales = [trade for trade in trades if trade["action"] == "sell"]
        assert any(trade["pnl_sol"] is not None for trade in sales)

    def test_a_trade_is_priced_exactly_if_it_has_a_value(
        self, trades: list[dict[str, Any]]
    ) -> None:
        for trade in trades:
            assert trade["priced"] == (trade["value_usd"] is not None)
            assert trade["priced"] or trade["pnl_usd"] is None

    def test_complete_adds_up_what_was_streamed(
        self, history: list[Event], trades: list[dict[str, Any]]
    ) -> None:
        complete = history[-1].data
        assert complete.keys() >= {
            "status",
            "trades_found",
            "duration",
            "summary",
            "metrics",
            "truncated",
        }
        summary = complete["summary"]
        actions = Counter(trade["action"] for trade in trades)
        assert complete["status"] == "complete"
        assert complete["trades_found"] == summary["trades"] == len(trades)
        assert (summary["buys"], summary["sells"], summary["swaps"]) == (
            actions["buy"],
            actions["sell"],
            actions["swap"],
        )
        assert summary["priced_trades"] == sum(trade["priced"] for trade in trades)
        fees = summary["fees_sol"] - summary["failed_fees_sol"]
        assert fees >= _sum(trades, "fee_sol"), "what is no trade has fees, too"
        realized = summary["realized_pnl_sol"] - summary["custody_pnl_sol"]
        assert realized == _sum(trades, "pnl_sol")
        assert summary["realized_pnl_usd"] == _sum(trades, "pnl_usd")
        assert summary["volume_sol"] == _sum(trades, "value_sol")
        earned = summary["realized_pnl_sol"] + summary["round_trip_pnl_sol"]
        assert summary["net_pnl_sol"] == earned - summary["fees_sol"] - summary["rent_paid_sol"]

    @pytest.mark.parametrize("size", [1, 7, 500])
    def test_batches_hold_the_same_trades(
        self, api: Api, trades: list[dict[str, Any]], size: int
    ) -> None:
        events = api.read(api.wallet, f"?batch={size}")
        batches = [event.data for event in events if event.name == "trades"]
        assert all(1 <= len(batch["trades"]) <= size for batch in batches)
        yielded = [trade for batch in batches for trade in batch["trades"]]
        _agree(api, yielded, trades)
        assert [batch["batch_num"] for batch in batches] == list(range(1, len(batches) + 1))
        assert batches[-1]["total_yielded"] == len(yielded)
        assert [batch["has_more"] for batch in batches] == [True] * (len(batches) - 1) + [False]
        assert "trade" not in {event.name for event in events}

    @pytest.mark.parametrize("side", ["buy", "sell", "swap"])
    def test_a_side_can_be_asked_for(
        self, api: Api, trades: list[dict[str, Any]], side: str
    ) -> None:
        events = api.read(api.wallet, f"?side={side}")
        _agree(api, _trades(events), [trade for trade in trades if trade["action"] == side])
        assert events[-1].name == "complete"

    def test_a_token_and_a_time_can_be_asked_for(
        self, api: Api, trades: list[dict[str, Any]]
    ) -> None:
        middle = trades[len(trades) // 2]
        mint, since = middle["token_out"]["mint"], middle["timestamp"]
        shown = _trades(api.read(api.wallet, f"?mint={mint}&since={since}"))
        expected = [
            trade
            for trade in trades
            if trade["timestamp"] >= since
            and mint in (trade["token_in"]["mint"], trade["token_out"]["mint"])
        ]
        _agree(api, shown, expected)
        assert middle in shown

    def test_without_pricing_there_are_no_usd_values(
        self, api: Api, trades: list[dict[str, Any]]
    ) -> None:
        shown = _trades(api.read(api.wallet, "?skip_pricing=true"))
        bare = {"price_usd": None, "value_usd": None, "pnl_usd": None, "priced": False}
        _agree(api, shown, [trade | bare for trade in trades])


def _trades(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [event.data for event in events if event.name == "trade"]


def _sum(trades: Iterable[dict[str, Any]], field: str) -> Decimal:
    return sum((Decimal(trade[field]) for trade in trades if trade[field] is not None), Decimal(0))


@pytest.fixture(scope="module")
def first_pass(api: Api) -> list[Event]:
    """A wallet's first sync pass, where the server is ours."""
    return api.read(api.fresh(1))


@pytest.fixture(scope="module")
def said(api: Api, first_pass: list[Event]) -> list[dict[str, Any]]:
    said = [event.data for event in first_pass if event.name == "progress"]
    assert said or not api.ours
    return said


class TestProgressEvents:
    def test_progress_has_all_its_fields(self, said: list[dict[str, Any]]) -> None:
        for progress in said:
            assert progress.keys() == {
                "message",
                "percentage",
                "step",
                "signatures_found",
                "transactions_done",
                "trades_found",
                "timestamp",
            }
            assert progress["message"]
            assert progress["step"] in STEPS
            assert 0 <= progress["percentage"] <= 100

    def test_progress_never_goes_back(self, said: list[dict[str, Any]]) -> None:
        for before, after in pairwise(said):
            assert before["percentage"] <= after["percentage"]
            assert STEPS.index(before["step"]) <= STEPS.index(after["step"])
            for count in ("signatures_found", "transactions_done", "trades_found"):
                assert before[count] <= after[count]

    def test_progress_ends_with_100_just_before_complete(
        self, first_pass: list[Event], said: list[dict[str, Any]]
    ) -> None:
        assert first_pass[-1].name == "complete"
        if said:
            assert (said[-1]["percentage"], said[-1]["step"]) == (100, "complete")
            assert [progress["percentage"] for progress in said].count(100) == 1
            assert said[-1]["trades_found"] == first_pass[-1].data["trades_found"]

    def test_a_long_analysis_is_told_in_steps(self, api: Api, said: list[dict[str, Any]]) -> None:
        if api.ours:
            assert said[0]["step"] == "initializing"
            assert len({progress["percentage"] for progress in said}) >= 3
            assert {progress["step"] for progress in said} - {"initializing", "complete"}

    def test_at_most_four_are_sent_a_second(self, said: list[dict[str, Any]]) -> None:
        assert max(Counter(progress["timestamp"] for progress in said).values(), default=0) <= 4

    def test_progress_begins_before_the_first_trade(
        self, api: Api, first_pass: list[Event]
    ) -> None:
        if api.ours:
            names = [event.name for event in first_pass]
            assert "progress" in names[: names.index("trade")]

    def test_the_preview_is_of_the_newest_trades_and_without_profit(
        self, api: Api, first_pass: list[Event]
    ) -> None:
        previews = [event for event in first_pass if event.name == "preview"]
        # At once, and once more if names or prices were slower.
        assert len(previews) <= 2
        if api.ours:
            assert previews, "this wallet's list takes several pages"
        for preview in previews:
            shown = preview.data["trades"]
            assert 1 <= len(shown) <= 25
            assert preview.id is None
            assert all(trade["pnl_sol"] is None for trade in shown)
            newest = [trade["signature"] for trade in _trades(first_pass)][-len(shown) :]
            assert [trade["signature"] for trade in shown] == newest


class TestErrorHandling:
    BAD = ("x", "1" * 31, "1" * 33, "0" * 43, "%00" * 40)

    @pytest.mark.parametrize("wallet", BAD)
    @pytest.mark.parametrize("accept", ["text/event-stream", "*/*", None])
    def test_a_malformed_address_is_one_error_event(
        self, api: Api, wallet: str, accept: str | None
    ) -> None:
        with api.open(f"/v4/wallet/{wallet}/stream", accept) as stream:
            assert (stream.status, stream.media_type) == (200, "text/event-stream")
            events = list(stream)
        assert [event.name for event in events] == ["error"]
        _assert_error(events[0], "INVALID_WALLET")

    @pytest.mark.parametrize("wallet", BAD)
    def test_who_asks_for_json_gets_400(self, api: Api, wallet: str) -> None:
        with api.open(f"/v4/wallet/{wallet}/stream", "application/json") as answer:
            assert (answer.status, answer.media_type) == (400, "application/problem+json")
            assert b'"INVALID_WALLET"' in answer.body()

    @pytest.mark.parametrize(
        "query", ["batch=0", "batch=501", "last_event_id=abc", "side=up", "follow=2", "since=x"]
    )
    def test_a_bad_value_is_an_error_event_or_400(self, api: Api, query: str) -> None:
        path = f"/v4/wallet/{api.wallet}/stream?{query}"
        with api.open(path) as stream:
            assert stream.status == 200
            (error,) = stream
        _assert_error(error, "INVALID_PARAMETER")
        assert query.partition("=")[0] in error.data["error"]
        with api.open(path, "application/json") as answer:
            assert (answer.status, answer.media_type) == (400, "application/problem+json")

    def test_unknown_parameters_are_ignored(self, api: Api, history: list[Event]) -> None:
        _agree(api, _kept(api.read(api.wallet, "?colour=blue&batch_size=0")), _kept(history))

    def test_a_wallet_without_trades_is_no_error(self, api: Api) -> None:
        events = api.read(NOBODY)
        complete = events[-1]
        assert complete.name == "complete"
        assert _trades(events) == []
        assert complete.data["trades_found"] == 0
        assert complete.data["summary"]["trades"] == 0
        assert complete.data["summary"]["realized_pnl_sol"] == 0

    @pytest.mark.parametrize("path", ["/v4/wallet", "/v4/wallet/a/b/stream", "/stream"])
    def test_an_unknown_path_is_404(self, api: Api, path: str) -> None:
        with api.open(path) as answer:
            assert (answer.status, answer.media_type) == (404, "application/problem+json")

    def test_a_stream_takes_no_post(self, api: Api) -> None:
        with api.open(f"/v4/wallet/{api.wallet}/stream", method="POST") as answer:
            assert answer.status == 405
            assert "GET" in answer.headers["allow"]


def _assert_error(event: Event, code: str) -> None:
    assert event.name == "error"
    assert event.id is None
    assert event.retry is not None
    assert event.retry > 0
    assert event.data.keys() == {"error", "code", "details", "timestamp"}
    assert event.data["code"] == code
    assert re.fullmatch(r"[^\n]+\.", event.data["error"])
    assert "Traceback" not in event.data["error"]


@pytest.fixture(scope="module")
def silence(api: Api) -> list[Event]:
    """A stream with nothing to say, from its `connected` to its second heartbeat."""
    with api.stream(NOBODY, "?follow=true") as stream:
        events = [next(iter(stream))]
        stream.socket.settimeout(events[0].data["heartbeat_seconds"] + PATIENCE)
        return events + stream.take(2, "heartbeat")


class TestHeartbeat:
    def test_a_silent_stream_has_heartbeats(self, silence: list[Event]) -> None:
        assert [event.name for event in silence].count("heartbeat") == 2
        assert silence[-2].name == "heartbeat"

    def test_a_heartbeat_has_a_timestamp_and_no_id(self, silence: list[Event]) -> None:
        for heartbeat in silence[-2:]:
            assert heartbeat.data.keys() == {"timestamp"}
            assert isinstance(heartbeat.data["timestamp"], int)
            assert heartbeat.id is None

    def test_heartbeats_are_as_far_apart_as_was_said(self, silence: list[Event]) -> None:
        seconds = silence[0].data["heartbeat_seconds"]
        first, second = (event.data["timestamp"] for event in silence[-2:])
        assert second - first >= max(1, seconds - 1)

    def test_no_heartbeat_is_sent_while_there_is_news(self, history: list[Event]) -> None:
        seconds = history[0].data["heartbeat_seconds"]
        for before, event in pairwise(history):
            if event.name == "heartbeat":
                assert event.at - before.at > seconds / 2

    def test_heartbeats_move_no_position(self, api: Api, silence: list[Event]) -> None:
        last = _ids(silence)[-1]
        with api.stream(NOBODY, "?follow=true", Last_Event_ID=last) as stream:
            events = [next(iter(stream))]
            stream.socket.settimeout(events[0].data["heartbeat_seconds"] + PATIENCE)
            events += stream.until("heartbeat")
        assert events[0].data["resumed"] is True
        assert _ids(events) == []


class TestConcurrentStreams:
    def test_fifty_streams_of_one_wallet_are_identical(self, api: Api) -> None:
        wallet = api.fresh(2)
        with ExitStack() as stack:
            streams = [stack.enter_context(api.stream(wallet)) for _ in range(CONCURRENT)]
            assert api.active_streams() >= CONCURRENT or not api.ours
            played = [_kept(stream) for stream in streams]
        for each in played:
            assert each[-1][0] == "complete"
            _agree(api, each, played[0])

    def test_every_one_of_them_sees_the_progress_to_its_end(self, api: Api) -> None:
        wallet = api.fresh(3)
        with ExitStack() as stack:
            streams = [stack.enter_context(api.stream(wallet)) for _ in range(5)]
            played = [list(stream) for stream in streams]
        for events in played:
            said = [event.data["percentage"] for event in events if event.name == "progress"]
            assert said == sorted(said)
            assert (said and said[-1] == 100) or not api.ours

    def test_streams_with_other_wishes_do_not_disturb_each_other(
        self, api: Api, trades: list[dict[str, Any]]
    ) -> None:
        queries = ["", "?batch=5", "?side=sell", "?skip_pricing=true", "?follow=true"]
        with ExitStack() as stack:
            streams = [stack.enter_context(api.stream(api.wallet, each)) for each in queries]
            plain, batched, sells, bare, following = (each.until("complete") for each in streams)
        batches = (event.data["trades"] for event in batched if event.name == "trades")
        _agree(api, _trades(plain), trades)
        _agree(api, _trades(following), trades)
        _agree(api, [trade for batch in batches for trade in batch], trades)
        _agree(api, _trades(sells), [trade for trade in trades if trade["action"] == "sell"])
        assert not any(trade["priced"] for trade in _trades(bare))

    def test_streams_of_several_wallets_stay_apart(
        self, api: Api, trades: list[dict[str, Any]]
    ) -> None:
        with api.stream(NOBODY) as nobody, api.stream(api.wallet) as somebody:
            _agree(api, _trades(somebody), trades)
            assert _trades(nobody) == []

    def test_one_that_does_not_read_holds_nobody_up(self, api: Api, history: list[Event]) -> None:
        with api.stream(api.wallet, "?follow=true"):
            for _ in range(3):
                _agree(api, _kept(api.read(api.wallet)), _kept(history))


class TestStreamCancellation:
    def test_a_cancelled_stream_is_no_longer_active(self, api: Api) -> None:
        before = api.active_streams()
        with ExitStack() as stack:
            streams = [
                stack.enter_context(api.stream(api.wallet, "?follow=true")) for _ in range(5)
            ]
            for stream in streams:
                stream.until("complete")
            assert api.active_streams() >= before + 5 or not api.ours
        _wait_until_gone(api, before)

    def test_one_cancelled_in_the_middle_is_gone_as_well(self, api: Api) -> None:
        before = api.active_streams()
        with api.stream(api.wallet, "?follow=true") as stream:
            stream.until("trade")
        _wait_until_gone(api, before)

    def test_one_that_resets_its_connection_is_gone_as_well(self, api: Api) -> None:
        before = api.active_streams()
        with api.stream(api.wallet, "?follow=true") as stream:
            stream.until("trade")
            no_goodbye = struct.pack("ii", 1, 0)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_goodbye)
        _wait_until_gone(api, before)

    def test_one_cancelled_at_once_is_gone_as_well(self, api: Api) -> None:
        before = api.active_streams()
        for _ in range(20):
            api.stream(api.wallet, "?follow=true").close()
        _wait_until_gone(api, before)

    def test_the_others_go_on(self, api: Api, trades: list[dict[str, Any]]) -> None:
        with api.stream(api.wallet) as staying:
            with api.stream(api.wallet) as leaving:
                leaving.until("trade")
            _agree(api, _trades(staying), trades)

    def test_a_cancelled_analysis_goes_on_for_the_next(self, api: Api) -> None:
        with api.stream(api.fresh(4)) as stream:
            stream.until("connected")
        events = api.read(api.fresh(4))
        assert events[-1].name == "complete"
        assert events[-1].data["trades_found"] == len(_trades(events)) > 0

    def test_a_finished_stream_is_gone_by_itself(self, api: Api) -> None:
        before = api.active_streams()
        api.read(api.wallet)
        _wait_until_gone(api, before)


def _wait_until_gone(api: Api, before: int) -> None:
    """The server learns of it when the client's FIN or RST arrives; on a server that others use,
    too, only that it answers."""
    deadline = time.monotonic() + PATIENCE
    while api.active_streams() > before:
        if not api.ours:
            return
        assert time.monotonic() < deadline, "cancelled streams are still active"


class TestReconnection:
    @pytest.mark.parametrize("way", ["header", "parameter"])
    @pytest.mark.parametrize("read", [1, 10, 60])
    def test_a_stream_goes_on_after_the_last_id(
        self, api: Api, history: list[Event], way: str, read: int
    ) -> None:
        kept = _kept(history)
        position = kept[min(read, len(kept) - 2) - 1][1]
        assert position is not None
        if way == "header":
            events = api.read(api.wallet, Last_Event_ID=position)
        else:
            events = api.read(api.wallet, f"?last_event_id={position}")
        assert events[0].data["resumed"] is True
        assert "gap" not in {event.name for event in events}
        _agree(api, _kept(events), kept[min(read, len(kept) - 2) :])

    def test_a_client_that_drops_off_again_and_again_misses_nothing(
        self, api: Api, history: list[Event]
    ) -> None:
        collected: list[tuple[str, str | None, dict[str, Any]]] = []
        headers: dict[str, str] = {}
        while not collected or collected[-1][0] != "complete":
            with api.stream(api.wallet, **headers) as stream:
                for event in stream:
                    collected += _kept([event])
                    if event.id and len(collected) % 31 == 0:
                        break
            headers = {"Last_Event_ID": str(collected[-1][1])}
        _agree(api, collected, _kept(history))
        assert len({each[1] for each in collected}) == len(collected)

    def test_batches_are_resumed_where_they_ended(
        self, api: Api, trades: list[dict[str, Any]]
    ) -> None:
        with api.stream(api.wallet, "?batch=20") as stream:
            first = stream.until("trades")[-1]
        assert first.id is not None
        rest = api.read(api.wallet, Last_Event_ID=first.id)
        _agree(api, first.data["trades"] + _trades(rest), trades)

    def test_who_has_seen_complete_is_told_to_stop(self, api: Api) -> None:
        for wallet in (NOBODY, api.wallet) if api.ours else (NOBODY,):
            last = _ids(api.read(wallet))[-1]
            for query, headers in (("", {"Last_Event_ID": last}), (f"?last_event_id={last}", {})):
                with api.stream(wallet, query, **headers) as answer:
                    assert answer.status == 204
                    assert answer.body() == b""

    def test_who_follows_stays_after_complete(self, api: Api) -> None:
        last = _ids(api.read(NOBODY))[-1]
        with api.stream(NOBODY, "?follow=true", Last_Event_ID=last) as stream:
            assert stream.status == 200
            events = stream.until("heartbeat")
        assert events[0].data["resumed"] is True
        assert _ids(events) == []

    @pytest.mark.parametrize("ahead", [1, 10_000])
    def test_an_id_from_the_future_is_a_gap_and_a_full_replay(
        self, api: Api, history: list[Event], ahead: int
    ) -> None:
        epoch, newest = _position(_ids(history)[-1])
        if not api.ours:
            ahead += 1000  # out of reach of what happens meanwhile
        self._assert_replayed(api, history, f"{epoch}-{newest + ahead}")

    def test_an_id_of_another_wallet_is_a_gap_and_a_full_replay(
        self, api: Api, history: list[Event]
    ) -> None:
        self._assert_replayed(api, history, _ids(api.read(NOBODY))[-1])

    @pytest.mark.parametrize("shift", [-1, 1])
    def test_an_id_of_another_epoch_is_a_gap_and_a_full_replay(
        self, api: Api, history: list[Event], shift: int
    ) -> None:
        epoch, _ = _position(_ids(history)[0])
        self._assert_replayed(api, history, f"{epoch + shift}-1")

    def _assert_replayed(self, api: Api, history: list[Event], position: str) -> None:
        connected, gap, *events = api.read(api.wallet, Last_Event_ID=position)
        assert connected.data["resumed"] is False
        assert (gap.name, gap.id) == ("gap", None)
        assert gap.data["reason"] in ("unknown_id", "expired", "reset")
        assert gap.data["from"] == position
        _agree(api, _kept(events), _kept(history))
