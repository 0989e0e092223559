"""Every instruction that is read, in both encodings that a node has for it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server import base58
from wd_server.chain.payloads import Instruction, Transaction
from wd_server.trading.instructions import (
    BATCH_CHARACTERS_MAX,
    DATA_CHARACTERS_MAX,
    Flow,
    FlowKind,
    ProgramCall,
    calls_of,
    flows_of,
)
from wd_server.trading.programs import SYSTEM, TOKEN, TOKEN_2022

Json = dict[str, Any]

ACCOUNTS = [letter * 43 for letter in "ABCDEFGH"]
A, B, C, D, *_ = ACCOUNTS
# An address that stands in an instruction's data, and its bytes.
OWNER_BYTES = bytes(range(1, 33))
OWNER = base58.encode(OWNER_BYTES)
JUPITER = "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"
RAYDIUM = "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8"


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def seed(text: bytes = b"slumdog") -> bytes:
    return OWNER_BYTES + u64(len(text)) + text


def flow(kind: FlowKind, source: str = "", target: str = "", raw: int = 0, **more: str) -> Flow:
    return Flow(kind, source, target, raw, **more, index=7, caller=JUPITER)


def call(program: str, instruction: Instruction) -> ProgramCall:
    return ProgramCall(program, instruction, False, 7, JUPITER)


def plain(program: str, accounts: list[str], data: bytes) -> list[Flow]:
    """Read as it stands in `json`, with the accounts as indexes."""
    indexes: list[int | str] = [ACCOUNTS.index(each) for each in accounts]
    instruction = Instruction(accounts=indexes, data=base58.encode(data))
    return list(flows_of(call(program, instruction), ACCOUNTS))


def named(program: str, accounts: list[str], data: bytes) -> list[Flow]:
    """Read as it stands in `jsonParsed` and enhanced objects whose node doesn't know it."""
    instruction = Instruction(accounts=[*accounts], data=base58.encode(data))
    return list(flows_of(call(program, instruction), ()))


def parsed(program: str, kind: str, info: Json) -> list[Flow]:
    raw = msgspec.Raw(msgspec.json.encode({"type": kind, "info": info}))
    return list(flows_of(call(program, Instruction(parsed=raw)), ()))


Case = tuple[list[str], bytes, str, Json, Flow]

SYSTEM_CASES: list[Case] = [
    (
        [A, B],
        u32(0) + u64(9) + u64(165) + OWNER_BYTES,
        "createAccount",
        {"source": A, "newAccount": B, "lamports": 9, "space": 165, "owner": OWNER},
        flow("create", A, B, 9, authority=A, owner=OWNER),
    ),
    ([A], u32(1) + OWNER_BYTES, "assign", {"account": A, "owner": OWNER},
     flow("assign", "", A, owner=OWNER)),
    ([A, B], u32(2) + u64(9), "transfer", {"source": A, "destination": B, "lamports": 9},
     flow("transfer", A, B, 9, authority=A)),
    (
        [A, B, C],
        u32(3) + seed() + u64(9) + u64(165) + OWNER_BYTES,
        "createAccountWithSeed",
        {"source": A, "newAccount": B, "base": C, "lamports": 9, "owner": OWNER, "seed": "x"},
        flow("create", A, B, 9, authority=A, owner=OWNER),
    ),
    (
        [A, B, C, C, D],
        u32(5) + u64(9),
        "withdrawFromNonce",
        {"nonceAccount": A, "destination": B, "nonceAuthority": D, "lamports": 9},
        flow("transfer", A, B, 9, authority=D),
    ),
    ([A], u32(8) + u64(165), "allocate", {"account": A, "space": 165}, flow("allocate", "", A)),
    (
        [A, B],
        u32(9) + seed() + u64(165) + OWNER_BYTES,
        "allocateWithSeed",
        {"account": A, "base": B, "seed": "x", "space": 165, "owner": OWNER},
        flow("allocate", "", A, owner=OWNER),
    ),
    (
        [A, B],
        u32(10) + seed(b"") + OWNER_BYTES,
        "assignWithSeed",
        {"account": A, "base": B, "seed": "", "owner": OWNER},
        flow("assign", "", A, owner=OWNER),
    ),
    (
        [A, B, C],
        u32(11) + u64(9) + u64(1) + b"x" + OWNER_BYTES,
        "transferWithSeed",
        {"source": A, "sourceBase": B, "destination": C, "lamports": 9, "sourceOwner": OWNER},
        flow("transfer", A, C, 9, authority=B),
    ),
    (
        [B, A],
        u32(13) + u64(9) + u64(165) + OWNER_BYTES,
        "createAccountAllowPrefund",
        {"source": A, "newAccount": B, "lamports": 9, "space": 165, "owner": OWNER},
        flow("create", A, B, 9, authority=A, owner=OWNER),
    ),
]  # fmt: skip

