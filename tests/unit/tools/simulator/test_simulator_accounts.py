"""What the RPC says of a wallet's accounts: lamports, token accounts, what keeps them alive."""

import base64
import struct
from collections import Counter
from collections.abc import Iterable
from typing import Any

from wd_tools.simulator import base58
from wd_tools.simulator.programs import TOKEN, TOKEN_2022
from wd_tools.simulator.truth import Truth

SOL = "So11111111111111111111111111111111111111112"
STRANGER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
CONFIRMED = {"commitment": "confirmed"}
PARSED = {"encoding": "jsonParsed"}


async def balances(client: Any, config: dict[str, Any]) -> Counter[str]:
    """What the account methods say that the wallet has, by mint; SOL native and wrapped."""
    lamports = await client.call("getBalance", client.wallet, config)
    held = Counter({SOL: lamports["value"]})
    for program in (TOKEN, TOKEN_2022):
        asked = (client.wallet, {"programId": program}, {**config, "encoding": "jsonParsed"})
        listed = await client.call("getTokenAccountsByOwner", *asked)
        assert listed["context"] == lamports["context"]
        for one in listed["value"]:
            info = one["account"]["data"]["parsed"]["info"]
            assert (info["owner"], one["account"]["owner"]) == (client.wallet, program)
            held[info["mint"]] += int(info["tokenAmount"]["amount"])
    return held


def changes(truths: Iterable[Truth]) -> Counter[str]:
    total = Counter[str]()
    for truth in truths:
        total.update(truth.changes)
    return total


def test_accounts_hold_what_the_transactions_made_of_them(served: Any) -> None:
    async def test(client: Any) -> None:
        truths = await client.simulator.truth(client.wallet)
        held = await balances(client, CONFIRMED)
        assert len(held) > 10
        assert +held == +changes(truths)

    served(test, sizes=(600,))


def test_accounts_are_shown_as_of_the_slot_of_their_commitment(served: Any) -> None:
    async def test(client: Any) -> None:
        history = list(await client.simulator.truth(client.wallet))
        await client.call("simAppend", client.wallet, 40)
        every = await client.simulator.truth(client.wallet)
        assert +await balances(client, {}) == +changes(history)
        assert +await balances(client, CONFIRMED) == +changes(every)
        asked = {**CONFIRMED, "minContextSlot": 10**12}
        assert (await client.call("getBalance", client.wallet, asked))["code"] == -32016

    served(test, finalized_after=10_000.0)


def test_token_accounts_are_the_same_in_bytes_and_parsed(served: Any) -> None:
    async def test(client: Any) -> None:
        for program in (TOKEN, TOKEN_2022):
            asked = (client.wallet, {"programId": program})
            parsed = await client.call(
                "getTokenAccountsByOwner", *asked, {"encoding": "jsonParsed"}
            )
            raw = await client.call("getTokenAccountsByOwner", *asked, {"encoding": "base64"})
            assert len(parsed["value"]) == len(raw["value"]) > 0
            for one, other in zip(parsed["value"], raw["value"], strict=True):
                data = base64.b64decode(other["account"]["data"][0])
                info = one["account"]["data"]["parsed"]["info"]
                assert base58.encode(data[:32]) == info["mint"]
                assert base58.encode(data[32:64]) == info["owner"]
                (amount,) = struct.unpack_from("<Q", data, 64)
                assert str(amount) == info["tokenAmount"]["amount"]
                assert len(data) == one["account"]["space"]
                least = await client.call("getMinimumBalanceForRentExemption", len(data))
                wrapped = amount if info["mint"] == SOL else 0
                assert one["account"]["lamports"] - wrapped >= least

    served(test, sizes=(600,))


def test_a_token_account_s_signatures_list_what_those_of_its_wallet_miss(served: Any) -> None:
    async def test(client: Any) -> None:
        listed = set()
        for program in (TOKEN, TOKEN_2022):
            asked = (client.wallet, {"programId": program}, PARSED)
            accounts = await client.call("getTokenAccountsByOwner", *asked)
            for one in accounts["value"]:
                found = await client.call("getSignaturesForAddress", one["pubkey"])
                assert found
                listed |= {each["signature"] for each in found}
        truths = await client.simulator.truth(client.wallet)
        hidden = {truth.signature for truth in truths if not truth.visible}
        assert listed & hidden
        assert listed <= {truth.signature for truth in truths}

    served(test)


def test_token_accounts_are_asked_for_by_mint_or_program(served: Any) -> None:
    async def test(client: Any) -> None:
        programs = {"programId": TOKEN}
        every = await client.call("getTokenAccountsByOwner", client.wallet, programs, PARSED)
        mint = every["value"][0]["account"]["data"]["parsed"]["info"]["mint"]
        asked = ({"mint": mint}, PARSED)
        (one,) = (await client.call("getTokenAccountsByOwner", client.wallet, *asked))["value"]
        assert one == every["value"][0]
        for wrong in ({}, {"mint": mint, **programs}):
            answer = await client.call("getTokenAccountsByOwner", client.wallet, wrong, PARSED)
            assert answer["code"] == -32602
        assert (await client.call("getTokenAccountsByOwner", STRANGER, programs))["value"] == []

    served(test)


def test_methods_about_accounts_are_on_the_bill(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("getBalance", client.wallet)
        await client.call("getTokenAccountsByOwner", client.wallet, {"programId": TOKEN})
        await client.call("getMinimumBalanceForRentExemption", 165)
        assert (await client.call("simStatistics"))["credits"]["total"] == 3

    served(test)
