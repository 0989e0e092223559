"""Scripted faults, each as a client meets it on a real connection."""

import asyncio
import json
from typing import Any

import pytest
from msgspec import ValidationError, convert
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from wd_tools.simulator.faults import Fault, Faults
from wd_tools.simulator.limits import Limits

SLOT = {"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": []}
VERSION = {"maxSupportedTransactionVersion": 0}


async def batch(client: Any, size: int = 10) -> list[dict[str, Any]]:
    listed = await client.call("getSignaturesForAddress", client.wallet, {"limit": size})
    return [
        {
            "jsonrpc": "2.0",
            "id": number,
            "method": "getTransaction",
            "params": [one["signature"], VERSION],
        }
        for number, one in enumerate(listed)
    ]


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ({"kind": "429"}, 429, "-32429"),
        ({"kind": "429", "message": "max usage reached"}, 429, "max usage reached"),
        ({"kind": "500"}, 500, ""),
        ({"kind": "503"}, 503, ""),
        ({"kind": "504"}, 504, ""),
        ({"kind": "quota"}, 200, "max usage reached"),
        ({"kind": "garbage"}, 200, "<html>"),
        ({"kind": "bad_key"}, 401, "Invalid API key"),
        ({"kind": "rpc_error"}, 200, "-32603"),
        ({"kind": "rpc_error", "code": -32005, "message": "behind"}, 200, "behind"),
    ],
)
def test_a_fault_strikes_as_often_as_asked_and_then_is_over(
    served: Any, fault: dict[str, Any], status: int, text: str
) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {**fault, "count": 2})
        for _ in range(2):
            answer = await client.post(SLOT)
            assert answer.code == status
            assert text.encode() in answer.body
        assert await client.call("getSlot")
        struck = (await client.call("simStatistics"))["faults"]
        assert struck == {fault["kind"]: 2}

    served(test)


def test_a_fault_without_an_end_lasts_until_it_is_cleared(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "quota"})
        for _ in range(5):
            assert (await client.post(SLOT)).body == b"max usage reached"
        await client.call("simReset")
        assert await client.call("getSlot")

    served(test)


def test_retry_after_is_told_where_asked_for(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "429", "count": 1, "retry_after": 0.1})
        await client.call("simFault", {"kind": "503", "count": 1})
        assert (await client.post(SLOT)).headers["Retry-After"] == "0.1"
        assert "Retry-After" not in (await client.post(SLOT)).headers

    served(test)


def test_a_hung_request_is_not_answered_and_does_not_hold_up_others(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "hang", "count": 1})
        hung = asyncio.ensure_future(client.post(SLOT, seconds=30))
        while not (await client.call("simStatistics"))["faults"]:
            pass
        assert await client.call("getSlot")
        assert not hung.done()
        await client.simulator.stop()
        with pytest.raises(HTTPStreamClosedError):
            await hung

    served(test)


def test_a_client_may_give_up_on_a_hung_request(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "hang", "count": 1})
        with pytest.raises(HTTPTimeoutError):
            await client.post(SLOT, seconds=0.05)
        assert await client.call("getSlot")

    served(test)


def test_a_truncated_body_ends_before_its_length(served: Any) -> None:
    async def test(client: Any) -> None:
        calls = await batch(client)
        await client.call("simFault", {"kind": "truncate", "count": 1})
        with pytest.raises(HTTPStreamClosedError):
            await client.post(calls)
        assert (await client.post(calls)).code == 200

    served(test)


def test_a_dropped_connection_gives_no_answer(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "disconnect", "count": 1})
        with pytest.raises(HTTPStreamClosedError):
            await client.post(SLOT)
        assert await client.call("getSlot")

    served(test)


def test_null_results_strike_transactions_only_and_only_a_share(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "null_results", "count": 1, "share": 0.3})
        answers = json.loads((await client.post(await batch(client))).body)
        assert sum(one["result"] is None for one in answers) == 3
        again = json.loads((await client.post(await batch(client))).body)
        assert all(one["result"] for one in again)

    served(test)


def test_items_of_a_batch_can_be_missing(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "missing_batch_items", "count": 1, "share": 0.2})
        assert await client.call("getSlot")
        answers = json.loads((await client.post(await batch(client))).body)
        assert len(answers) == 8
        assert len(json.loads((await client.post(await batch(client))).body)) == 10

    served(test)


