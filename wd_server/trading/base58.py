"""Base58 as Solana writes addresses and instruction data (Bitcoin's alphabet)."""

from typing import Final

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_NONE: Final = 255
_DIGITS: Final = bytes(
    ALPHABET.index(chr(code)) if chr(code) in ALPHABET else _NONE for code in range(256)
)


def decode(text: str) -> bytes:
    """The bytes `text` stands for; each leading `1` is a zero byte.

    Takes time that grows with the square of the length: bound it before. Raises ValueError for
    text that isn't base58.
    """
    # latin-1: a character, a byte; raises a ValueError itself for what doesn't fit into one.
    digits = text.encode("latin-1").translate(_DIGITS)
    if _NONE in digits:
        raise ValueError("a character is not a base58 digit")
    number = 0
    for digit in digits:
        number = number * 58 + digit
    zeros = len(digits) - len(digits.lstrip(b"\0"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
