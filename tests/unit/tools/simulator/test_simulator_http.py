"""The simulated RPC as a client meets it: methods, pages, limits, the API key, prices."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

FULL = {
    "transactionDetails": "full",
    "maxSupportedTransactionVersion": 0,
    "filters": {"tokenAccounts": "balanceChanged"},
}
SOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
STRANGER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"


def request(method: str, params: Any, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


async def all_pages(client: Any, config: dict[str, Any]) -> list[dict[str, Any]]:
    found, token = [], None
    while True:
        params = {**config, "paginationToken": token}
        page = await client.call("getTransactionsForAddress", client.wallet, params)
        assert len(page["data"]) <= config.get("limit", 1000)
        found += page["data"]
        token = page["paginationToken"]
        if token is None:
            return found


def signature(transaction: dict[str, Any]) -> str:
    first: str = transaction["transaction"]["signatures"][0]
    return first


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 249, 250, 1000])
def test_pages_give_every_transaction_once_in_order(served: Any, order: str, limit: int) -> None:
    async def test(client: Any) -> None:
        expected = [truth.signature for truth in await client.simulator.truth(client.wallet)]
        found = await all_pages(client, {**FULL, "sortOrder": order, "limit": limit})
        got = [signature(one) for one in found]
        assert got == (expected if order == "asc" else expected[::-1])

    served(test)


def test_pages_cut_a_slot_in_the_middle_without_loss(served: Any) -> None:
    async def test(client: Any) -> None:
        truths = await client.simulator.truth(client.wallet)
        shared = next(number for number, (a, b) in enumerate(pairwise(truths)) if a.slot == b.slot)
        config = {**FULL, "sortOrder": "asc", "limit": shared + 1}
        first = await client.call("getTransactionsForAddress", client.wallet, config)
        config["paginationToken"] = first["paginationToken"]
        second = await client.call("getTransactionsForAddress", client.wallet, config)
        assert signature(first["data"][-1]) == truths[shared].signature
        assert signature(second["data"][0]) == truths[shared + 1].signature
        assert second["data"][0]["slot"] == first["data"][-1]["slot"]
        assert second["data"][0]["transactionIndex"] > first["data"][-1]["transactionIndex"]

    served(test)


def test_what_only_touches_token_accounts_is_seen_on_request_only(served: Any) -> None:
    async def test(client: Any) -> None:
        truths = await client.simulator.truth(client.wallet)
        visible = [truth.signature for truth in truths if truth.visible]
        assert len(visible) < len(truths)
        plain = {**FULL, "sortOrder": "asc", "filters": {}}
        assert [signature(one) for one in await all_pages(client, plain)] == visible
        listed = await client.call("getSignaturesForAddress", client.wallet)
        assert [one["signature"] for one in listed] == visible[::-1]

    served(test)


def test_a_client_that_names_no_version_gets_legacy_transactions_only(served: Any) -> None:
    async def test(client: Any) -> None:
        config = {"transactionDetails": "full", "filters": {"tokenAccounts": "all"}}
        versions = {one["version"] for one in await all_pages(client, config)}
        assert versions == {"legacy"}

    served(test)


def test_filters_by_slot_time_status_and_signature(served: Any) -> None:
    async def test(client: Any) -> None:
        truths = await client.simulator.truth(client.wallet)
        middle = truths[100]

        async def filtered(**filters: Any) -> list[str]:
            asked = {"sortOrder": "asc", "filters": {"tokenAccounts": "all", **filters}}
            return [one["signature"] for one in await all_pages(client, asked)]

        def expected(keep: Any) -> list[str]:
            return [truth.signature for truth in truths if keep(truth)]

        assert await filtered(slot={"gt": middle.slot}) == expected(lambda t: t.slot > middle.slot)
        assert await filtered(blockTime={"lte": middle.block_time}) == expected(
            lambda t: t.block_time <= middle.block_time
        )
        assert await filtered(status="failed") == expected(lambda t: t.kind == "failed")
        assert await filtered(status="succeeded") == expected(lambda t: t.kind != "failed")
        assert await filtered(signature={"gt": middle.signature}) == expected(
            lambda t: (t.slot, t.position) > (middle.slot, middle.position)
        )
        assert await filtered(signature={"lte": middle.signature}) == expected(
            lambda t: (t.slot, t.position) <= (middle.slot, middle.position)
        )

    served(test)


def test_signatures_page_backwards_and_stop_where_asked(served: Any) -> None:
    async def test(client: Any) -> None:
        every = await client.call("getSignaturesForAddress", client.wallet, {"limit": 1000})
        found: list[Any] = []
        while True:
            config = {"limit": 30, "before": found[-1]["signature"] if found else None}
            page = await client.call("getSignaturesForAddress", client.wallet, config)
            if not page:
                break
            found += page
        assert found == every
        until = {"until": every[40]["signature"], "before": every[10]["signature"]}
        between = await client.call("getSignaturesForAddress", client.wallet, until)
        assert between == every[11:40]

    served(test)


def test_one_transaction_is_the_same_by_every_method(served: Any) -> None:
    async def test(client: Any) -> None:
        page = await client.call("getTransactionsForAddress", client.wallet, {**FULL, "limit": 3})
        for full in page["data"]:
            config = {"encoding": "json", "maxSupportedTransactionVersion": 0}
            single = await client.call("getTransaction", signature(full), config)
            full.pop("transactionIndex")
            assert single == full

    served(test)


def test_json_parsed_names_every_account_with_its_source(served: Any) -> None:
    async def test(client: Any) -> None:
        page = await client.call("getTransactionsForAddress", client.wallet, {**FULL, "limit": 50})
        for full in page["data"]:
            config = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0}
            parsed = await client.call("getTransaction", signature(full), config)
            names = [key["pubkey"] for key in parsed["transaction"]["message"]["accountKeys"]]
            loaded = full["meta"]["loadedAddresses"]
            static = full["transaction"]["message"]["accountKeys"]
            assert names == static + loaded["writable"] + loaded["readonly"]
            first = parsed["transaction"]["message"]["accountKeys"][0]
            assert first["signer"]
            assert first["writable"]

    served(test)


def test_a_version_0_transaction_is_refused_to_a_client_that_knows_none(served: Any) -> None:
    async def test(client: Any) -> None:
        page = await client.call("getTransactionsForAddress", client.wallet, {**FULL, "limit": 50})
        newer = next(one for one in page["data"] if one["version"] == 0)
        error = await client.call("getTransaction", signature(newer))
        assert error["code"] == -32015

    served(test)


def test_an_unknown_signature_is_null_and_an_unknown_wallet_empty(served: Any) -> None:
    async def test(client: Any) -> None:
        body = json.loads((await client.post(request("getTransaction", ["1" * 88]))).body)
        assert body["result"] is None
        assert await client.call("getSignaturesForAddress", STRANGER) == []
        page = await client.call("getTransactionsForAddress", STRANGER)
        assert page == {"data": [], "paginationToken": None}

    served(test)


def test_a_signature_known_from_an_earlier_life_is_found_after_a_restart(served: Any) -> None:
    signatures: list[str] = []

    async def earlier(client: Any) -> None:
        signatures.extend(t.signature for t in await client.simulator.truth(client.wallet))

    async def later(client: Any) -> None:
        config = {"maxSupportedTransactionVersion": 0}
        assert await client.call("getTransaction", signatures[-1], config)

    served(earlier)
    served(later)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "at least 1"),
        (["0OIl"], "Invalid param: Invalid"),
        (["1" * 31], "WrongSize"),
        (["1" * 33], "WrongSize"),
        (["z" * 5000], "WrongSize"),
        ([STRANGER, {"limit": 1001}], "max 1000"),
        ([STRANGER, {"limit": 0}], "max 1000"),
        ([STRANGER, {"limit": "ten"}], "Expected"),
    ],
)
@pytest.mark.parametrize("method", ["getSignaturesForAddress", "getTransactionsForAddress"])
def test_bad_params_are_named(served: Any, method: str, params: list[Any], message: str) -> None:
    async def test(client: Any) -> None:
        if params == [STRANGER, {"limit": 0}] or params == [STRANGER, {"limit": 1001}]:
            params[0] = client.wallet
        error = await client.call(method, *params)
        assert error["code"] == -32602
        assert message in error["message"]

    served(test)


@pytest.mark.parametrize("body", ["", "{", "[]", "[1]", '"x"', "{}", '{"method":1}'])
def test_what_is_no_json_rpc_is_refused(served: Any, body: str) -> None:
    async def test(client: Any) -> None:
        answer = await client.post(body)
        assert answer.code == 400
        assert json.loads(answer.body)["error"]["code"] in (-32700, -32600)

    served(test)


def test_a_batch_is_answered_item_by_item_with_its_ids(served: Any) -> None:
    async def test(client: Any) -> None:
        listed = await client.call("getSignaturesForAddress", client.wallet, {"limit": 100})
        config = {"maxSupportedTransactionVersion": 0}
        calls = [
            request("getTransaction", [one["signature"], config], number)
            for number, one in enumerate(listed)
        ]
        answers = json.loads((await client.post([*calls[:99], request("nothing", [], 99)])).body)
        assert [one["id"] for one in answers] == list(range(100))
        for one, line in zip(answers[:99], listed, strict=False):
            assert signature(one["result"]) == line["signature"]
        assert answers[99]["error"]["code"] == -32601

    served(test)


@pytest.mark.parametrize(
    ("method", "most"),
    [("getTransaction", 100), ("getSignaturesForAddress", 10), ("getTransactionsForAddress", 1)],
)
def test_a_batch_may_only_be_so_large(served: Any, method: str, most: int) -> None:
    async def test(client: Any) -> None:
        calls = [request(method, [STRANGER], number) for number in range(most + 1)]
        assert (await client.post(calls)).code == 400
        assert (await client.post(calls[:most])).code == 200

    served(test)


def test_going_faster_than_the_plan_is_refused_with_helius_code(served: Any) -> None:
    async def test(client: Any) -> None:
        calls = [client.post(request("getAsset", {"id": SOL})) for _ in range(12)]
        refused = [answer for answer in await asyncio.gather(*calls) if answer.code == 429]
        assert refused
        for answer in refused:
            assert json.loads(answer.body)["error"]["code"] == -32429
        assert (await client.call("simStatistics"))["rate_limited"] == len(refused)
        assert await client.call("getSlot")

    served(test, plan="free")


@pytest.mark.parametrize(
    ("how", "status", "code"), [("403", 403, -32403), ("method-not-found", 200, -32601)]
)
def test_the_history_method_can_be_missing_from_the_plan(
    served: Any, how: str, status: int, code: int
) -> None:
    async def test(client: Any) -> None:
        answer = await client.post(request("getTransactionsForAddress", [client.wallet]))
        assert answer.code == status
        assert json.loads(answer.body)["error"]["code"] == code
        assert await client.call("getSignaturesForAddress", client.wallet)

    served(test, no_gtfa=how)


def test_only_the_right_key_opens(served: Any) -> None:
    async def test(client: Any) -> None:
        slot = request("getSlot", [])
        codes = [
            (await client.post(slot, query)).code
            for query in ("", "?api-key=wrong", "?api-key=secret")
        ]
        assert codes == [401, 401, 200]

    served(test, api_key="secret")


def test_assets_have_symbols_and_unknown_ones_are_null(served: Any) -> None:
    async def test(client: Any) -> None:
        usdc, unknown = await client.call("getAssetBatch", {"ids": [USDC, STRANGER]})
        assert usdc["content"]["metadata"]["symbol"] == "USDC"
        assert usdc["token_info"]["decimals"] == 6
        assert unknown is None
        assert "Asset Not Found" in (await client.call("getAsset", {"id": STRANGER}))["message"]
        traded = {
            mint
            for truth in await client.simulator.truth(client.wallet)
            for trade in truth.trades
            for mint in (trade.sold_mint, trade.bought_mint)
        }
        assets = await client.call("getAssetBatch", {"ids": sorted(traded)})
        assert None in assets
        assert sum(one is not None for one in assets) > 10

    served(test)


def test_the_small_methods_answer(served: Any) -> None:
    async def test(client: Any) -> None:
        assert await client.call("getHealth") == "ok"
        assert "solana-core" in await client.call("getVersion")
        newest = (await client.call("getSignaturesForAddress", client.wallet))[0]
        assert await client.call("getSlot") >= newest["slot"]
        page = await client.call("getTransactionsForAddress", client.wallet, {**FULL, "limit": 1})
        balance = (await client.call("getBalance", client.wallet))["value"]
        keys = page["data"][0]["transaction"]["message"]["accountKeys"]
        if client.wallet in keys:
            assert page["data"][0]["meta"]["postBalances"][keys.index(client.wallet)] == balance
        assert balance > 0

    served(test)


def test_what_a_wallet_does_now_is_the_newest_in_its_history(served: Any) -> None:
    async def test(client: Any) -> None:
        before = await client.call("getSignaturesForAddress", client.wallet, {"limit": 1})
        new = await client.call("simAppend", client.wallet, 7)
        filters = {"tokenAccounts": "balanceChanged", "slot": {"gte": before[0]["slot"]}}
        config = {**FULL, "sortOrder": "asc", "filters": filters}
        assert not set(new) & {signature(one) for one in await all_pages(client, config)}
        config["commitment"] = "confirmed"
        found = [signature(one) for one in await all_pages(client, config)]
        assert found[-7:] == new
        truth = await client.call("simTruth", client.wallet)
        assert [one["signature"] for one in truth[-7:]] == new
        sizes = {one["address"]: one["size"] for one in await client.call("simWallets")}
        assert sizes[client.wallet] == 257

    served(test)


def test_a_wallet_does_what_it_is_asked_for_as_often_as_it_can(served: Any) -> None:
    async def test(client: Any) -> None:
        opened = await client.call("simAppend", client.wallet, 2, "dca_open")
        filled = await client.call("simAppend", client.wallet, 100, "dca_fill")
        assert len(opened) == 2
        assert 6 <= len(filled) < 100
        truths = (await client.call("simTruth", client.wallet))[-len(opened + filled) :]
        assert [one["signature"] for one in truths] == opened + filled
        assert {one["kind"] for one in truths} == {"dca_open", "dca_fill"}
        wrong = await client.call("simAppend", client.wallet, 1, "fly")
        assert wrong["code"] == -32602
        assert "dca_open" in wrong["message"]

    served(test)


@pytest.mark.parametrize("params", [[], [STRANGER, 1], [STRANGER, -1], [STRANGER, "1"], [1, 1]])
def test_nobody_else_can_be_made_to_trade(served: Any, params: list[Any]) -> None:
    async def test(client: Any) -> None:
        assert (await client.call("simAppend", *params))["code"] == -32602

    served(test)


def test_a_live_market_goes_on_by_itself(served: Any) -> None:
    async def test(client: Any) -> None:
        while True:
            sizes = [one["size"] for one in await client.call("simWallets")]
            if sum(sizes) > 260:
                break
        assert sizes[0] == 0

    served(test, live_rate=500.0)


def test_requests_are_counted_by_method(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("getSlot")
        await client.post([request("getTransaction", ["1" * 88])] * 3)
        await client.call("whatever")
        await client.get(f"/prices/current/solana:{SOL}")
        counted = (await client.call("simStatistics"))["requests"]
        assert counted == {"getSlot": 1, "getTransaction": 3, "unknown": 1, "prices": 1}
        await client.call("simReset")
        assert (await client.call("simStatistics"))["requests"] == {}

    served(test)


def test_credits_are_those_of_the_plan_s_table(served: Any) -> None:
    async def test(client: Any) -> None:
        async def spent() -> dict[str, int]:
            found: dict[str, int] = (await client.call("simStatistics"))["credits"]
            await client.call("simReset")
            return found

        assert await spent() == {"total": 0}
        for method in ("getSlot", "nothing"):
            await client.call(method)
        await client.call("getTransaction", "1" * 88)
        await client.call("getAsset", {"id": SOL})
        expected = {"getSlot": 1, "getTransaction": 1, "getAsset": 10, "total": 12}
        assert await spent() == expected
        await client.post([request("getTransaction", ["1" * 88])] * 7)
        assert await spent() == {"getTransaction": 7, "total": 7}
        for limit, cost in ((1, 10), (100, 10), (101, 20), (1000, 30)):
            config = {**FULL, "limit": limit}
            await client.call("getTransactionsForAddress", client.wallet, config)
            assert (await spent())["total"] == cost
        await client.call("getTransactionsForAddress", client.wallet, {"limit": 1000})
        assert (await spent())["total"] == 10
        ws = await client.connect()
        asked = {"accountInclude": [client.wallet]}
        config = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        await ws.call("transactionSubscribe", asked, config)
        await client.call("simAppend", client.wallet, 5)
        assert await spent() == {"connection": 1, "websocket_bytes": 2, "total": 3}

    served(test)


def test_a_refused_call_costs_nothing(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "503"})
        await client.post(request("getSlot", []))
        assert (await client.call("simStatistics"))["credits"] == {"total": 0}

    served(test)


def test_prices_have_the_shape_of_defillama(served: Any) -> None:
    async def test(client: Any) -> None:
        coin, stable, unknown = f"solana:{SOL}", f"solana:{USDC}", f"solana:{STRANGER}"
        path = f"/prices/historical/1788000000/{coin},{stable},{unknown}"
        coins = json.loads((await client.get(path)).body)["coins"]
        assert coins.keys() == {coin, stable}
        assert coins[coin]["timestamp"] == 1_788_000_000
        assert 120 <= coins[coin]["price"] <= 220
        assert coins[stable]["price"] == 1
        current = json.loads((await client.get(f"/prices/current/{coin}")).body)["coins"]
        assert current[coin].keys() == {"decimals", "symbol", "price", "timestamp", "confidence"}
        asked = f'{{"{coin}":[1788000000,1788003600]}}'
        batch = json.loads((await client.get(f"/batchHistorical?coins={asked}")).body)["coins"]
        assert batch[coin]["prices"][0]["price"] == coins[coin]["price"]
        assert [one["timestamp"] for one in batch[coin]["prices"]] == [1788000000, 1788003600]
        path = f"/chart/{coin}?start=1788000000&span=3&period=1h"
        chart = json.loads((await client.get(path)).body)["coins"][coin]["prices"]
        assert [one["timestamp"] for one in chart] == [1788000000, 1788003600, 1788007200]
        assert chart[1]["price"] == batch[coin]["prices"][1]["price"]

    served(test)


@pytest.mark.parametrize(
    "path", ["/batchHistorical?coins=x", "/batchHistorical", "/chart/solana:x?span=ten", "/nothing"]
)
def test_bad_price_requests_are_refused(served: Any, path: str) -> None:
    async def test(client: Any) -> None:
        assert (await client.get(path)).code in (400, 404)

    served(test)