def test_every_item_of_a_batch_can_be_missing(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "missing_batch_items", "share": 1.0})
        assert json.loads((await client.post(await batch(client))).body) == []

    served(test)


def test_a_batch_can_come_in_another_order(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "shuffled_batch", "count": 1})
        ids = [one["id"] for one in json.loads((await client.post(await batch(client))).body)]
        assert ids != sorted(ids)
        assert sorted(ids) == list(range(10))

    served(test)


def test_an_error_strikes_every_item_of_a_batch(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "rpc_error", "method": "getTransaction"})
        answers = json.loads((await client.post(await batch(client))).body)
        assert [one["id"] for one in answers] == list(range(10))
        assert {one["error"]["code"] for one in answers} == {-32603}

    served(test)


def test_a_fault_of_one_method_leaves_the_others_alone(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "503", "method": "getBalance"})
        assert await client.call("getSlot")
        body = {**SLOT, "method": "getBalance", "params": [client.wallet]}
        assert (await client.post(body)).code == 503

    served(test)


def test_a_fault_can_wait_for_so_many_requests(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "503", "after": 3, "count": 1})
        codes = [(await client.post(SLOT)).code for _ in range(5)]
        assert codes == [200, 200, 200, 503, 200]

    served(test)


def test_faults_strike_one_after_the_other(served: Any) -> None:
    async def test(client: Any) -> None:
        for kind in ("503", "429", "500"):
            client.simulator.faults.add(Fault(kind=kind, count=1))
        codes = [(await client.post(SLOT)).code for _ in range(4)]
        assert codes == [503, 429, 500, 200]

    served(test)


@pytest.mark.parametrize(
    ("kind", "status"), [("503", 503), ("429", 429), ("garbage", 200), ("null_results", 200)]
)
def test_the_price_source_fails_only_when_asked_to(served: Any, kind: str, status: int) -> None:
    path = "/prices/current/solana:So11111111111111111111111111111111111111112"

    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "500"})
        whole = await client.get(path)
        assert whole.code == 200
        await client.call("simFault", {"kind": kind, "method": "prices", "count": 1})
        struck = await client.get(path)
        assert struck.code == status
        assert struck.body != whole.body

    served(test)


def test_faults_can_be_there_from_the_start(served: Any) -> None:
    async def test(client: Any) -> None:
        assert (await client.post(SLOT)).code == 503
        assert await client.call("getSlot")

    served(test, faults=(Fault(kind="503", count=1),))


@pytest.mark.parametrize(
    "fault",
    [{}, {"kind": "earthquake"}, {"kind": "503", "often": 3}, {"kind": "503", "count": "x"}],
)
def test_a_fault_that_does_not_exist_is_refused(served: Any, fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        convert(fault, Fault)

    async def test(client: Any) -> None:
        answer = json.loads(
            (await client.post({**SLOT, "method": "simFault", "params": [fault]})).body
        )
        assert answer["error"]["code"] == -32602

    served(test)


def test_a_fault_of_some_seconds_begins_with_its_first_strike() -> None:
    now = [0.0]
    faults = Faults(lambda: now[0])
    faults.add(Fault(kind="503", seconds=10))
    now[0] = 100.0
    assert faults.strike("getSlot", batch=False)
    now[0] = 109.9
    assert faults.strike("getSlot", batch=False)
    now[0] = 110.0
    assert faults.strike("getSlot", batch=False) is None
    assert faults.pending == 0


def test_a_fault_of_one_transaction_strikes_whoever_names_it() -> None:
    faults = Faults(lambda: 0.0)
    faults.add(Fault(kind="hang", signature="5igna7ure"))
    assert faults.strike("getTransaction", True, b'["another"]') is None
    assert faults.strike("getTransaction", True, b'["another","5igna7ure"]')


def test_a_bucket_holds_one_second_of_requests_and_fills_again() -> None:
    now = [0.0]
    limits = Limits("free", lambda: now[0])
    assert [limits.admit("getSlot") for _ in range(11)] == [True] * 10 + [False]
    assert limits.admit("getAsset")
    now[0] = 0.1
    assert [limits.admit("getSlot") for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert sum(limits.admit("getSlot") for _ in range(50)) == 10


def test_without_a_plan_there_is_no_limit() -> None:
    limits = Limits("none", lambda: 0.0)
    assert all(limits.admit("getAsset") for _ in range(1_000))
