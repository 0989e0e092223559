"""Reads what a transaction's instructions moved: its flows.

Balances say how much an account gained or lost. Flows say between whom: which account gave, which
one got, who signed for it, and which program asked for it. A purchase for 1 SOL through a front
end that takes 1 %, as its flows (an inner call stands indented):

    kind        source     target         raw         authority  caller
    transfer    wallet     front end       10,000,000  wallet
      tokens    my SOL     pool's SOL     990,000,000  wallet     raydium
      tokens    pool's X   my X            42,000,000  pool       raydium
    close       my SOL     wallet                   0  wallet

The instructions of the System program and of both Token programs are read, in `json` and
`jsonParsed` encoding. Layouts: SystemInstruction (bincode: u32 tag, numbers little endian) and
TokenInstruction (u8 tag). The Token programs' `Batch` is unrolled into the instructions that it
has. An instruction that can't be read gives no flow, and its transaction stays readable, since
balances decide.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from wd_server import base58
from wd_server.chain.payloads import (
    AmountText,
    Instruction,
    Lamports,
    Transaction,
    UiTokenAmount,
    u64,
)
from wd_server.trading.programs import PROGRAMS, SYSTEM, TOKEN, TOKEN_2022

TOKEN_PROGRAMS: Final = frozenset((TOKEN, TOKEN_2022))
READ_PROGRAMS: Final = TOKEN_PROGRAMS | {SYSTEM}

# Base58 of the longest CreateAccountWithSeed (32 bytes of seed) has 183 characters.
DATA_CHARACTERS_MAX: Final = 192
# The data of 75 transfers in a Batch: a transaction of 1,232 bytes has no room for more. Longer
# ones aren't decoded: base58 takes quadratic time, 0.25 ms for this.
BATCH_CHARACTERS_MAX: Final = 1_152
# Longer data than a transfer's names an account's owner or size, and says the same again and again:
# so much of it is remembered, 0.3 MB, and the addresses in it, 0.2 MB.
TRANSFER_CHARACTERS_MAX: Final = 17
DATA_REMEMBERED: Final = 1_024
ADDRESSES_REMEMBERED: Final = 1_024

FlowKind = Literal[
    "transfer",  # lamports
    "create",  # lamports opened the account `target`, which `owner`, a program, has now
    "allocate",  # the account `target` got its size; its lamports were transferred before
    "assign",  # `owner`, a program, has the account `target` now
    "open",  # `target` became a token account
    "set_owner",  # `authority` gave its token account `target` to `owner`
    "approve",  # `target` may spend from the token account `source`
    "tokens",  # from token account to token account
    "mint",  # into the token account `target`
    "burn",  # out of the token account `source`
    "close",  # all lamports of the token account `source` went to `target`; `raw` is 0
    "sync",  # lamports in the token account `target` became wrapped SOL; `raw` is 0
    "unwrap",  # wrapped SOL of the token account `source` became lamports of `target`
    "unwrap_all",  # the same with all that there was; `raw` is 0
    "excess",  # lamports beyond rent and wrapped SOL went to `target`; `raw` is 0
]


class Flow(Struct, frozen=True, gc=False):
    """What one instruction moved, opened or closed. Text is empty where nothing is known.

    kind: what happened
    source: account that gave; for tokens the token account
    target: account that got, or to which something was done
    raw: in lamports, or in the token's smallest unit
    authority: who signed for it, an owner or a delegate
    mint: of the token, where the instruction names it
    owner: whom `target` belongs to afterwards, where the instruction names it
    outer: whether it is the transaction's own instruction, not one that a program made
    index: number of the transaction's own instruction in which it happened
    caller: program inside which it happened, empty if outer: the innermost one that is known,
        otherwise the outermost
    """

    kind: FlowKind
    source: str
    target: str
    raw: int
    authority: str = ""
    mint: str = ""
    owner: str = ""
    outer: bool = False
    index: int = 0
    caller: str = ""


class ProgramCall(Struct, gc=False):
    """An instruction and its program; `outer`, `index` and `caller` as in Flow."""

    program: str
    instruction: Instruction
    outer: bool
    index: int = 0
    caller: str = ""


class _Layout(NamedTuple):
    """Where an instruction has what: indexes into its accounts and offsets in its data, -1 for
    what it hasn't. `seeded`: offsets count from the end of the seed."""

    kind: FlowKind
    source: int = -1
    target: int = -1
    authority: int = -1
    mint: int = -1
    owner: int = -1
    raw_at: int = -1
    owner_at: int = -1
    seeded: bool = False


