"""The `jsonParsed` encoding. Instructions of the System, Token, Associated Token and Memo programs
are parsed; those of other programs, and p-token's new ones, are shown as they are, as nodes do with
what they don't know."""

import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from wd_tools.simulator import base58
from wd_tools.simulator.draft import ui_amount
from wd_tools.simulator.programs import ASSOCIATED_TOKEN, MEMO, SYSTEM, TOKEN, TOKEN_2022

Json = dict[str, Any]
_Reader = Callable[[list[str], bytes], Json]
_LAMPORTS_AND_SPACE: Final = struct.Struct("<QQ")
_AMOUNT: Final = struct.Struct("<Q")
_CHECKED: Final = struct.Struct("<QB")
_WITH_FEE: Final = struct.Struct("<QBQ")


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
    message["instructions"] = [_shown(one, keys) for one in message["instructions"]]
    for group in meta["innerInstructions"]:
        group["instructions"] = [_shown(one, keys) for one in group["instructions"]]
    return msgspec.json.encode(transaction)


def _shown(instruction: Json, keys: list[str]) -> Json:
    program = keys[instruction["programIdIndex"]]
    accounts = [keys[index] for index in instruction["accounts"]]
    encoded, height = instruction["data"], instruction["stackHeight"]
    known = _read(program, accounts, base58.decode(encoded))
    common = {"programId": program, "stackHeight": height}
    if known is None:
        return {"accounts": accounts, "data": encoded, **common}
    return {**known, **common}


def _read(program: str, accounts: list[str], data: bytes) -> Json | None:
    """What a node makes of it; None for what it doesn't know."""
    if program == MEMO:
        return {"program": "spl-memo", "parsed": data.decode()}
    if program == ASSOCIATED_TOKEN:
        names = ("source", "account", "wallet", "mint", "systemProgram", "tokenProgram")
        info = dict(zip(names, accounts, strict=True))
        return _known("spl-associated-token-account", "createIdempotent", info)
    if program == SYSTEM and (system := _SYSTEM.get(data[0])):
        return _known("system", system[0], system[1](accounts, data[4:]))
    if program in (TOKEN, TOKEN_2022) and (token := _TOKEN.get(data[0])):
        return _known("spl-token", token[0], token[1](accounts, data[1:]))
    return None


def _known(program: str, kind: str, info: Json) -> Json:
    return {"program": program, "parsed": {"type": kind, "info": info}}


def _create_account(accounts: list[str], data: bytes) -> Json:
    lamports, space = _LAMPORTS_AND_SPACE.unpack_from(data)
    source, account = accounts
    owner = base58.encode(data[_LAMPORTS_AND_SPACE.size :])
    return {
        "source": source,
        "newAccount": account,
        "lamports": lamports,
        "space": space,
        "owner": owner,
    }


def _system_transfer(accounts: list[str], data: bytes) -> Json:
    (lamports,) = _AMOUNT.unpack(data)
    return {"source": accounts[0], "destination": accounts[1], "lamports": lamports}


def _transfer(accounts: list[str], data: bytes) -> Json:
    source, target, authority = accounts
    return {
        "source": source,
        "destination": target,
        "authority": authority,
        "amount": str(*_AMOUNT.unpack(data)),
    }


def _transfer_checked(accounts: list[str], data: bytes) -> Json:
    amount, decimals = _CHECKED.unpack(data)
    return _checked(accounts, amount, decimals)


def _transfer_with_fee(accounts: list[str], data: bytes) -> Json:
    amount, decimals, fee = _WITH_FEE.unpack(data[1:])
    return _checked(accounts, amount, decimals) | {"feeAmount": _token_amount(fee, decimals)}


def _checked(accounts: list[str], amount: int, decimals: int) -> Json:
    source, mint, target, authority = accounts
    return {
        "source": source,
        "mint": mint,
        "destination": target,
        "authority": authority,
        "tokenAmount": _token_amount(amount, decimals),
    }


def _token_amount(raw: int, decimals: int) -> Json:
    return {
        "amount": str(raw),
        "decimals": decimals,
        "uiAmount": raw / 10**decimals,
        "uiAmountString": ui_amount(raw, decimals),
    }


def _named(*names: str) -> _Reader:
    """Accounts by their names, and the amount if the instruction has one."""

    def info(accounts: list[str], data: bytes) -> Json:
        amount = {"amount": str(*_AMOUNT.unpack(data))} if data else {}
        return {**dict(zip(names, accounts, strict=True)), **amount}

    return info


def _initialize_account(accounts: list[str], data: bytes) -> Json:
    account, mint = accounts
    return {"account": account, "mint": mint, "owner": base58.encode(data)}


_SYSTEM: Final[dict[int, tuple[str, _Reader]]] = {
    0: ("createAccount", _create_account),
    2: ("transfer", _system_transfer),
}
_TOKEN: Final[dict[int, tuple[str, _Reader]]] = {
    3: ("transfer", _transfer),
    7: ("mintTo", _named("mint", "account", "mintAuthority")),
    8: ("burn", _named("account", "mint", "authority")),
    9: ("closeAccount", _named("account", "destination", "owner")),
    12: ("transferChecked", _transfer_checked),
    17: ("syncNative", _named("account")),
    18: ("initializeAccount3", _initialize_account),
    26: ("transferCheckedWithFee", _transfer_with_fee),
}
