"""What the upstream tells of reaches those who follow, whatever happens to the connection."""

import asyncio
from collections.abc import Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
from scripted_chain import name_of, signed
from scripted_rpc import Reply, ScriptedRpc, bench, run
from scripted_socket import scripted_socket, until
from structlog.testing import capture_logs

from wd_server.chain import live as living
from wd_server.chain import websocket
from wd_server.chain.credits import Credits
from wd_server.chain.live import LiveTransactions
from wd_server.chain.payloads import Transaction
from wd_server.chain.websocket import UpstreamSocket, UpstreamSubscription
from wd_server.trading.programs import SOL

METHOD_NOT_FOUND = {"code": -32601, "message": "Method not found"}


class RecordingObserver:
    def __init__(self) -> None:
        self.pushed: list[tuple[str, str]] = []
        self.gaps: list[list[str]] = []
        self.lost: list[list[str]] = []
        self.changed = asyncio.Event()

    def follows(self, wallet: str) -> bool:
        return True

    def on_transaction(self, wallet: str, transaction: Transaction) -> None:
        self.pushed.append((wallet, name_of(transaction.signature)))
        self.changed.set()

    def on_gap(self, wallets: Iterable[str]) -> None:
        self.gaps.append(sorted(wallets))
        self.changed.set()

    def on_lost(self, wallets: Iterable[str]) -> None:
        self.lost.append(sorted(wallets))


class World:
    def __init__(
        self, socket: Any, rpc: ScriptedRpc, live: LiveTransactions, observer: RecordingObserver
    ) -> None:
        self.socket = socket
        self.rpc = rpc
        self.live = live
        self.observer = observer

    async def gaps(self, count: int) -> None:
        await until(self.observer.changed, lambda: len(self.observer.gaps) >= count)

    async def pushed(self, count: int) -> None:
        await until(self.observer.changed, lambda: len(self.observer.pushed) >= count)

    async def subscribed(self, *wallets: list[str]) -> None:
        expected = [list(each) for each in wallets]
        await until(self.socket.changed, lambda: self.socket.wallets() == expected)


@asynccontextmanager
async def world(connections_max: int = 2, **options: Any):
    async with scripted_socket() as socket, bench() as b:
        observer = RecordingObserver()
        live = LiveTransactions(
            socket.url,
            b.rpc,
            Credits(0, lambda: 0.0),
            connections_max=connections_max,
            socket=partial(UpstreamSocket, random=lambda: 0.0, **options),
        )
        live.set_observer(observer)
        try:
            yield World(socket, b.server, live, observer)
        finally:
            await live.close()


def notification(name: str, *wallets: str, owner: str | None = None) -> dict[str, Any]:
    signature = signed(name)
    balance = {"accountIndex": 0, "mint": SOL, "owner": owner}
    amount = {"amount": "1", "decimals": 0}
    return {
        "slot": 7,
        "signature": signature,
        "transaction": {
            "transaction": {
                "signatures": [signature],
                "message": {"accountKeys": [{"pubkey": wallet} for wallet in wallets]},
            },
            "meta": {
                "err": None,
                "fee": 0,
                "preBalances": [1] * len(wallets),
                "postBalances": [1] * len(wallets),
                "postTokenBalances": [{**balance, "uiTokenAmount": amount}] if owner else [],
            },
        },
    }


def test_one_subscription_brings_the_transactions_of_many_wallets_to_those_who_follow_them():
    async def scenario():
        async with world() as w:
            for wallet in ("a", "b", "c"):
                w.live.follow(wallet)
            await w.gaps(1)
            assert w.observer.gaps == [["a", "b", "c"]]
            assert w.socket.wallets() == [["a", "b", "c"]]
            assert all(w.live.covers(wallet) for wallet in "abc")
            w.socket.notify(1, notification("s1", "x", "a", "c"))
            w.socket.notify(1, notification("s2", "x", owner="b"))
            await w.pushed(3)
            assert w.observer.pushed == [("a", "s1"), ("c", "s1"), ("b", "s2")]

    run(scenario)