NINE = {"amount": "9", "decimals": 6}
TOKEN_CASES: list[Case] = [
    ([A, B, C, D], b"\x01", "initializeAccount", {"account": A, "mint": B, "owner": C},
     flow("open", "", A, mint=B, owner=C)),
    ([A, B, D], b"\x10" + OWNER_BYTES, "initializeAccount2",
     {"account": A, "mint": B, "owner": OWNER}, flow("open", "", A, mint=B, owner=OWNER)),
    ([A, B], b"\x12" + OWNER_BYTES, "initializeAccount3",
     {"account": A, "mint": B, "owner": OWNER}, flow("open", "", A, mint=B, owner=OWNER)),
    ([A, B, C], b"\x03" + u64(9), "transfer",
     {"source": A, "destination": B, "authority": C, "amount": "9"},
     flow("tokens", A, B, 9, authority=C)),
    ([A, B, C, D], b"\x0c" + u64(9) + b"\x06", "transferChecked",
     {"source": A, "mint": B, "destination": C, "authority": D, "tokenAmount": NINE},
     flow("tokens", A, C, 9, authority=D, mint=B)),
    ([A, B, C, D], b"\x1a\x01" + u64(9) + b"\x06" + u64(1), "transferCheckedWithFee",
     {"source": A, "mint": B, "destination": C, "multisigAuthority": D, "tokenAmount": NINE},
     flow("tokens", A, C, 9, authority=D, mint=B)),
    ([A, B, C], b"\x04" + u64(9), "approve",
     {"source": A, "delegate": B, "owner": C, "amount": "9"},
     flow("approve", A, B, 9, authority=C)),
    ([A, B, C, D], b"\x0d" + u64(9) + b"\x06", "approveChecked",
     {"source": A, "mint": B, "delegate": C, "multisigOwner": D, "tokenAmount": NINE},
     flow("approve", A, C, 9, authority=D, mint=B)),
    ([A, B], b"\x06\x02\x01" + OWNER_BYTES, "setAuthority",
     {"account": A, "authority": B, "authorityType": "accountOwner", "newAuthority": OWNER},
     flow("set_owner", "", A, authority=B, owner=OWNER)),
    ([A, B, C], b"\x07" + u64(9), "mintTo",
     {"mint": A, "account": B, "mintAuthority": C, "amount": "9"},
     flow("mint", "", B, 9, authority=C, mint=A)),
    ([A, B, C], b"\x0e" + u64(9) + b"\x06", "mintToChecked",
     {"mint": A, "account": B, "multisigMintAuthority": C, "tokenAmount": NINE},
     flow("mint", "", B, 9, authority=C, mint=A)),
    ([A, B, C], b"\x08" + u64(9), "burn",
     {"account": A, "mint": B, "authority": C, "amount": "9"},
     flow("burn", A, "", 9, authority=C, mint=B)),
    ([A, B, C], b"\x0f" + u64(9) + b"\x06", "burnChecked",
     {"account": A, "mint": B, "authority": C, "tokenAmount": NINE},
     flow("burn", A, "", 9, authority=C, mint=B)),
    ([A, B, C], b"\x09", "closeAccount", {"account": A, "destination": B, "owner": C},
     flow("close", A, B, authority=C)),
    ([A], b"\x11", "syncNative", {"account": A}, flow("sync", "", A)),
    ([A, B, C], b"\x26", "withdrawExcessLamports",
     {"source": A, "destination": B, "authority": C}, flow("excess", A, B, authority=C)),
    ([A, B, C], b"\x2d\x00", "unwrapLamports",
     {"source": A, "destination": B, "authority": C, "amount": None},
     flow("unwrap_all", A, B, authority=C)),
    ([A, B, C], b"\x2d\x01" + u64(9), "unwrapLamports",
     {"source": A, "destination": B, "authority": C, "amount": "9"},
     flow("unwrap", A, B, 9, authority=C)),
]  # fmt: skip

