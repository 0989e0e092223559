"""Instruction data of the System, Token and Compute Budget programs, in base58.

Layouts: u32 (System) or u8 (Token, Compute Budget) little-endian tag, then the arguments.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from wd_tools.simulator import base58

CREATE_IDEMPOTENT: Final = base58.encode(b"\x01")
CLOSE_ACCOUNT: Final = base58.encode(b"\x09")
SYNC_NATIVE: Final = base58.encode(b"\x11")
WITHDRAW_EXCESS_LAMPORTS: Final = base58.encode(b"\x26")
STAKE_DELEGATE: Final = base58.encode(b"\x02\0\0\0")
_UNWRAP_LAMPORTS: Final = b"\x2d"
_BATCH: Final = b"\xff"
_COMPUTE_LIMIT = struct.Struct("<BI")
_CREATE_ACCOUNT = struct.Struct("<IQQ")
_SYSTEM_TRANSFER = struct.Struct("<IQ")
_TOKEN_AMOUNT = struct.Struct("<BQ")
_CHECKED_AMOUNT = struct.Struct("<BQB")
_FEE_AMOUNT = struct.Struct("<BBQBQ")
_TWO_AMOUNTS = struct.Struct("<QQ")


def system_transfer(lamports: int) -> str:
    return base58.encode(_SYSTEM_TRANSFER.pack(2, lamports))


@lru_cache(64)
def system_create_account(lamports: int, space: int, owner: str) -> str:
    return base58.encode(_CREATE_ACCOUNT.pack(0, lamports, space) + base58.decode(owner))


def stake_initialize(owner: str) -> str:
    """The owner stakes and withdraws; nothing is locked up."""
    return base58.encode(bytes(4) + 2 * base58.decode(owner) + bytes(48))


def stake_withdraw(lamports: int) -> str:
    return base58.encode(_SYSTEM_TRANSFER.pack(4, lamports))


def token_initialize_account(owner: str) -> str:
    """InitializeAccount3."""
    return base58.encode(b"\x12" + base58.decode(owner))


def token_batch(items: Sequence[tuple[int, str]]) -> str:
    """p-token's Batch: of each instruction its number of accounts, and its data."""
    data = bytearray(_BATCH)
    for accounts, encoded in items:
        one = base58.decode(encoded)
        data += bytes((accounts, len(one))) + one
    return base58.encode(bytes(data))


def unwrap_lamports(amount: int | None) -> str:
    """p-token's UnwrapLamports; None: all that is wrapped."""
    option = b"\0" if amount is None else b"\1" + struct.pack("<Q", amount)
    return base58.encode(_UNWRAP_LAMPORTS + option)


def token_transfer(amount: int) -> str:
    return base58.encode(_TOKEN_AMOUNT.pack(3, amount))


def token_mint_to(amount: int) -> str:
    return base58.encode(_TOKEN_AMOUNT.pack(7, amount))


def token_burn(amount: int) -> str:
    return base58.encode(_TOKEN_AMOUNT.pack(8, amount))


def token_transfer_checked(amount: int, decimals: int) -> str:
    return base58.encode(_CHECKED_AMOUNT.pack(12, amount, decimals))


def token_transfer_with_fee(amount: int, decimals: int, fee: int) -> str:
    return base58.encode(_FEE_AMOUNT.pack(26, 1, amount, decimals, fee))


@lru_cache(512)
def compute_unit_limit(units: int) -> str:
    return base58.encode(_COMPUTE_LIMIT.pack(2, units))


@lru_cache(16)
def compute_unit_price(micro_lamports: int) -> str:
    return base58.encode(_TOKEN_AMOUNT.pack(3, micro_lamports))


def swap(discriminator: str, amount: int, limit: int) -> str:
    """A DEX's own instruction: its discriminator (hex), then two amounts."""
    return base58.encode(bytes.fromhex(discriminator) + _TWO_AMOUNTS.pack(amount, limit))
