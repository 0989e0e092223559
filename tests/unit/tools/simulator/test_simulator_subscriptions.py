"""Subscriptions, as a WebSocket client of the simulator meets them."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import websocket_connect

from wd_server.chain.payloads import TransactionNotification

RECORDED = Path(__file__).parents[5] / "shared" / "recordings" / "websocket"
STRANGER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
CONFIRMED = {"commitment": "confirmed"}
SOL = "So11111111111111111111111111111111111111112"
FULL = {**CONFIRMED, "maxSupportedTransactionVersion": 0, "encoding": "jsonParsed"}


def everything(client: Any) -> dict[str, Any]:
    return {"accountInclude": [client.wallet], "tokenAccounts": "balanceChanged"}


@pytest.mark.parametrize("encoding", ["json", "jsonParsed"])
def test_a_transaction_is_notified_with_what_history_says_of_it(served: Any, encoding: str) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        config = {**FULL, "encoding": encoding}
        number = await ws.call("transactionSubscribe", everything(client), config)
        signatures = await client.call("simAppend", client.wallet, 20)
        for signature in signatures:
            told = await ws.notified()
            assert told["method"] == "transactionNotification"
            assert told["params"]["subscription"] == number
            result = told["params"]["result"]
            assert result["signature"] == signature
            full = await client.call("getTransaction", signature, config)
            assert result["slot"] == full.pop("slot")
            assert "blockTime" not in result
            del full["blockTime"]
            full["meta"]["rewards"] = None
            assert result["transaction"] == full
        read = msgspec.json.decode(json.dumps(told), type=TransactionNotification)
        assert read.transaction.signature == signature

    served(test)


def shape(found: Any, path: str = "") -> set[str]:
    if isinstance(found, dict):
        return {f"{path}.{key}" for key in found}.union(
            *(shape(value, f"{path}.{key}") for key, value in found.items())
        )
    if isinstance(found, list):
        return set().union(*(shape(one, f"{path}[]") for one in found))
    return set()


@pytest.mark.recordings
def test_a_notification_has_the_fields_of_real_ones(served: Any) -> None:
    recorded = json.loads((RECORDED / "transactionNotification.json").read_text())

    async def test(client: Any) -> None:
        ws = await client.connect()
        await ws.call("transactionSubscribe", everything(client), FULL)
        await client.call("simAppend", client.wallet, 60)
        told = [await ws.notified() for _ in range(60)]
        # Instructions are left unparsed here, errors carry what they carry, and none of the
        # recorded ones looks an address up.
        free = (
            "Lookups[]",
            "instructions[]",
            "Instructions[].instructions[]",
            ".err",
            ".status",
            "._",
        )
        real, ours = (
            {one for one in shape(all_) if not any(part in one for part in free)}
            for all_ in (recorded, told)
        )
        assert ours == real

    served(test)


def test_signatures_alone_may_be_asked_for(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        config = {**CONFIRMED, "transactionDetails": "signatures"}
        await ws.call("transactionSubscribe", everything(client), config)
        (signature,) = await client.call("simAppend", client.wallet, 1)
        result = (await ws.notified())["params"]["result"]
        assert result == {"signature": signature, "slot": result["slot"]}

    served(test)


def test_logs_mention_the_wallet_itself_and_not_its_token_accounts(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        number = await ws.call("logsSubscribe", {"mentions": [client.wallet]}, CONFIRMED)
        await client.call("simAppend", client.wallet, 60)
        truths = (await client.call("simTruth", client.wallet))[-60:]
        visible = [one for one in truths if one["visible"]]
        assert len(visible) < 60
        for truth in visible:
            told = await ws.notified()
            assert told["method"] == "logsNotification"
            assert told["params"]["subscription"] == number
            result = told["params"]["result"]
            assert result["context"] == {"slot": truth["slot"]}
            assert result["value"].keys() == {"signature", "err", "logs"}
            assert result["value"]["signature"] == truth["signature"]
            assert (result["value"]["err"] is not None) == (truth["kind"] == "failed")
            assert "invoke [1]" in result["value"]["logs"][0]

    served(test)


def test_filters_keep_back_what_was_not_asked_for(served: Any) -> None:
    async def test(client: Any) -> None:
        other = client.simulator.wallets[1].address
        wanted: dict[str, Any] = {
            "named": ({"accountInclude": [client.wallet]}, lambda t: t["visible"]),
            "all": ({"tokenAccounts": "all"}, lambda t: True),
            "succeeded": ({**everything(client), "failed": False}, lambda t: t["kind"] != "failed"),
            "excluded": ({"accountExclude": [client.wallet]}, lambda t: not t["visible"]),
            "required": ({"accountRequired": [client.wallet]}, lambda t: t["visible"]),
            "others": ({"accountInclude": [other], "tokenAccounts": "all"}, lambda t: False),
        }
        numbers = {}
        ws = await client.connect()
        for name, (asked, _) in wanted.items():
            numbers[name] = await ws.call("transactionSubscribe", asked, FULL)
        await client.call("simAppend", client.wallet, 60)
        await ws.call("nothing")
        truths = (await client.call("simTruth", client.wallet))[-60:]
        for name, (_, keep) in wanted.items():
            told = [
                one["params"]["result"]["signature"]
                for one in ws.kept
                if one["params"]["subscription"] == numbers[name]
            ]
            assert told == [one["signature"] for one in truths if keep(one)], name

    served(test)


def test_fifty_thousand_accounts_fit_in_a_subscription_and_not_one_more(served: Any) -> None:
    async def test(client: Any) -> None:
        digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
        names = [
            f"{client.wallet[:-4]}{a}{b}{c}z" for a in digits for b in digits for c in digits[:15]
        ]
        ws = await client.connect()
        asked = {"accountInclude": [client.wallet, *names[:49_999]], "tokenAccounts": "all"}
        assert isinstance(await ws.call("transactionSubscribe", asked, FULL), int)
        await client.call("simAppend", client.wallet, 1)
        assert (await ws.notified())["method"] == "transactionNotification"
        asked["accountInclude"] = names[:50_001]
        assert (await ws.call("transactionSubscribe", asked, FULL))["code"] == -32602

    served(test)


def test_an_account_is_notified_when_its_lamports_change(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        await ws.call("accountSubscribe", client.wallet, CONFIRMED)
        while True:
            await client.call("simAppend", client.wallet, 1)
            newest = (await client.call("simTruth", client.wallet))[-1]
            moved = sum(one["raw"] for one in newest["postings"] if one["mint"] == SOL)
            if newest["visible"] and moved:
                break
        value = (await ws.notified())["params"]["result"]["value"]
        balance = await client.call("getBalance", client.wallet, CONFIRMED)
        assert value["lamports"] == balance["value"]
        assert value.keys() == {"lamports", "data", "owner", "executable", "rentEpoch", "space"}

    served(test)


def test_slots_are_notified_as_they_pass(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        await ws.call("slotSubscribe")
        first = (await ws.notified())["params"]["result"]
        second = (await ws.notified())["params"]["result"]
        assert second["slot"] > first["slot"]
        assert second["parent"] == second["slot"] - 1
        assert second["root"] <= second["slot"]

    served(test)


def test_a_notification_comes_when_its_slot_is_so_settled(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        names = {}
        for level in ("processed", "confirmed", "finalized"):
            config = {**FULL, "commitment": level}
            names[await ws.call("transactionSubscribe", everything(client), config)] = level
        (signature,) = await client.call("simAppend", client.wallet, 1)
        assert await client.call("getTransaction", signature, FULL) is None
        told = []
        for _ in names:
            message = await ws.notified()
            told.append(names[message["params"]["subscription"]])
            assert message["params"]["result"]["signature"] == signature
            (status,) = (await client.call("getSignatureStatuses", [signature]))["value"]
            assert status["confirmationStatus"] == told[-1]
            if told[-1] != "processed":
                config = {**FULL, "commitment": told[-1]}
                assert await client.call("getTransaction", signature, config)
        assert told == ["processed", "confirmed", "finalized"]

    served(test, confirmed_after=0.5, finalized_after=1.2)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("transactionSubscribe", [], -32602),
        ("transactionSubscribe", [{"accountInclude": ["0OIl"]}, FULL], -32602),
        ("transactionSubscribe", [{"accountInclude": "all"}, FULL], -32602),
        ("transactionSubscribe", [{}, CONFIRMED], -32602),
        ("transactionSubscribe", [{}, {**FULL, "encoding": "xml"}], -32602),
        ("transactionSubscribe", [{}, {**FULL, "commitment": "soon"}], -32602),
        ("logsSubscribe", [{"mentions": [STRANGER, STRANGER]}], -32602),
        ("logsSubscribe", [{"mentions": []}], -32602),
        ("logsSubscribe", [{"mentions": ["0OIl"]}], -32602),
        ("accountSubscribe", [17], -32602),
        ("transactionUnsubscribe", [17], -32602),
        ("logsUnsubscribe", [], -32602),
        ("blockSubscribe", ["all"], -32601),
        ("getSlot", [], -32601),
    ],
)
def test_what_cannot_be_is_refused(served: Any, method: str, params: list[Any], code: int) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        error = await ws.call(method, *params)
        assert error["code"] == code
        assert error["message"]

    served(test)


def test_what_is_no_request_is_refused_and_the_connection_stays(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        for text in ("", "{", "[]", "17", '{"id":1}'):
            await ws.connection.write_message(text)
            assert (await ws.notified())["error"]["code"] in (-32700, -32600)
        assert isinstance(await ws.call("slotSubscribe"), int)

    served(test)


def test_many_transactions_at_once_reach_who_reads(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        await ws.call("transactionSubscribe", everything(client), FULL)
        appending = asyncio.ensure_future(client.call("simAppend", client.wallet, 1_500))
        told = [(await ws.notified())["params"]["result"]["signature"] for _ in range(1_500)]
        assert told == await appending
        assert (await client.call("simStatistics"))["websockets"]["slow"] == 0

    served(test)


def test_after_unsubscribing_nothing_comes(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        number = await ws.call("transactionSubscribe", everything(client), FULL)
        wrong = await ws.call("logsUnsubscribe", number)
        assert wrong == {"code": -32602, "message": "Invalid subscription id."}
        assert await ws.call("transactionUnsubscribe", number) is True
        await client.call("simAppend", client.wallet, 3)
        await ws.call("nothing")
        assert ws.kept == []
        statistics = await client.call("simStatistics")
        assert statistics["websockets"]["subscriptions"] == 0

    served(test)


def test_a_thousand_subscriptions_fit_on_a_connection(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        for _ in range(1000):
            assert isinstance(await ws.call("logsSubscribe", "all"), int)
        error = await ws.call("logsSubscribe", "all")
        assert error["code"] == -32603
        other = await client.connect()
        assert isinstance(await other.call("logsSubscribe", "all"), int)

    served(test)


def test_a_plan_has_so_many_connections(served: Any) -> None:
    async def test(client: Any) -> None:
        sockets = [await client.connect() for _ in range(5)]
        with pytest.raises(HTTPClientError) as refused:
            await client.connect()
        assert refused.value.code == 429
        sockets[0].connection.close()
        while (await client.call("simStatistics"))["websockets"]["open"] == 5:
            pass
        await client.connect()

    served(test, plan="free")


def test_the_free_plan_has_logs_but_no_transactions(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        error = await ws.call("transactionSubscribe", everything(client), FULL)
        assert "plan" in error["message"]
        assert isinstance(await ws.call("logsSubscribe", {"mentions": [client.wallet]}), int)

    served(test, plan="free")


def test_another_rpc_knows_no_transaction_subscribe(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        error = await ws.call("transactionSubscribe", everything(client), FULL)
        assert error["code"] == -32601

    served(test, no_transaction_subscribe="method-not-found")


def test_the_key_opens_the_websocket_too(served: Any) -> None:
    async def test(client: Any) -> None:
        for query in ("", "?api-key=wrong"):
            with pytest.raises(HTTPClientError) as refused:
                await client.connect(query)
            assert refused.value.code == 401
        await client.connect("?api-key=secret")

    served(test, api_key="secret")


def test_a_connection_that_says_nothing_is_closed_and_a_ping_keeps_it(served: Any) -> None:
    async def test(client: Any) -> None:
        url = f"ws{client.url[4:]}/"
        pinging = await websocket_connect(url, ping_interval=0.1)
        quiet = await client.connect()
        await quiet.closed()
        assert quiet.connection.close_code == 1000
        assert (await client.call("simStatistics"))["websockets"]["open"] == 1
        pinging.close()
        assert await pinging.read_message() is None

    served(test, ws_idle_seconds=0.5)


def test_who_does_not_read_is_dropped_and_holds_up_nobody(served: Any) -> None:
    async def test(client: Any) -> None:
        host, port = client.url[7:].split(":")
        deaf = socket.create_connection((host, int(port)))
        deaf.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n"
        )
        params = [everything(client), FULL]
        payload = json.dumps({"id": 1, "method": "transactionSubscribe", "params": params}).encode()
        deaf.sendall(b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload)
        reading = await client.connect()
        await reading.call("transactionSubscribe", everything(client), FULL)
        for _ in range(200):
            signatures = await client.call("simAppend", client.wallet, 100)
            for signature in signatures:
                told = (await reading.notified())["params"]["result"]
                assert told["signature"] == signature
            if (await client.call("simStatistics"))["websockets"]["slow"]:
                break
        assert (await client.call("simStatistics"))["websockets"]["open"] == 1
        deaf.close()

    served(test)


def test_notifications_and_connections_are_counted(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        await ws.call("transactionSubscribe", everything(client), FULL)
        await ws.call("logsSubscribe", "all", CONFIRMED)
        await ws.call("whatever")
        await client.call("simAppend", client.wallet, 5)
        statistics = await client.call("simStatistics")
        assert statistics["requests"] == {
            "transactionSubscribe": 1,
            "logsSubscribe": 1,
            "unknown": 1,
        }
        assert statistics["notifications"] == {"transactionNotification": 5, "logsNotification": 5}
        assert statistics["websockets"] == {
            "open": 1,
            "opened": 1,
            "refused": 0,
            "slow": 0,
            "subscriptions": 2,
        }

    served(test)