CASES = [(SYSTEM, *case) for case in SYSTEM_CASES]
CASES += [(program, *case) for program in (TOKEN, TOKEN_2022) for case in TOKEN_CASES]


@pytest.mark.parametrize(
    ("program", "accounts", "data", "kind", "info", "expected"),
    CASES,
    ids=lambda each: str(each)[:16],
)
def test_an_instruction_is_the_same_flow_in_every_encoding(
    program: str, accounts: list[str], data: bytes, kind: str, info: Json, expected: Flow
) -> None:
    assert plain(program, accounts, data) == [expected]
    assert named(program, accounts, data) == [expected]
    assert parsed(program, kind, info) == [expected]


@pytest.mark.parametrize(("accounts", "data"), [(case[0], case[1]) for case in TOKEN_CASES])
def test_an_instruction_that_is_cut_is_no_flow(accounts: list[str], data: bytes) -> None:
    assert plain(TOKEN, [], data) == []
    if len(data) > 2:
        assert plain(TOKEN, accounts, data[:-2]) in ([], plain(TOKEN, accounts, data))


def test_a_mints_authority_is_no_owner_of_an_account() -> None:
    assert plain(TOKEN, [A, B], b"\x06\x00\x01" + OWNER_BYTES) == []
    info = {"mint": A, "authority": B, "authorityType": "mintTokens", "newAuthority": OWNER}
    assert parsed(TOKEN, "setAuthority", info) == []


@pytest.mark.parametrize("program", [JUPITER, "", "Vote111111111111111111111111111111111111111"])
def test_other_programs_are_not_read(program: str) -> None:
    assert plain(program, [A, B], u32(2) + u64(9)) == []


def batch(items: list[tuple[list[str], bytes]]) -> tuple[list[str], bytes]:
    data, accounts = b"\xff", []
    for named_accounts, inner in items:
        data += bytes((len(named_accounts), len(inner))) + inner
        accounts += named_accounts
    return accounts, data


@given(st.lists(st.sampled_from(TOKEN_CASES), max_size=20))
def test_a_batch_of_instructions_is_read_as_these_instructions(cases: list[Case]) -> None:
    accounts, data = batch([(case[0], case[1]) for case in cases])
    expected = [case[4] for case in cases]
    for program in (TOKEN, TOKEN_2022):
        assert plain(program, accounts, data) == expected
        assert named(program, accounts, data) == expected
    infos = [{"type": case[2], "info": case[3]} for case in cases]
    assert parsed(TOKEN, "batch", {"instructions": infos}) == expected


def test_what_a_batch_has_beside_movements_only_takes_its_place() -> None:
    thaw, transfer = ([A, B, C], b"\x0b"), ([A, B, C], b"\x03" + u64(9))
    assert plain(TOKEN, *batch([thaw, transfer, thaw])) == plain(TOKEN, *transfer)


def test_a_batch_in_a_batch_is_not_read() -> None:
    transfer = ([A, B, C], b"\x03" + u64(9))
    nested = batch([transfer])
    assert plain(TOKEN, *batch([nested, transfer])) == plain(TOKEN, *transfer)
    info = {"type": "batch", "info": {"instructions": [{"type": "syncNative", "info": {}}]}}
    assert parsed(TOKEN, "batch", {"instructions": [info]}) == []


