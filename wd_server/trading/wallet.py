"""A wallet's address."""

from typing import Final, Self

from wd_server import base58
from wd_server.errors import InvalidWallet

ADDRESS_BYTES: Final = 32
# What 32 bytes take in base58: zeros alone, and the largest value. Checked before anything is
# decoded, so that a megabyte of text costs nothing.
ADDRESS_CHARACTERS: Final = range(32, 45)


class WalletAddress(str):
    """Base58 text of exactly 32 bytes. On the curve or not: a program may own tokens too."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidWallet."""
        if len(text) not in ADDRESS_CHARACTERS:
            raise InvalidWallet(
                f"The wallet address has {len(text)} characters; a Solana address has 32 to 44."
            )
        try:
            size = len(base58.decode(text))
        except ValueError:
            raise InvalidWallet(
                "The wallet address has a character that base58 doesn't: use digits and letters "
                "without 0, O, I and l."
            ) from None
        if size != ADDRESS_BYTES:
            raise InvalidWallet(
                f"The wallet address stands for {size} bytes; a Solana address has 32."
            )
        return cls(text)
