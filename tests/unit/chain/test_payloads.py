from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_chain import signed

from wd_server.chain.listing import ListedSignature
from wd_server.chain.payloads import (
    UNREADABLE,
    EnhancedTransaction,
    LogsNotification,
    Transaction,
    TransactionNotification,
    without_instructions,
)
from wd_server.trading.programs import SOL

Json = dict[str, Any]

SIGNATURE = signed("s")


def transaction(**changes: Any) -> Json:
    meta: Json = {"err": None, "fee": 5000, "preBalances": [9], "postBalances": [8]}
    base: Json = {
        "slot": 7,
        "transaction": {"signatures": [SIGNATURE], "message": {"accountKeys": ["a"]}},
        "meta": meta,
    }
    return base | changes


def read(item: Json) -> Transaction:
    return msgspec.json.decode(msgspec.json.encode(item), type=Transaction)


def read_enhanced(**changes: Any) -> EnhancedTransaction:
    item = {"signature": SIGNATURE} | changes
    return msgspec.json.decode(msgspec.json.encode(item), type=EnhancedTransaction)


def test_the_least_a_node_may_send_is_enough() -> None:
    read_back = read(transaction())
    assert (read_back.signature, read_back.slot, read_back.block_time) == (SIGNATURE, 7, None)
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
    item["meta"]["postBalances"] = [2**63 - 1]
    assert read(item).meta.post_balances == [9223372036854775807]


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
                "signature": SIGNATURE,
                "slot": 9,
                "transaction": {"transaction": inner["transaction"], "meta": inner["meta"]},
            },
        },
    }
    read_back = msgspec.json.decode(msgspec.json.encode(message), type=TransactionNotification)
    got = read_back.transaction
    assert (got.signature, got.slot, got.block_time, got.meta.fee) == (SIGNATURE, 9, None, 5000)


def test_an_enhanced_object_may_be_cut_down_to_its_signature() -> None:
    cut = read_enhanced(events=[])
    assert (cut.fee, cut.account_data, cut.instructions) == (None, None, None)


def test_enhanced_amounts_keep_the_digits_they_were_sent_with() -> None:
    cut = read_enhanced(tokenTransfers=[{"mint": SOL, "tokenAmount": 1113.140597154}])
    assert cut.token_transfers is not None
    assert str(cut.token_transfers[0].token_amount) == "1113.140597154"


# What the upstream may not say. Each of these was taken as it stood, and did harm behind it.


def balance(**changes: Any) -> Json:
    return {"accountIndex": 0, "mint": SOL, "uiTokenAmount": amount(), "owner": "a"} | changes


def amount(digits: str = "1", decimals: int = 6) -> Json:
    return {"amount": digits, "decimals": decimals}


LONG = "1" * 1_000_000
ODD_SIGNATURES = ["", "s", LONG, "\x1b]0;x\x07".ljust(88, "1"), "=cmd()" + "1" * 82, "é" * 88, None]
ODD_MINTS = ["=cmd()", "=cmd()" + "1" * 26, LONG, SOL[:-1] + "\n", SOL + "1", SOL[1:], "", None]
ODD_DIGITS = ["", "-1", "1.5", "0x10", "²", str(2**64), "9" * 5000, None]
ODD_TIMES = [-1, 2**33 + 1, 2**50, 10**300, 1.5, "1"]
ODD_SLOTS = [-1, 2**53, 10**300, 1.5, None]
ODD_LAMPORTS = [-1, 2**63, 10**300, 0.5, "1", None]
ODD_DECIMALS = [-1, 256, 30_000_000, 10**300, 1.5, None]


@pytest.mark.parametrize("signature", ODD_SIGNATURES)
def test_a_signature_is_base58_of_64_bytes_wherever_it_stands(signature: str | None) -> None:
    item = transaction()
    item["transaction"]["signatures"] = [signature]
    value = {"context": {"slot": 1}, "value": {"signature": signature}}
    for kind, found in (
        (Transaction, item),
        (EnhancedTransaction, {"signature": signature}),
        (ListedSignature, {"signature": signature, "slot": 1}),
        (LogsNotification, {"params": {"result": value}}),
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode(found), type=kind)


@pytest.mark.parametrize(
    "spoilt",
    [
        *({"mint": mint} for mint in ODD_MINTS),
        *({"uiTokenAmount": amount(digits)} for digits in ODD_DIGITS),  # type: ignore[arg-type]
        *({"uiTokenAmount": amount("1", each)} for each in ODD_DECIMALS),  # type: ignore[arg-type]
        {"owner": LONG},
    ],
)
def test_a_token_balance_that_no_chain_has_is_refused_with_its_transaction(spoilt: Json) -> None:
    for name in ("preTokenBalances", "postTokenBalances"):
        item = transaction()
        item["meta"][name] = [balance()]
        assert read(item)
        item["meta"][name] = [balance(), balance(**spoilt)]
        with pytest.raises(msgspec.ValidationError):
            read(item)