def test_a_newcomer_stands_before_what_it_replaces_is_ended():
    async def scenario():
        async with world() as w:
            w.live.follow("a")
            await w.gaps(1)
            w.live.follow("b")
            await w.gaps(2)
            await w.subscribed(["a", "b"])
            methods = [request["method"] for request in w.socket.requests]
            assert methods == ["transactionSubscribe"] * 2 + ["transactionUnsubscribe"]
            assert w.observer.gaps == [["a"], ["b"]]

    run(scenario)


def test_who_left_is_told_nothing_and_a_deserted_subscription_ends():
    async def scenario():
        async with world() as w:
            w.live.follow("a")
            w.live.follow("b")
            w.live.follow("c")
            await w.gaps(1)
            w.live.unfollow("a")
            w.socket.notify(1, notification("s1", "a", "b"))
            await w.pushed(1)
            assert w.observer.pushed == [("b", "s1")]
            assert not w.live.covers("a")
            w.live.unfollow("b")
            w.live.unfollow("c")
            await w.subscribed()
            assert w.live.statistics().subscriptions == 0

    run(scenario)


def test_after_a_break_it_subscribes_anew_and_tells_of_the_gap_before_anything_newer():
    async def scenario():
        async with world() as w:
            w.live.follow("a")
            await w.gaps(1)
            w.socket.cut()
            await until(w.socket.changed, lambda: len(w.socket.standing) == 1)
            w.socket.notify(2, notification("s1", "a"))
            await w.pushed(1)
            assert w.observer.gaps == [["a"], ["a"]]
            assert w.observer.lost == [["a"]]
            assert w.live.statistics().breaks == 1

    run(scenario)


def test_a_connection_that_falls_silent_is_found_dead_and_replaced(monkeypatch):
    async def scenario():
        async with world(ping_seconds=0.1) as w:
            w.live.follow("a")
            await w.gaps(1)
            (connection,) = w.socket.connections
            connection.ws_connection.write_ping = lambda data: None
            monkeypatch.setattr(connection.ws_connection, "_handle_message", lambda *args: None)
            await w.gaps(2)

    run(scenario)


def test_what_is_never_acknowledged_is_asked_for_on_a_new_connection(monkeypatch):
    monkeypatch.setattr(websocket, "ACKNOWLEDGE_SECONDS", 0.1)

    async def scenario():
        async with world() as w:
            w.socket.silent = True
            w.live.follow("a")
            await until(w.socket.changed, lambda: len(w.socket.requests) == 1)
            assert not w.live.covers("a")
            w.socket.silent = False
            await w.gaps(1)
            assert len(w.socket.requests) == 2

    run(scenario)


def test_without_transactions_it_is_told_of_signatures_and_fetches_them_together():
    async def scenario():
        async with world() as w:
            w.socket.refused["transactionSubscribe"] = METHOD_NOT_FOUND
            fetched = partial(_fetched, absent={"s2": 1})
            w.rpc.otherwise = fetched
            w.live.follow("a")
            w.live.follow("b")
            await w.gaps(2)
            assert sorted(w.socket.wallets()) == [["a"], ["b"]]
            context = {"slot": 7}
            for number, name, err in (
                (1, "s1", None),
                (2, "s1", None),
                (1, "s2", None),
                (1, "s3", "failed"),
            ):
                value = {"signature": signed(name), "err": err, "logs": []}
                w.socket.notify(number, {"context": context, "value": value})
            await w.pushed(3)
            assert sorted(w.observer.pushed) == [("a", "s1"), ("a", "s2"), ("b", "s1")]
            assert w.live.statistics().mode == "logs"

    run(scenario)


def test_an_upstream_with_neither_leaves_its_wallets_to_who_polls():
    async def scenario():
        async with world() as w:
            w.socket.refused["transactionSubscribe"] = METHOD_NOT_FOUND
            w.socket.refused["logsSubscribe"] = METHOD_NOT_FOUND
            w.live.follow("a")
            await until(w.socket.changed, lambda: len(w.socket.requests) == 2)
            await asyncio.wait_for(_mode(w.live, "none"), 10)
            assert not w.live.covers("a")

    run(scenario)


