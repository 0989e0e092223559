"""Real transactions, each read as recordings.txt says it is."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from wd_server import base58
from wd_server.chain.payloads import EnhancedTransaction, Transaction, TransactionNotification
from wd_server.trading.effects import Effects, effects_of
from wd_server.trading.enhanced import effects_of_enhanced
from wd_server.trading.instructions import TOKEN_PROGRAMS
from wd_server.trading.interpretation import Interpretation, interpret
from wd_server.trading.postings import balance_changes
from wd_server.trading.programs import SOL, SYSTEM

RECORDINGS = Path(__file__).parents[4] / "shared" / "recordings"
TABLE = Path(__file__).with_name("recordings.txt")
RECEIVED_AT = 1_700_000_000

Json = dict[str, Any]


class Row(NamedTuple):
    file: str
    signature: str
    wallet: str
    outcome: list[str]


def rows() -> list[Row]:
    found = []
    file = ""
    for line in TABLE.read_text().splitlines():
        if line.startswith("# ") and line.endswith(".json"):
            file = line[2:]
        elif line and not line.startswith("#"):
            signature, wallet, *outcome = line.split()
            found.append(Row(file, signature, wallet, outcome))
    return found


@pytest.fixture(scope="module", autouse=True)
def _recordings() -> None:
    if RECORDINGS.is_dir():
        return
    if os.environ.get("CI") == "true":
        pytest.fail("The recordings aren't beside the project (../shared/recordings).")
    pytest.skip("The recordings aren't beside the project (../shared/recordings).")


def from_grpc(item: Json) -> Json:
    """A gRPC block's transaction in the shape that RPCs give: numbers were strings, lists of
    indexes base58, loaded addresses two lists, and there is no slot."""

    def instruction(one: Json) -> Json:
        return one | {"accounts": list(base58.decode(one["accounts"]))}

    meta, message = item["meta"], item["transaction"]["message"]
    return {
        "slot": 0,
        "transaction": item["transaction"]
        | {"message": message | {"instructions": [*map(instruction, message["instructions"])]}},
        "meta": meta
        | {
            "err": None,
            "fee": int(meta["fee"]),
            "preBalances": [*map(int, meta["preBalances"])],
            "postBalances": [*map(int, meta["postBalances"])],
            "loadedAddresses": {
                "writable": meta["loadedWritableAddresses"],
                "readonly": meta["loadedReadonlyAddresses"],
            },
            "innerInstructions": [
                inner | {"instructions": [*map(instruction, inner["instructions"])]}
                for inner in meta["innerInstructions"]
            ],
        },
    }


def raw_items() -> Iterator[tuple[str, Json]]:
    """Transactions as `getTransaction` gives them, with the file they are from."""
    files = sorted((RECORDINGS / "raw").iterdir())
    files.append(RECORDINGS / "enhanced_trimmed" / "hanuchaudhary__SolanaLaunchpad_raw.json")
    for path in files:
        content = json.loads(path.read_bytes())
        for item in content if isinstance(content, list) else [content]:
            name = str(path.relative_to(RECORDINGS))
            yield name, from_grpc(item) if "isVote" in item else item


def notifications() -> Iterator[tuple[str, Json]]:
    name = "websocket/transactionNotification.json"
    for item in json.loads((RECORDINGS / name).read_bytes()):
        yield name, item


def enhanced_items() -> Iterator[tuple[str, Json]]:
    for folder in ("enhanced", "enhanced_trimmed"):
        for path in sorted((RECORDINGS / folder).iterdir()):
            if not path.stem.endswith("_raw"):
                for item in json.loads(path.read_bytes()):
                    yield str(path.relative_to(RECORDINGS)), item


def decoded(item: Json) -> Transaction:
    return msgspec.json.decode(json.dumps(item), type=Transaction)


def as_parsed(program: str, accounts: list[str], data: bytes) -> Json | None:
    """System and Token instructions as a node parses them."""
    if program == SYSTEM and data[:4] == b"\2\0\0\0":
        lamports = int.from_bytes(data[4:12], "little")
        info: Json = {"source": accounts[0], "destination": accounts[1], "lamports": lamports}
        return {"type": "transfer", "info": info}
    if program == SYSTEM and data[:4] in (b"\0\0\0\0", b"\3\0\0\0"):
        at = 4 if data[0] == 0 else 44 + int.from_bytes(data[36:44], "little")
        lamports = int.from_bytes(data[at : at + 8], "little")
        info = {"source": accounts[0], "newAccount": accounts[1], "lamports": lamports}
        return {"type": "createAccount", "info": info}
    if program == SYSTEM and data[:4] == b"\10\0\0\0":
        return {"type": "allocate", "info": {"account": accounts[0]}}
    if program in TOKEN_PROGRAMS and data[:1] == b"\11":
        return {
            "type": "closeAccount",
            "info": {"account": accounts[0], "destination": accounts[1], "owner": accounts[2]},
        }
    if program in TOKEN_PROGRAMS and data[:1] == b"\3":
        amount = str(int.from_bytes(data[1:9], "little"))
        info = {
            "source": accounts[0],
            "destination": accounts[1],
            "authority": accounts[2],
            "amount": amount,
        }
        return {"type": "transfer", "info": info}
    if program in TOKEN_PROGRAMS and data[:1] == b"\14":
        amount = {"amount": str(int.from_bytes(data[1:9], "little")), "decimals": data[9]}
        info = {
            "source": accounts[0],
            "mint": accounts[1],
            "destination": accounts[2],
            "authority": accounts[3],
            "tokenAmount": amount,
        }
        return {"type": "transferChecked", "info": info}
    return None


def in_json_parsed(item: Json) -> Json:
    """A transaction in `json` encoding as `jsonParsed` has it."""
    keys = addresses(item)
    message, meta = item["transaction"]["message"], item["meta"]

    def instruction(one: Json) -> Json:
        program, accounts = keys[one["programIdIndex"]], [keys[at] for at in one["accounts"]]
        parsed = as_parsed(program, accounts, base58.decode(one["data"]))
        height = {"stackHeight": one.get("stackHeight")}
        if parsed is not None:
            return {"programId": program, "parsed": parsed} | height
        return {"programId": program, "accounts": accounts, "data": one["data"]} | height

    full = [{"pubkey": key, "signer": False, "source": "transaction"} for key in keys]
    calls = [*map(instruction, message["instructions"])]
    inner = [
        group | {"instructions": [*map(instruction, group["instructions"])]}
        for group in meta["innerInstructions"]
    ]
    meta = {name: part for name, part in meta.items() if name != "loadedAddresses"}
    return item | {
        "transaction": item["transaction"]
        | {"message": message | {"accountKeys": full, "instructions": calls}},
        "meta": meta | {"innerInstructions": inner},
    }


class Recorded(NamedTuple):
    """`parties`: every account and owner that the transaction names."""

    file: str
    signature: str
    parties: list[str]
    read: Any

    def effects(self, wallet: str) -> Effects:
        if isinstance(self.read, Transaction):
            return effects_of(self.read, wallet, RECEIVED_AT)
        return effects_of_enhanced(self.read, wallet, RECEIVED_AT)


def addresses(item: Json) -> list[str]:
    keys = [
        key if isinstance(key, str) else key["pubkey"]
        for key in item["transaction"]["message"]["accountKeys"]
    ]
    loaded = item["meta"].get("loadedAddresses") or {"writable": [], "readonly": []}
    if len(keys) < len(item["meta"]["preBalances"]):
        keys += loaded["writable"] + loaded["readonly"]
    return keys


def recorded() -> Iterator[Recorded]:
    raws = [(file, item, decoded(item)) for file, item in raw_items()]
    for file, message in notifications():
        notified = msgspec.json.decode(json.dumps(message), type=TransactionNotification)
        item = message["params"]["result"]["transaction"]
        raws.append((file, item, notified.transaction))
    for file, item, read in raws:
        held = item["meta"]["preTokenBalances"] + item["meta"]["postTokenBalances"]
        parties = addresses(item) + [balance["owner"] for balance in held]
        yield Recorded(file, read.signature, [*dict.fromkeys(parties)], read)
    for file, item in enhanced_items():
        enhanced = msgspec.json.decode(json.dumps(item), type=EnhancedTransaction)
        parties = [account["account"] for account in item.get("accountData", ())]
        for account in item.get("accountData", ()):
            parties += [one["userAccount"] for one in account["tokenBalanceChanges"]]
        for transfer in item.get("tokenTransfers", ()):
            parties += [transfer["fromUserAccount"], transfer["toUserAccount"]]
        yield Recorded(file, enhanced.signature, [*dict.fromkeys(parties)], enhanced)


def outcome(found: Interpretation) -> list[str]:
    if not found.trades:
        return ["none", str(found.reason)]
    parts = []
    for trade in found.trades:
        parts += [
            *(["+"] if parts else []),
            trade.action,
            trade.dex,
            trade.confidence,
            *(str(trade.sold.raw), trade.sold.mint[:8]),
            *(str(trade.bought.raw), trade.bought.mint[:8]),
            str(trade.fee_lamports),
        ]
    return parts


def test_every_recording_is_what_the_table_says() -> None:
    table: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows():
        table[row.file, row.signature].append(row)
    differences = []
    for one in recorded():
        for row in table.pop((one.file, one.signature[:8])):
            (wallet,) = (party for party in one.parties if party.startswith(row.wallet))
            got = outcome(interpret(one.effects(wallet)))
            if got != row.outcome:
                differences.append((row, got))
    assert differences == []
    assert not table, "the table has transactions that no recording has"


def test_the_table_is_as_long_as_the_recordings_are() -> None:
    kinds = Counter(row.outcome[0] for row in rows())
    assert sum(kinds.values()) == 235
    assert kinds["none"] == 134


def test_the_parts_add_up_for_everybody_in_every_recording() -> None:
    for one in recorded():
        for party in one.parties:
            effects = one.effects(party)
            paid = sum(payment.lamports for payment in effects.payments)
            rent = effects.rent_locked - effects.rent_returned + effects.rent_paid
            apart = effects.network_fee + rent + paid
            assert effects.lamports == effects.sol - apart
            assert all(payment.lamports > 0 for payment in effects.payments)


def test_tokens_and_lamports_are_what_the_balances_say() -> None:
    for _, item in raw_items():
        meta, read = item["meta"], decoded(item)
        keys = addresses(item)
        held: dict[str, Counter[str]] = defaultdict(Counter)
        for sign, side in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
            for balance in meta[side]:
                amount = int(balance["uiTokenAmount"]["amount"])
                held[balance["owner"]][balance["mint"]] += sign * amount
        for wallet in {keys[0], *held}:
            tokens = {mint: raw for mint, raw in held[wallet].items() if raw}
            wrapped = tokens.pop(SOL, 0)
            at = keys.index(wallet) if wallet in keys else None
            native = 0 if at is None else meta["postBalances"][at] - meta["preBalances"][at]
            effects = effects_of(read, wallet)
            assert effects.lamports == native + wrapped
            assert {mint: delta.raw for mint, delta in effects.tokens.items()} == tokens


def test_postings_add_up_to_the_balances_for_everybody_in_every_recording() -> None:
    for one in recorded():
        for party in one.parties:
            effects = one.effects(party)
            moved = {mint: delta.raw for mint, delta in effects.tokens.items()}
            if effects.lamports:
                moved[SOL] = effects.lamports
            assert balance_changes(interpret(effects).postings) == moved


def test_a_notification_has_no_time_and_takes_the_receivers() -> None:
    for one in recorded():
        if one.file.startswith("websocket"):
            assert one.effects(one.parties[0]).timestamp == RECEIVED_AT


def test_both_encodings_say_the_same() -> None:
    for _, item in raw_items():
        plain, parsed = decoded(item), decoded(in_json_parsed(item))
        for wallet in addresses(item):
            assert interpret(effects_of(parsed, wallet)) == interpret(effects_of(plain, wallet))