def test_the_largest_amount_and_the_most_decimals_pass() -> None:
    item = transaction()
    item["meta"]["preTokenBalances"] = [balance(uiTokenAmount=amount(str(2**64 - 1), 255))]
    (held,) = read(item).meta.pre_token_balances or ()
    assert (held.ui_token_amount.amount, held.ui_token_amount.decimals) == (str(2**64 - 1), 255)


@pytest.mark.parametrize("keys", [["a", {"pubkey": "b"}], [{"pubkey": "a"}, "b"], [LONG], [7]])
def test_account_keys_are_of_one_kind_and_no_longer_than_an_address(keys: list[Any]) -> None:
    item = transaction()
    item["transaction"]["message"]["accountKeys"] = keys
    with pytest.raises(msgspec.ValidationError):
        read(item)


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        *(("blockTime", each) for each in ODD_TIMES),
        *(("slot", each) for each in ODD_SLOTS),
        *(("transactionIndex", each) for each in (-1, 2**31, 10**300, 1.5)),
    ],
)
def test_a_time_or_a_place_that_no_block_has_is_refused(name: str, odd: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(transaction(**{name: odd}))
    if name != "transactionIndex" and odd is not None:
        with pytest.raises(msgspec.ValidationError):
            read_enhanced(**{"timestamp" if name == "blockTime" else name: odd})


@pytest.mark.parametrize("time", [None, 0, 2**33])
def test_a_time_may_be_missing_or_nothing(time: int | None) -> None:
    assert read(transaction(blockTime=time)).block_time == time


@pytest.mark.parametrize("odd", ODD_LAMPORTS)
def test_lamports_are_those_that_there_can_be(odd: Any) -> None:
    for name, value in (("fee", odd), ("preBalances", [odd]), ("postBalances", [odd])):
        item = transaction()
        item["meta"][name] = value
        with pytest.raises(msgspec.ValidationError):
            read(item)
    with pytest.raises(msgspec.ValidationError):
        read_enhanced(nativeTransfers=[{"amount": odd}])


@pytest.mark.parametrize(
    "name", ["preBalances", "postBalances", "preTokenBalances", "postTokenBalances"]
)
def test_a_transaction_has_no_more_accounts_than_an_index_can_count(name: str) -> None:
    def of(count: int) -> Json:
        item = transaction()
        if "Token" in name:
            item["meta"][name] = [balance()] * count
            return item
        item["meta"] |= {"preBalances": [1] * count, "postBalances": [1] * count}
        item["transaction"]["message"]["accountKeys"] = ["a"] * count
        return item

    assert read(of(256))
    with pytest.raises(msgspec.ValidationError):
        read(of(257))


def test_a_transaction_has_as_many_accounts_as_balances() -> None:
    """Otherwise a balance would be nobody's, and a trade made of the others another trade."""
    for name in ("preBalances", "postBalances"):
        item = transaction()
        item["meta"][name] = [1, 2]
        with pytest.raises(msgspec.ValidationError):
            read(item)
    item = transaction()
    item["meta"] |= {"preBalances": [1, 2, 3], "postBalances": [1, 2, 3]}
    with pytest.raises(msgspec.ValidationError):
        read(item)
    item["meta"]["loadedAddresses"] = {"writable": ["b"], "readonly": ["c"]}
    assert read(item).addresses == ["a", "b", "c"]
    item["transaction"]["message"]["accountKeys"] = ["a", "b", "c"]
    assert read(item).addresses == ["a", "b", "c"]


@pytest.mark.parametrize("index", [-1, 1, 300, "0", None])
def test_a_token_balance_is_of_one_of_the_accounts(index: Any) -> None:
    for name in ("preTokenBalances", "postTokenBalances"):
        item = transaction()
        item["meta"][name] = [balance(accountIndex=index)]
        with pytest.raises(msgspec.ValidationError):
            read(item)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from([2**64, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)
META = ["meta", "innerInstructions"]
PLACES = [["slot"], ["transaction"], ["transaction", "message"], ["meta"], META, [*META, 0]]


@given(st.sampled_from([*PLACES, ["meta", "fee"], ["meta", "preBalances"]]), JSON)
def test_whatever_stands_in_a_transaction_it_is_read_or_refused(place: list[Any], odd: Any) -> None:
    item = transaction()
    item["meta"]["innerInstructions"] = [{"index": 0, "instructions": []}]
    holder = item
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = odd
    answer = msgspec.Raw(msgspec.json.encode(item))
    try:
        read_whole = msgspec.json.decode(answer, type=Transaction)
    except UNREADABLE:
        bare = without_instructions(answer, SIGNATURE)
        assert (bare is not None) == (place[:2] == META)
    else:
        assert read_whole.signature == SIGNATURE


@pytest.mark.parametrize("answer", [b"null", b"7", b"[]", b"{}", b'{"meta":null}', b'"x"', b"["])
def test_of_what_is_no_transaction_no_balances_are_read(answer: bytes) -> None:
    assert without_instructions(msgspec.Raw(answer), SIGNATURE) is None


def test_balances_are_those_of_the_transaction_that_was_asked_for() -> None:
    answer = msgspec.Raw(msgspec.json.encode(transaction()))
    assert without_instructions(answer, signed("another")) is None
    bare = without_instructions(answer, SIGNATURE)
    assert bare is not None
    assert bare.meta.post_balances == [8]


def test_a_transaction_of_version_1_is_read_as_one() -> None:
    """It has no tables to look up addresses in, and its own limits in the message."""
    item = transaction(version=1)
    item["transaction"]["message"]["config"] = {"computeUnitLimit": 7, "priorityFee": 9}
    item["transaction"]["message"]["instructions"] = [
        {"programIdIndex": 0, "accounts": [0], "data": "3Bxs", "stackHeight": 1}
    ]
    assert read(item).transaction.message.instructions[0].stack_height == 1


@pytest.mark.parametrize(
    "digits", [*ODD_DIGITS[:1], *ODD_DIGITS[2:], "--1", f"-{2**64}", "-", "-²"]
)
def test_a_change_is_a_u64_with_a_sign(digits: str | None) -> None:
    changed = {"tokenAccount": "a", "mint": SOL}

    def accounts(text: str | None) -> list[Json]:
        raw = {"tokenAmount": text, "decimals": 6}
        return [{"account": "a", "tokenBalanceChanges": [{**changed, "rawTokenAmount": raw}]}]

    assert read_enhanced(accountData=accounts("-18446744073709551615"))
    with pytest.raises(msgspec.ValidationError):
        read_enhanced(accountData=accounts(digits))


@pytest.mark.parametrize(
    "odd", ["1e300", "-1", '"-1e999999"', "1e999999999", "1e-999", '"NaN"', '"sNaN"', '"Infinity"']
)
def test_a_transfer_is_of_an_amount_that_there_can_be(odd: str) -> None:
    raw = b'{"signature":"%b","tokenTransfers":[{"mint":"%b","tokenAmount":%b}]}'
    signature, mint = SIGNATURE.encode(), SOL.encode()
    decode = msgspec.json.Decoder(EnhancedTransaction).decode
    assert decode(raw % (signature, mint, b"1e-9"))
    with pytest.raises(msgspec.ValidationError):
        decode(raw % (signature, mint, odd.encode()))


def test_no_more_accounts_move_something_than_a_transaction_has() -> None:
    def transfers(count: int) -> list[Json]:
        owners = [f"owner{number}" for number in range(count)]
        return [{"mint": SOL, "tokenAmount": 1, "fromUserAccount": each} for each in owners]

    def natives(count: int) -> list[Json]:
        return [{"amount": 1, "toUserAccount": f"somebody{number}"} for number in range(count)]

    def accounts(count: int) -> list[Json]:
        amount = {"tokenAmount": "1", "decimals": 0}
        changed = {"tokenAccount": "t", "mint": SOL, "rawTokenAmount": amount}
        return [
            {"account": f"a{number}", "tokenBalanceChanges": [changed]} for number in range(2)
        ] + [{"account": "b", "tokenBalanceChanges": [changed] * (count - 2)}]

    assert read_enhanced(accountData=accounts(256))
    assert read_enhanced(nativeTransfers=natives(56), tokenTransfers=transfers(200) * 10)
    for more in (
        {"accountData": accounts(257)},
        {"nativeTransfers": natives(57), "tokenTransfers": transfers(200)},
    ):
        with pytest.raises(msgspec.ValidationError):
            read_enhanced(**more)


def test_what_is_nested_without_an_end_is_unreadable() -> None:
    item = msgspec.json.encode(transaction())
    with pytest.raises(UNREADABLE):
        msgspec.json.decode(
            item.replace(b'"err":null', b'"err":' + b"[" * 100_000), type=Transaction
        )