def test_a_full_connection_is_joined_by_another_as_far_as_the_plan_allows(monkeypatch):
    monkeypatch.setattr(websocket, "SUBSCRIPTIONS_MAX", 2)

    async def scenario():
        async with world(connections_max=2) as w:
            w.socket.refused["transactionSubscribe"] = METHOD_NOT_FOUND
            for wallet in "abcde":
                w.live.follow(wallet)
            await w.gaps(4)
            assert len(w.socket.connections) == 2
            assert [w.live.covers(wallet) for wallet in "abcde"] == [True] * 4 + [False]
            w.live.unfollow("b")
            await w.gaps(5)
            assert w.live.covers("e")

    run(scenario)


def test_what_cannot_be_read_is_a_gap():
    async def scenario():
        async with world() as w:
            w.live.follow("a")
            await w.gaps(1)
            w.socket.notify(1, {"slot": "seven"})
            await w.gaps(2)
            assert w.live.statistics().unread == 1

    run(scenario)


def test_a_bug_met_by_one_wallets_transaction_keeps_the_connection_and_the_others():
    async def scenario():
        async with world() as w:
            w.live.follow("a")
            w.live.follow("b")
            await w.gaps(1)
            tell = w.observer.on_transaction

            def fails(wallet: str, transaction: Transaction) -> None:
                if wallet == "a":
                    raise KeyError("odd")
                tell(wallet, transaction)

            w.observer.on_transaction = fails
            with capture_logs() as logs:
                w.socket.notify(1, notification("s1", "a", "b"))
                await w.pushed(1)
            assert w.observer.pushed == [("b", "s1")]
            assert w.observer.gaps == [["a", "b"], ["a"]], "the history has it"
            assert [log["wallet"] for log in logs if "task" in log] == ["a"]
            w.socket.notify(1, notification("s2", "b"))
            await w.pushed(2)
            assert w.live.statistics().breaks == 0
            assert len(w.socket.connections) == 1

    run(scenario)


@pytest.mark.parametrize(
    "keys", [[{"pubkey": "a"}, "b"], ["b", {"pubkey": "a"}], [[]], [None], [{"pubkey": {}}]]
)
def test_account_keys_of_an_odd_shape_cost_no_connection(keys: Any):
    async def scenario():
        async with world() as w:
            w.live.follow("b")
            await w.gaps(1)
            odd = notification("s1", "b")
            odd["transaction"]["transaction"]["message"]["accountKeys"] = keys
            with capture_logs():
                w.socket.notify(1, odd)
                w.socket.notify(1, notification("s2", "b"))
                await until(w.observer.changed, lambda: ("b", "s2") in w.observer.pushed)
            assert w.live.statistics().breaks == 0

    run(scenario)


def test_a_handshake_with_a_head_larger_than_is_read_does_not_hold_the_connection_for_ever(
    monkeypatch,
):
    """Tornado's own deadline doesn't cover it: what it waits for never comes."""
    monkeypatch.setattr(websocket, "HANDSHAKE_SECONDS", 0.2)

    async def scenario():
        asked: asyncio.Queue[None] = asyncio.Queue()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.put_nowait(None)
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 70_000 + b"\r\n\r\n")
            with suppress(OSError):
                await reader.read()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        observer: Any = RecordingObserver()
        connection = UpstreamSocket(url, observer, random=lambda: 0.0)
        connection.subscribe(UpstreamSubscription("logsSubscribe", [], ["a"]))
        async with asyncio.timeout(15):
            for _ in range(3):
                await asked.get()
        await connection.close()
        server.close()

    run(scenario)


def _fetched(request: Any, absent: dict[str, int]) -> Any:
    def answer(each: dict[str, Any]) -> dict[str, Any]:
        name = name_of(each["params"][0])
        absent[name] = absent.get(name, 0) - 1
        found = notification(name, "a", "b")
        result = {"slot": 7, "blockTime": 7, **found["transaction"]}
        return {
            "jsonrpc": "2.0",
            "id": each["id"],
            "result": None if absent[name] >= 0 else result,
        }

    return Reply([answer(e) for e in request] if isinstance(request, list) else answer(request))


async def _mode(live: LiveTransactions, mode: living.Mode) -> None:
    while live.statistics().mode != mode:  # noqa: ASYNC110
        await asyncio.sleep(0)