_SYSTEM_LAYOUTS: Final = {
    0: _Layout("create", 0, 1, 0, raw_at=4, owner_at=20),
    1: _Layout("assign", target=0, owner_at=4),
    2: _Layout("transfer", 0, 1, 0, raw_at=4),
    3: _Layout("create", 0, 1, 0, raw_at=0, owner_at=16, seeded=True),
    5: _Layout("transfer", 0, 1, 4, raw_at=4),  # WithdrawNonceAccount
    8: _Layout("allocate", target=0),
    9: _Layout("allocate", target=0, owner_at=8, seeded=True),
    10: _Layout("assign", target=0, owner_at=0, seeded=True),
    11: _Layout("transfer", 0, 2, 1, raw_at=4),  # TransferWithSeed
    13: _Layout("create", 1, 0, 1, raw_at=4, owner_at=20),  # CreateAccountAllowPrefund
}
# Of CreateAccountWithSeed: tag, base, length of the seed, seed; likewise in the others.
SEED_LENGTH_AT: Final = 36
SEED_AT: Final = 44

_CHECKED: Final = _Layout("tokens", 0, 2, 3, mint=1, raw_at=1)
_TOKEN_LAYOUTS: Final = {
    1: _Layout("open", target=0, mint=1, owner=2),
    3: _Layout("tokens", 0, 1, 2, raw_at=1),
    4: _Layout("approve", 0, 1, 2, raw_at=1),
    7: _Layout("mint", target=1, authority=2, mint=0, raw_at=1),
    8: _Layout("burn", 0, authority=2, mint=1, raw_at=1),
    9: _Layout("close", 0, 1, 2),
    12: _CHECKED,
    13: _Layout("approve", 0, 2, 3, mint=1, raw_at=1),
    14: _Layout("mint", target=1, authority=2, mint=0, raw_at=1),
    15: _Layout("burn", 0, authority=2, mint=1, raw_at=1),
    16: _Layout("open", target=0, mint=1, owner_at=1),
    17: _Layout("sync", target=0),
    18: _Layout("open", target=0, mint=1, owner_at=1),
    38: _Layout("excess", 0, 1, 2),
}
# Instructions whose data begin with more than a tag: SetAuthority of the type AccountOwner with an
# owner, the extension's TransferCheckedWithFee, UnwrapLamports without and with an amount.
_LONGER_TOKEN_LAYOUTS: Final = (
    (bytes((6, 2, 1)), _Layout("set_owner", target=0, authority=1, owner_at=3)),
    (bytes((26, 1)), _CHECKED._replace(raw_at=2)),
    (bytes((45, 0)), _Layout("unwrap_all", 0, 1, 2)),
    (bytes((45, 1)), _Layout("unwrap", 0, 1, 2, raw_at=2)),
)
BATCH: Final = 255


def calls_of(transaction: Transaction, keys: Sequence[str]) -> list[ProgramCall]:
    """All instructions in the order in which they were executed. `keys`: the transaction's
    accounts."""
    calls = []
    inner = {one.index: one.instructions for one in transaction.meta.inner_instructions or ()}
    for index, instruction in enumerate(transaction.transaction.message.instructions):
        program = program_of(instruction, keys)
        calls.append(ProgramCall(program, instruction, True, index))
        # For each height of the stack of calls, who calls what stands above it.
        callers = [program]
        for each in inner.get(index, ()):
            program, height = program_of(each, keys), each.stack_height
            if height is None:
                calls.append(ProgramCall(program, each, False, index, callers[0]))
                continue
            del callers[max(1, height - 1) :]
            caller = callers[-1]
            calls.append(ProgramCall(program, each, False, index, caller))
            callers.append(program if program in PROGRAMS else caller)
    return calls


def program_of(instruction: Instruction, keys: Sequence[str]) -> str:
    """The program's address, empty where there is no such account."""
    named, at = instruction.program_id, instruction.program_id_index
    if named is not None:
        return named
    return keys[at] if 0 <= at < len(keys) else ""


