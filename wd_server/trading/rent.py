"""What accounts pay to exist: hints on which amounts of SOL are deposits."""

from typing import Final

# Lamports a byte that an account's rent exemption took at some time (SIMD-0437). Only a hint where
# nothing shows that an account was opened or closed.
RENT_PER_BYTE: Final = (6_960, 6_333, 5_080, 2_575, 1_322, 696)
# Bytes that an account pays for beside its data, and the most data of one that a program opens.
RENT_BYTES_MIN: Final = 128
RENT_BYTES_MAX: Final = 10_240 + RENT_BYTES_MIN
# Lamports that such an account takes at the highest rate. A larger one, of up to 10 MB, is opened
# by the transaction itself and is rent if the rates say so; otherwise it holds what was paid in.
RENT_MAX: Final = RENT_BYTES_MAX * RENT_PER_BYTE[0]


def is_rent(lamports: int) -> bool:
    """Exactly what some account's rent exemption takes at one of the rates."""
    return any(
        lamports % rate == 0 and RENT_BYTES_MIN <= lamports // rate <= RENT_BYTES_MAX
        for rate in RENT_PER_BYTE
    )


def may_be_rent(lamports: int) -> bool:
    """Of an account that was opened: whether nothing but its deposit need be in it."""
    return lamports <= RENT_MAX or any(lamports % rate == 0 for rate in RENT_PER_BYTE)