def test_a_batch_that_is_cut_gives_nothing_that_may_be_wrong() -> None:
    accounts, data = batch([([A, B, C], b"\x03" + u64(9))] * 3)
    assert len(plain(TOKEN, accounts, data)) == 3
    assert plain(TOKEN, accounts, data[:-1]) == []
    assert plain(TOKEN, accounts[:-1], data) == []


def test_data_of_any_length_cost_little() -> None:
    transfer = u32(2) + u64(9)
    padding = bytes(DATA_CHARACTERS_MAX)
    assert plain(SYSTEM, [A, B], transfer + padding) == []
    accounts, data = batch([([A, B, C], b"\x03" + u64(9))] * 75)
    assert len(base58.encode(data)) <= BATCH_CHARACTERS_MAX
    assert len(plain(TOKEN, accounts, data)) == 75
    accounts, data = batch([([A, B, C], b"\x03" + u64(9))] * 85)
    assert plain(TOKEN, accounts, data) == []


@given(
    st.sampled_from([SYSTEM, TOKEN, TOKEN_2022]),
    st.lists(st.integers(-300, 300) | st.text(max_size=3), max_size=9),
    st.binary(max_size=80) | st.text(max_size=80),
    st.sampled_from([b"", u32(0), u32(2), b"\x03", b"\x06\x02\x01", b"\xff", b"\x2d\x01"]),
)
def test_whatever_an_instruction_has_breaks_nothing(
    program: str, accounts: list[int | str], data: bytes | str, start: bytes
) -> None:
    text = data if isinstance(data, str) else base58.encode(start + data)
    for each in flows_of(call(program, Instruction(accounts=accounts, data=text)), ACCOUNTS):
        assert 0 <= each.raw < 2**64
        assert all(isinstance(name, str) for name in (each.source, each.target, each.authority))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    st.sampled_from([SYSTEM, TOKEN]),
    st.sampled_from([*{case[2] for case in SYSTEM_CASES + TOKEN_CASES}, "batch"]),
    st.dictionaries(
        st.sampled_from(["amount", "tokenAmount", "lamports", "source", "owner", "instructions"]),
        JSON,
    ),
)
def test_whatever_a_node_parsed_breaks_nothing(program: str, kind: str, info: Json) -> None:
    for each in parsed(program, kind, info):
        assert 0 <= each.raw < 2**64


def nested(heights: list[tuple[str, int | None]]) -> list[tuple[str, str]]:
    """Programs that were called, with their height on the stack, as (program, caller)."""
    keys = [*dict.fromkeys([program for program, _ in heights])]
    instructions = [
        {"programIdIndex": keys.index(program), "stackHeight": height}
        for program, height in heights
    ]
    transaction = msgspec.convert(
        {
            "slot": 1,
            "transaction": {
                "signatures": ["3".ljust(88, "1")],
                "message": {"accountKeys": keys, "instructions": instructions[:1]},
            },
            "meta": {
                "err": None,
                "fee": 5000,
                "preBalances": [1] * len(keys),
                "postBalances": [1] * len(keys),
                "innerInstructions": [{"index": 0, "instructions": instructions[1:]}],
            },
        },
        Transaction,
    )
    return [(each.program, each.caller) for each in calls_of(transaction, keys)]


def test_who_called_is_the_innermost_program_that_is_known() -> None:
    found = nested(
        [(JUPITER, 1), (SYSTEM, 2), (RAYDIUM, 2), (TOKEN, 3), (A, 3), (TOKEN, 4), (TOKEN, 2)]
    )
    assert [caller for _, caller in found] == [
        "", JUPITER, JUPITER, RAYDIUM, RAYDIUM, RAYDIUM, JUPITER
    ]  # fmt: skip


def test_without_heights_who_called_is_the_outermost_program() -> None:
    found = nested([(A, None), (SYSTEM, None), (RAYDIUM, None), (TOKEN, None)])
    assert [caller for _, caller in found] == ["", A, A, A]
