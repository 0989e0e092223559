"""Instruction data of the System, Token and Compute Budget programs, in base58.

Layouts: u32 (System) or u8 (Token, Compute Budget) little-endian tag, then the arguments.
"""

import struct
from functools import lru_cache
from typing import Final

from wd_tools.simulator import base58

CREATE_IDEMPOTENT: Final = base58.encode(b"\x01")
CLOSE_ACCOUNT: Final = base58.encode(b"\x09")
SYNC_NATIVE: Final = base58.encode(b"\x11")
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
