"""Decodes instructions that moved lamports or opened and closed accounts.

They say what balances alone can't attribute. The System program's and the Token programs'
instructions are read in `json` and `jsonParsed` encoding. Layouts: SystemInstruction (bincode:
u32 tag, u64 little endian) and TokenInstruction (u8 tag, u64 little endian). An instruction that
can't be read counts as none.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from wd_server import base58
from wd_server.chain.payloads import AmountText, Instruction, Lamports, UiTokenAmount, u64
from wd_server.trading.balances import Balances
from wd_server.trading.programs import SYSTEM, TOKEN, TOKEN_2022

TOKEN_PROGRAMS: Final = frozenset((TOKEN, TOKEN_2022))

# Base58 of the longest CreateAccountWithSeed (32 bytes of seed) has 183 characters. Longer data
# isn't decoded: base58 takes quadratic time.
DATA_CHARACTERS_MAX: Final = 192
SHORT_CHARACTERS_MAX: Final = 17
# Base58 of one byte, 9: CloseAccount.
CLOSE_ACCOUNT_DATA: Final = "A"

# TransferChecked names its authority fourth, more isn't read.
ACCOUNTS_READ: Final = 4
CREATE_ACCOUNT, TRANSFER, CREATE_ACCOUNT_WITH_SEED, ALLOCATE = 0, 2, 3, 8
TOKEN_TRANSFER, TOKEN_TRANSFER_CHECKED = 3, 12
# SystemInstruction::CreateAccountWithSeed: tag, base, length of the seed, seed, lamports.
SEED_LENGTH_AT: Final = 36
SEED_AT: Final = 44


class DecodedInstruction(Struct, frozen=True, gc=False):
    """`create`: `lamports` opened the account `target`. `allocate`: `target` was opened, paid by
    transfers. `transfer`: lamports. `close`: all that `source` held went to `target`. `tokens`:
    `lamports` raw units went to the token account `target` by `source`'s authority. `outer`: the
    transaction's own instruction, not one that a program made."""

    kind: Literal["create", "allocate", "transfer", "close", "tokens"]
    source: str
    target: str
    lamports: int
    outer: bool


class ParsedInfo(Struct, rename="camel", gc=False):
    source: str = ""
    destination: str = ""
    new_account: str = ""
    account: str = ""
    authority: str = ""
    lamports: Lamports = 0
    amount: AmountText = "0"
    token_amount: UiTokenAmount | None = None


class Parsed(Struct, gc=False):
    type: str
    info: ParsedInfo


_decode_parsed: Final = msgspec.json.Decoder(Parsed).decode


class ProgramCall(Struct, gc=False):
    """An instruction and its program. `outer`: the transaction's own, not a program's."""

    program: str
    instruction: Instruction
    outer: bool


def is_readable(program: str, data: str, balances: Balances) -> bool:
    """Whether a call of `program` may have moved something that `balances` leave open."""
    if program in TOKEN_PROGRAMS:
        return data == CLOSE_ACCOUNT_DATA or bool(balances.fee_tokens) or not data
    return program == SYSTEM


def decode_instruction(
    call: ProgramCall, accounts: Sequence[str], balances: Balances
) -> DecodedInstruction | None:
    """What a readable `call` moved, None if nothing that `balances` leave open.

    `accounts` are the instruction's accounts as addresses.
    """
    data, parsed = call.instruction.data, call.instruction.parsed
    try:
        if parsed:
            return _parsed(call, _decode_parsed(parsed))
        if len(data) > DATA_CHARACTERS_MAX:
            return None
        if call.program == SYSTEM:
            return _system(data, accounts, call.outer, balances)
        return _token(data, accounts, call.outer, balances)
    except (ValueError, IndexError, msgspec.DecodeError):
        # Too few accounts, cut data, text that isn't base58, a memo where an object should be.
        return None


def _system(
    data: str, accounts: Sequence[str], outer: bool, balances: Balances
) -> DecodedInstruction | None:
    # Posting and Allocate have 12 bytes, so 17 characters at most. What is longer opens an
    # account or assigns one. Decoding is only worth it where lamports stayed.
    if len(accounts) > 1 and balances.is_settled(accounts[1]):
        if len(data) <= SHORT_CHARACTERS_MAX:
            return None
        return DecodedInstruction("create", accounts[0], accounts[1], 0, outer)
    raw = base58.decode(data)
    tag = int.from_bytes(raw[:4], "little")
    if tag == TRANSFER:
        return DecodedInstruction("transfer", accounts[0], accounts[1], _u64(raw, 4), outer)
    if tag == CREATE_ACCOUNT:
        return DecodedInstruction("create", accounts[0], accounts[1], _u64(raw, 4), outer)
    if tag == CREATE_ACCOUNT_WITH_SEED:
        at = SEED_AT + _u64(raw, SEED_LENGTH_AT)
        return DecodedInstruction("create", accounts[0], accounts[1], _u64(raw, at), outer)
    if tag == ALLOCATE:
        return DecodedInstruction("allocate", "", accounts[0], 0, outer)
    return None


def _token(
    data: str, accounts: Sequence[str], outer: bool, balances: Balances
) -> DecodedInstruction | None:
    if data == CLOSE_ACCOUNT_DATA:
        return DecodedInstruction("close", accounts[0], accounts[1], 0, outer)
    # Posting has 9 bytes and the target second, TransferChecked has 10 and the target third.
    if len(data) > SHORT_CHARACTERS_MAX or balances.fee_tokens.isdisjoint(accounts[1:3]):
        return None
    raw = base58.decode(data)
    if raw[0] == TOKEN_TRANSFER:
        return DecodedInstruction("tokens", accounts[2], accounts[1], _u64(raw, 1), outer)
    if raw[0] == TOKEN_TRANSFER_CHECKED:
        return DecodedInstruction("tokens", accounts[3], accounts[2], _u64(raw, 1), outer)
    return None


def _parsed(call: ProgramCall, parsed: Parsed) -> DecodedInstruction | None:
    info, outer = parsed.info, call.outer
    match call.program == SYSTEM, parsed.type:
        case True, "transfer" | "transferWithSeed":
            return DecodedInstruction(
                "transfer", info.source, info.destination, info.lamports, outer
            )
        case True, "createAccount" | "createAccountWithSeed":
            return DecodedInstruction("create", info.source, info.new_account, info.lamports, outer)
        case True, "allocate" | "allocateWithSeed":
            return DecodedInstruction("allocate", "", info.account, 0, outer)
        case False, "closeAccount":
            return DecodedInstruction("close", info.account, info.destination, 0, outer)
        case False, "transfer":
            return DecodedInstruction(
                "tokens", info.authority, info.destination, u64(info.amount), outer
            )
        case False, "transferChecked" if info.token_amount is not None:
            amount = u64(info.token_amount.amount)
            return DecodedInstruction("tokens", info.authority, info.destination, amount, outer)
    return None


def _u64(raw: bytes, at: int) -> int:
    end = at + 8
    if end > len(raw):
        raise ValueError("the data ends before its number does")
    return int.from_bytes(raw[at:end], "little")
