"""A transaction as Helius' enhanced webhooks show it.

`accountData` is exact. `type` and `source` say nothing and `events` is empty, as they are for most
real trades; amounts of `tokenTransfers` are floats, as they really are.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from wd_tools.simulator import base58
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.programs import SYSTEM, TOKEN, TOKEN_2022

Json = dict[str, Any]
_U64 = struct.Struct("<Q")
# System instructions: create an account, transfer.
_NATIVE_TRANSFERS: Final = (b"\0\0\0\0", b"\2\0\0\0")
# Where a token transfer's target and amount are, by how its data begins.
_BATCH: Final = 255
_TOKEN_TRANSFERS: Final = {b"\3": (1, 1), b"\x0c": (2, 1), b"\x1a\1": (2, 2)}


def enhanced(made: Entry) -> Json:
    body: Json = msgspec.json.decode(b"{" + made.body)
    meta, message = body["meta"], body["transaction"]["message"]
    loaded = meta["loadedAddresses"]
    keys = message["accountKeys"] + loaded["writable"] + loaded["readonly"]
    groups = {group["index"]: group["instructions"] for group in meta["innerInstructions"]}
    instructions = [
        {
            **_instruction(one, keys),
            "innerInstructions": [_instruction(inner, keys) for inner in groups.get(index, ())],
        }
        for index, one in enumerate(message["instructions"])
    ]
    calls = [] if made.err else [call for one in instructions for call in _flat(one)]
    return {
        "accountData": list(_account_data(meta, keys)),
        "description": "",
        "events": {},
        "fee": meta["fee"],
        "feePayer": keys[0],
        "instructions": instructions,
        "nativeTransfers": list(_native_transfers(calls)),
        "signature": made.signature,
        "slot": made.slot,
        "source": "UNKNOWN",
        "timestamp": made.block_time,
        "tokenTransfers": list(_token_transfers(calls, _held(meta, keys))),
        "transactionError": made.err,
        "type": "UNKNOWN",
    }


def _instruction(given: Json, keys: list[str]) -> Json:
    return {
        "accounts": [keys[index] for index in given["accounts"]],
        "data": given["data"],
        "programId": keys[given["programIdIndex"]],
    }


def _flat(instruction: Json) -> list[Json]:
    return [instruction, *instruction["innerInstructions"]]


def _account_data(meta: Json, keys: list[str]) -> Iterator[Json]:
    amounts: dict[int, int] = {}
    accounts: dict[int, Json] = {}
    for side, sign in (("preTokenBalances", -1), ("postTokenBalances", 1)):
        for held in meta[side]:
            index, raw = held["accountIndex"], int(held["uiTokenAmount"]["amount"])
            amounts[index] = amounts.get(index, 0) + sign * raw
            accounts[index] = held
    for index, key in enumerate(keys):
        changes = []
        if amounts.get(index):
            held = accounts[index]
            raw_amount = {
                "decimals": held["uiTokenAmount"]["decimals"],
                "tokenAmount": str(amounts[index]),
            }
            changes.append(
                {
                    "mint": held["mint"],
                    "rawTokenAmount": raw_amount,
                    "tokenAccount": key,
                    "userAccount": held["owner"],
                }
            )
        yield {
            "account": key,
            "nativeBalanceChange": meta["postBalances"][index] - meta["preBalances"][index],
            "tokenBalanceChanges": changes,
        }


def _held(meta: Json, keys: list[str]) -> dict[str, Json]:
    """Token balances by account."""
    both = meta["preTokenBalances"] + meta["postTokenBalances"]
    return {keys[held["accountIndex"]]: held for held in both}


def _native_transfers(calls: list[Json]) -> Iterator[Json]:
    for call in calls:
        data = base58.decode(call["data"]) if call["programId"] == SYSTEM else b""
        if data[:4] in _NATIVE_TRANSFERS:
            source, target = call["accounts"][:2]
            (lamports,) = _U64.unpack_from(data, 4)
            yield {"amount": lamports, "fromUserAccount": source, "toUserAccount": target}


def _unrolled(call: Json) -> Iterator[tuple[list[str], bytes]]:
    """Accounts and data of a Token instruction, or of each that a Batch consists of."""
    accounts, data = call["accounts"], base58.decode(call["data"])
    if data[0] != _BATCH:
        yield accounts, data
        return
    first, at = 0, 1
    while at < len(data):
        count, size = data[at], data[at + 1]
        yield accounts[first : first + count], data[at + 2 : at + 2 + size]
        first, at = first + count, at + 2 + size


def _token_transfers(calls: list[Json], held: dict[str, Json]) -> Iterator[Json]:
    tokens = [call for call in calls if call["programId"] in (TOKEN, TOKEN_2022)]
    for accounts, data in (one for call in tokens for one in _unrolled(call)):
        for beginning, (target_index, offset) in _TOKEN_TRANSFERS.items():
            if data.startswith(beginning):
                source, target = accounts[0], accounts[target_index]
                known = held.get(source) or held.get(target)
                if known is not None:  # neither is when both are opened and closed on the way
                    (raw,) = _U64.unpack_from(data, offset)
                    yield _token_transfer(source, target, raw, known, held)


def _token_transfer(source: str, target: str, raw: int, known: Json, held: dict[str, Json]) -> Json:
    return {
        "fromTokenAccount": source,
        "fromUserAccount": held[source]["owner"] if source in held else "",
        "mint": known["mint"],
        "toTokenAccount": target,
        "toUserAccount": held[target]["owner"] if target in held else "",
        "tokenAmount": raw / 10 ** known["uiTokenAmount"]["decimals"],
        "tokenStandard": "Fungible",
    }
