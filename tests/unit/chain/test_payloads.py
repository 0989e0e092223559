from typing import Any

import msgspec
import pytest

from wd_server.chain.payloads import EnhancedTransaction, Transaction, TransactionNotification

Json = dict[str, Any]


def transaction(**changes: Any) -> Json:
    meta: Json = {"err": None, "fee": 5000, "preBalances": [9], "postBalances": [8]}
    base: Json = {
        "slot": 7,
        "transaction": {"signatures": ["s"], "message": {"accountKeys": ["a"]}},
        "meta": meta,
    }
    return base | changes


def read(item: Json) -> Transaction:
    return msgspec.json.decode(msgspec.json.encode(item), type=Transaction)


def test_the_least_a_node_may_send_is_enough() -> None:
    read_back = read(transaction())
    assert (read_back.signature, read_back.slot, read_back.block_time) == ("s", 7, None)
    assert read_back.meta.inner_instructions is None


def test_fields_nobody_reads_are_ignored() -> None:
    item = transaction(version=1, rewards=[], future={"deep": [1, {"x": None}]})
    item["meta"]["logMessages"] = None
    item["meta"]["costUnits"] = 12
    assert read(item) == read(transaction())


def test_account_keys_come_as_text_or_as_objects() -> None:
    item = transaction()
    item["transaction"]["message"]["accountKeys"] = [{"pubkey": "a", "signer": True}]
    (key,) = read(item).transaction.message.account_keys
    assert not isinstance(key, str)
    assert key.pubkey == "a"


def test_an_instruction_may_be_parsed_or_not() -> None:
    item = transaction()
    item["transaction"]["message"]["instructions"] = [
        {"programIdIndex": 0, "accounts": [0], "data": "A", "stackHeight": None},
        {"programId": "p", "accounts": ["a"], "data": "A"},
        {"programId": "p", "program": "spl-memo", "parsed": "a memo"},
        {"programId": "p", "program": "system", "parsed": {"type": "transfer", "info": {}}},
    ]
    first, second, memo, parsed = read(item).transaction.message.instructions
    assert (first.program_id_index, first.accounts, bool(first.parsed)) == (0, [0], False)
    assert (second.program_id, second.accounts) == ("p", ["a"])
    assert bytes(memo.parsed) == b'"a memo"'
    assert b"transfer" in bytes(parsed.parsed)


def test_lamports_beyond_a_float_stay_exact() -> None:
    item = transaction()
    item["meta"]["postBalances"] = [2**64 - 1]
    assert read(item).meta.post_balances == [18446744073709551615]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"slot": None},
        {"meta": None},
        {"meta": {"err": None, "fee": 1, "preBalances": None, "postBalances": []}},
        {"transaction": {"signatures": [], "message": {"accountKeys": []}}},
        {"transaction": ["AQAB", "base64"]},
    ],
)
def test_what_is_no_transaction_is_a_validation_error(spoilt: Json) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(transaction(**spoilt))


def test_a_notification_becomes_a_transaction() -> None:
    inner = transaction()
    message = {
        "jsonrpc": "2.0",
        "method": "transactionNotification",
        "params": {
            "subscription": 1,
            "result": {
                "signature": "s",
                "slot": 9,
                "transaction": {"transaction": inner["transaction"], "meta": inner["meta"]},
            },
        },
    }
    read_back = msgspec.json.decode(msgspec.json.encode(message), type=TransactionNotification)
    got = read_back.transaction
    assert (got.signature, got.slot, got.block_time, got.meta.fee) == ("s", 9, None, 5000)


def test_an_enhanced_object_may_be_cut_down_to_its_signature() -> None:
    cut = msgspec.json.decode(b'{"signature":"s","events":[]}', type=EnhancedTransaction)
    assert (cut.fee, cut.account_data, cut.instructions) == (None, None, None)


def test_enhanced_amounts_keep_the_digits_they_were_sent_with() -> None:
    raw = b'{"signature":"s","tokenTransfers":[{"mint":"m","tokenAmount":1113.140597154}]}'
    cut = msgspec.json.decode(raw, type=EnhancedTransaction)
    assert cut.token_transfers is not None
    assert str(cut.token_transfers[0].token_amount) == "1113.140597154"