def flows_of(call: ProgramCall, keys: Sequence[str]) -> Sequence[Flow]:
    """What `call` moved, opened or closed; nothing if its program isn't one that is read.
    `keys`: the transaction's accounts, for instructions that name theirs by index."""
    program, instruction = call.program, call.instruction
    if program not in READ_PROGRAMS:
        return ()
    try:
        if instruction.parsed:
            return list(_parsed_flows(call, _decode_parsed(instruction.parsed)))
        raw = _data(program, instruction.data)
        if program == SYSTEM:
            layout = _SYSTEM_LAYOUTS.get(int.from_bytes(raw[:4], "little"))
        elif raw[0] == BATCH:
            return list(_batched(call, raw, _addresses(instruction, keys)))
        else:
            layout = _token_layout(raw)
        if layout is None:
            return ()
        return (_flow(call, layout, raw, _addresses(instruction, keys)),)
    except (ValueError, IndexError, TypeError, msgspec.DecodeError):
        # Too few accounts, cut data, text that isn't base58, a memo where an object should be.
        return ()


def _data(program: str, text: str) -> bytes:
    if len(text) <= TRANSFER_CHARACTERS_MAX:
        return base58.decode(text)
    if len(text) <= DATA_CHARACTERS_MAX:
        return _remembered_data(text)
    if program == SYSTEM or len(text) > BATCH_CHARACTERS_MAX:
        raise ValueError("no instruction that is read has data as long as this")
    return base58.decode(text)


_remembered_data: Final = lru_cache(DATA_REMEMBERED)(base58.decode)


def _addresses(instruction: Instruction, keys: Sequence[str]) -> Sequence[str]:
    """The instruction's accounts, which the encoding gives as addresses or as indexes of `keys`."""
    accounts = instruction.accounts
    if accounts and type(accounts[0]) is str:
        return [*map(str, accounts)]
    return [*map(keys.__getitem__, accounts)]  # type: ignore[arg-type]


def _batched(call: ProgramCall, raw: bytes, accounts: Sequence[str]) -> Iterator[Flow]:
    """The flows of a Batch: after the tag, for each of its instructions a byte with the count of
    its accounts, a byte with the length of its data, and the data. Accounts follow each other."""
    at, first = 1, 0
    while at < len(raw):
        accounts_end, start = first + raw[at], at + 2
        end = start + raw[at + 1]
        if end > len(raw) or accounts_end > len(accounts):
            raise ValueError("a batch ends before its last instruction does")
        data = raw[start:end]
        layout = _token_layout(data)  # None for a Batch, which can't be nested
        if layout is not None:
            yield _flow(call, layout, data, accounts[first:accounts_end])
        at, first = end, accounts_end


def _token_layout(raw: bytes) -> _Layout | None:
    layout = _TOKEN_LAYOUTS.get(raw[0])
    if layout is None:
        for start, longer in _LONGER_TOKEN_LAYOUTS:
            if raw.startswith(start):
                return longer
    return layout


def _flow(call: ProgramCall, layout: _Layout, raw: bytes, accounts: Sequence[str]) -> Flow:
    kind, source, target, authority, mint, owner, raw_at, owner_at, seeded = layout
    start = SEED_AT + _u64(raw, SEED_LENGTH_AT) if seeded else 0
    named = accounts[owner] if owner >= 0 else ""
    return Flow(
        kind,
        accounts[source] if source >= 0 else "",
        accounts[target] if target >= 0 else "",
        _u64(raw, start + raw_at) if raw_at >= 0 else 0,
        accounts[authority] if authority >= 0 else "",
        accounts[mint] if mint >= 0 else "",
        _address(raw, start + owner_at) if owner_at >= 0 else named,
        call.outer,
        call.index,
        call.caller,
    )


def _u64(raw: bytes, at: int) -> int:
    end = at + 8
    if end > len(raw):
        raise ValueError("the data ends before its number does")
    return int.from_bytes(raw[at:end], "little")


def _address(raw: bytes, at: int) -> str:
    end = at + base58.ADDRESS_BYTES
    if end > len(raw):
        raise ValueError("the data ends before its address does")
    return _encoded(raw[at:end])


_encoded: Final = lru_cache(ADDRESSES_REMEMBERED)(base58.encode)


class _ParsedInfo(Struct, rename="camel", gc=False):
    """The facts that a node names, of all instructions that are read. Which of them there are
    depends on the instruction, and whether the authority is a multisig account."""

    source: str = ""
    destination: str = ""
    account: str = ""
    new_account: str = ""
    nonce_account: str = ""
    delegate: str = ""
    mint: str = ""
    owner: str = ""
    authority: str = ""
    authority_type: str = ""
    new_authority: str | None = None
    source_base: str = ""
    nonce_authority: str = ""
    mint_authority: str = ""
    multisig_authority: str = ""
    multisig_mint_authority: str = ""
    multisig_owner: str = ""
    lamports: Lamports = 0
    amount: AmountText | None = None
    token_amount: UiTokenAmount | None = None
    instructions: list[Raw] = []


