"""Addresses that programs derive: the SHA-256 of seeds that is no point of the curve ed25519."""

import hashlib
from typing import Final

from wd_tools.simulator import base58
from wd_tools.simulator.programs import ASSOCIATED_TOKEN

_MARK: Final = b"ProgramDerivedAddress"
_HIGHEST_BUMP: Final = 255
# The field and the constant of the curve -x² + y² = 1 + d·x²·y² (RFC 8032, section 5.1).
_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P


def associated_token_address(owner: str, mint: str, token_program: str) -> str:
    """Where `owner` holds `mint` unless it chose another account."""
    seeds = b"".join(base58.decode(one) for one in (owner, token_program, mint))
    program = base58.decode(ASSOCIATED_TOKEN)
    for bump in range(_HIGHEST_BUMP, -1, -1):
        derived = hashlib.sha256(seeds + bytes((bump,)) + program + _MARK).digest()
        if not on_curve(derived):
            return base58.encode(derived)
    raise ValueError("no bump makes a program derived address")


def on_curve(address: bytes) -> bool:
    """Whether the 32 bytes are a point of ed25519, and so may be somebody's key."""
    y = (int.from_bytes(address, "little") & (1 << 255) - 1) % _P
    square = y * y % _P
    # x² = (y² - 1) / (d·y² + 1) has a root if numerator times denominator has one.
    product = (square - 1) * (_D * square + 1) % _P
    return pow(product, (_P - 1) // 2, _P) in (0, 1)
