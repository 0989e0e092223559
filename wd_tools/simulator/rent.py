"""What an account has to hold to stay on the chain."""

from typing import Final

OVERHEAD_BYTES: Final = 128  # that every account has beside its data
LAMPORTS_PER_BYTE: Final = 6_960


def exemption(space: int, lamports_per_byte: int = LAMPORTS_PER_BYTE) -> int:
    """Lamports that an account with so many bytes of data has to hold."""
    return (OVERHEAD_BYTES + space) * lamports_per_byte
