"""Faults of what is live: connections, notifications, block times. Same shapes, worse manners."""

import json
import time
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from wd_tools.simulator.faults import Fault

FULL = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}


async def listening(client: Any, **options: float) -> Any:
    ws = await client.connect(**options)
    asked = {"accountInclude": [client.wallet], "tokenAccounts": "all"}
    await ws.call("transactionSubscribe", asked, FULL)
    return ws


def be_busy(seconds: float) -> None:
    """The machine does something else, and the loop has to wait."""
    time.sleep(seconds)


async def signatures(ws: Any, count: int) -> list[str]:
    return [(await ws.notified())["params"]["result"]["signature"] for _ in range(count)]


async def seen(ws: Any) -> list[str]:
    """What was notified until now."""
    await ws.call("nothing")
    kept = [one["params"]["result"]["signature"] for one in ws.kept]
    ws.kept.clear()
    return kept


def test_some_notifications_are_missing_and_still_in_the_history(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await listening(client)
        await client.call("simFault", {"kind": "missing", "share": 0.3})
        new = await client.call("simAppend", client.wallet, 100)
        told = await seen(ws)
        assert 40 < len(told) < 95
        assert told == [one for one in new if one in told]
        for signature in set(new) - set(told):
            assert await client.call("getTransaction", signature, FULL)

    served(test)


def test_some_notifications_come_twice(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await listening(client)
        await client.call("simFault", {"kind": "duplicate", "share": 0.3})
        new = await client.call("simAppend", client.wallet, 100)
        told = await seen(ws)
        assert list(dict.fromkeys(told)) == new
        assert 105 < len(told) < 160
        assert (await client.call("simStatistics"))["faults"]["duplicate"] == len(told) - 100

    served(test)


def test_some_notifications_are_overtaken(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await listening(client)
        await client.call("simFault", {"kind": "reorder", "share": 0.3, "delay": 0.1})
        new = await client.call("simAppend", client.wallet, 50)
        told = await signatures(ws, 50)
        assert told != new
        assert sorted(told) == sorted(new)

    served(test)


def test_late_notifications_come_in_their_order(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await listening(client)
        await client.call("simFault", {"kind": "delay", "share": 1.0, "delay": 0.1})
        new = await client.call("simAppend", client.wallet, 20)
        assert await seen(ws) == []
        assert await signatures(ws, 20) == new

    served(test)


def test_a_connection_drops_after_so_many_notifications_and_others_stay(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await listening(client)
        await client.call("simFault", {"kind": "ws_disconnect", "after": 5, "count": 1})
        new = await client.call("simAppend", client.wallet, 10)
        assert await signatures(ws, 5) == new[:5]
        await ws.closed()
        assert ws.connection.close_code is None
        again = await listening(client)
        assert await client.call("simAppend", client.wallet, 3) == await signatures(again, 3)
        assert (await client.call("simStatistics"))["websockets"]["open"] == 1

    served(test)


def test_every_connection_can_drop_at_once(served: Any) -> None:
    async def test(client: Any) -> None:
        many = [await listening(client) for _ in range(3)]
        await client.call("simFault", {"kind": "ws_disconnect", "all": True, "count": 1})
        await client.call("simAppend", client.wallet, 1)
        for ws in many:
            await ws.closed()
        more = [await client.connect() for _ in range(2)]
        assert await client.call("simDisconnect") == 2
        for ws in more:
            await ws.closed()

    served(test)


def test_connections_are_refused_so_often(served: Any) -> None:
    async def test(client: Any) -> None:
        for _ in range(2):
            with pytest.raises(HTTPClientError) as refused:
                await client.connect()
            assert refused.value.code == 503
        await client.connect()
        assert (await client.call("simStatistics"))["websockets"]["refused"] == 2

    served(test, faults=(Fault(kind="ws_refuse", count=2),))


def test_a_silent_connection_stays_open_and_answers_no_ping(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await listening(client, ping_interval=0.2, ping_timeout=0.1)
        other = await listening(client)
        (first,) = await client.call("simAppend", client.wallet, 1)
        assert await signatures(ws, 1) == await signatures(other, 1) == [first]
        await client.call("simFault", {"kind": "ws_silent", "count": 1})
        new = await client.call("simAppend", client.wallet, 3)
        assert await signatures(other, 3) == new
        assert (await client.call("simStatistics"))["websockets"]["open"] == 2
        await ws.closed()  # by the client itself, which misses the pong
        assert ws.connection.close_reason is None

    served(test)


def test_block_times_are_missing_for_a_while(served: Any) -> None:
    config = {"limit": 3, "commitment": "confirmed"}

    async def times(client: Any, signature: str) -> list[int | None]:
        full = await client.call("getTransaction", signature, FULL)
        page = await client.call(
            "getTransactionsForAddress",
            client.wallet,
            {**FULL, **config, "transactionDetails": "full", "filters": {"tokenAccounts": "all"}},
        )
        assert page["data"][0]["transaction"]["signatures"][0] == signature
        return [full["blockTime"], page["data"][0]["blockTime"]]

    async def test(client: Any) -> None:
        (signature,) = await client.call("simAppend", client.wallet, 1)
        await client.call("simFault", {"kind": "block_time_missing", "delay": 1000})
        assert await times(client, signature) == [None, None]
        listed = await client.call("getSignaturesForAddress", client.wallet, config)
        new = {line["signature"] for line in listed if line["blockTime"] is None}
        assert new <= {signature}
        await client.call("simReset")
        right = (await client.call("simTruth", client.wallet))[-1]["blockTime"]
        assert await times(client, signature) == [right, right]

    served(test)


def test_the_same_seed_makes_the_same_live_market(served: Any) -> None:
    async def market(client: Any) -> None:
        be_busy(len(lives) * 0.6)  # the second time
        ws = await listening(client)
        await signatures(ws, 40)
        lives.append(await client.simulator.truth(client.wallet))

    lives: list[Any] = []
    for _ in range(2):
        served(market, live_rate=200.0, sizes=(20,))
    one, other = lives
    both = min(len(one), len(other))
    assert both >= 40
    assert one[:both] == other[:both]


def test_what_is_read_after_a_connection_was_dropped_subscribes_nobody(served: Any) -> None:
    async def test(client: Any) -> None:
        await listening(client)
        hub = client.simulator._upstream.hub
        (peer,) = hub._peers
        hub.drop_all()
        late = {"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe", "params": []}
        _, answer = hub.answer(peer, json.dumps(late))
        assert "error" in json.loads(answer)
        assert hub.statistics()["subscriptions"] == 0

    served(test)
