"""The `jsonParsed` encoding, with every instruction left unparsed, as nodes do for programs they
don't know."""

from typing import Any

import msgspec

Json = dict[str, Any]


def parsed(raw: bytes) -> bytes:
    """A transaction in `json` encoding as one in `jsonParsed` encoding."""
    transaction: Json = msgspec.json.decode(raw)
    message, meta = transaction["transaction"]["message"], transaction["meta"]
    loaded = meta.pop("loadedAddresses")
    static: list[str] = message["accountKeys"]
    keys = static + loaded["writable"] + loaded["readonly"]
    header = message.pop("header")
    signers = header["numRequiredSignatures"]
    writable = range(len(static) - header["numReadonlyUnsignedAccounts"])
    loaded_writable = range(len(static), len(static) + len(loaded["writable"]))
    message["accountKeys"] = [
        {
            "pubkey": key,
            "signer": index < signers,
            "source": "transaction" if index < len(static) else "lookupTable",
            "writable": index in writable or index in loaded_writable,
        }
        for index, key in enumerate(keys)
    ]
    for instruction in message["instructions"]:
        _resolve(instruction, keys)
    for group in meta["innerInstructions"]:
        for instruction in group["instructions"]:
            _resolve(instruction, keys)
    return msgspec.json.encode(transaction)


def _resolve(instruction: Json, keys: list[str]) -> None:
    instruction["programId"] = keys[instruction.pop("programIdIndex")]
    instruction["accounts"] = [keys[index] for index in instruction["accounts"]]