class _Parsed(Struct, gc=False):
    type: str
    info: _ParsedInfo


class _ParsedLayout(NamedTuple):
    """The fields of _ParsedInfo in which an instruction has its accounts. `owner`: the field of
    the owner afterwards."""

    kind: FlowKind
    source: str = ""
    target: str = ""
    owner: str = ""


_decode_parsed: Final = msgspec.json.Decoder(_Parsed).decode

_PARSED_SYSTEM_LAYOUTS: Final = {
    "transfer": _ParsedLayout("transfer", "source", "destination"),
    "transferWithSeed": _ParsedLayout("transfer", "source", "destination"),
    "withdrawFromNonce": _ParsedLayout("transfer", "nonce_account", "destination"),
    "createAccount": _ParsedLayout("create", "source", "new_account", "owner"),
    "createAccountWithSeed": _ParsedLayout("create", "source", "new_account", "owner"),
    "createAccountAllowPrefund": _ParsedLayout("create", "source", "new_account", "owner"),
    "allocate": _ParsedLayout("allocate", "", "account"),
    "allocateWithSeed": _ParsedLayout("allocate", "", "account", "owner"),
    "assign": _ParsedLayout("assign", "", "account", "owner"),
    "assignWithSeed": _ParsedLayout("assign", "", "account", "owner"),
}
_PARSED_TOKEN_LAYOUTS: Final = {
    "initializeAccount": _ParsedLayout("open", "", "account", "owner"),
    "initializeAccount2": _ParsedLayout("open", "", "account", "owner"),
    "initializeAccount3": _ParsedLayout("open", "", "account", "owner"),
    "setAuthority": _ParsedLayout("set_owner", "", "account", "new_authority"),
    "approve": _ParsedLayout("approve", "source", "delegate"),
    "approveChecked": _ParsedLayout("approve", "source", "delegate"),
    "transfer": _ParsedLayout("tokens", "source", "destination"),
    "transferChecked": _ParsedLayout("tokens", "source", "destination"),
    "transferCheckedWithFee": _ParsedLayout("tokens", "source", "destination"),
    "mintTo": _ParsedLayout("mint", "", "account"),
    "mintToChecked": _ParsedLayout("mint", "", "account"),
    "burn": _ParsedLayout("burn", "account"),
    "burnChecked": _ParsedLayout("burn", "account"),
    "closeAccount": _ParsedLayout("close", "account", "destination"),
    "syncNative": _ParsedLayout("sync", "", "account"),
    "unwrapLamports": _ParsedLayout("unwrap", "source", "destination"),
    "withdrawExcessLamports": _ParsedLayout("excess", "source", "destination"),
}
# Kinds that nobody signs for in the instruction itself, or only the account to which it is done.
_UNSIGNED: Final = frozenset[FlowKind](("allocate", "assign", "open", "sync"))


def _parsed_flows(call: ProgramCall, parsed: _Parsed) -> Iterator[Flow]:
    if call.program != SYSTEM and parsed.type == "batch":
        for one in map(_decode_parsed, parsed.info.instructions):
            if one.type != "batch":
                yield from _parsed_flows(call, one)
        return
    layouts = _PARSED_SYSTEM_LAYOUTS if call.program == SYSTEM else _PARSED_TOKEN_LAYOUTS
    layout, info = layouts.get(parsed.type), parsed.info
    if layout is None or (layout.kind == "set_owner" and info.authority_type != "accountOwner"):
        return
    kind, *fields = layout
    if kind == "unwrap" and info.amount is None:
        kind = "unwrap_all"
    source, target, owner = [getattr(info, each) or "" if each else "" for each in fields]
    raw, authority = _parsed_amount(info), _parsed_authority(info, kind)
    yield Flow(
        kind, source, target, raw, authority, info.mint, owner, call.outer, call.index, call.caller
    )


def _parsed_amount(info: _ParsedInfo) -> int:
    if info.token_amount is not None:
        return u64(info.token_amount.amount)
    return info.lamports if info.amount is None else u64(info.amount)


def _parsed_authority(info: _ParsedInfo, kind: FlowKind) -> str:
    if kind in _UNSIGNED:
        return ""
    if kind in ("transfer", "create"):
        return info.source_base or info.nonce_authority or info.source
    return (
        info.authority
        or info.multisig_authority
        or info.mint_authority
        or info.multisig_mint_authority
        or info.owner
        or info.multisig_owner
    )
