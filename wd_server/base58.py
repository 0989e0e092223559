"""Base58 as Solana writes addresses, signatures and instruction data (Bitcoin's alphabet)."""

from typing import Final

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ADDRESS_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_LETTERS: Final = ALPHABET.encode()
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


def encode(raw: bytes) -> str:
    """The text that stands for `raw`. Takes time that grows with the square of the length."""
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + _written(int.from_bytes(raw, "big"))


def _written(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return text


# For each size in bytes, the smallest number of that size: the count of its digits, and the digits.
# The alphabet is in the order of ASCII, so these pairs are in the order of the numbers.
_LEAST: Final = [(0, "")] + [
    (len(digits), digits) for digits in (_written(256**size) for size in range(SIGNATURE_BYTES + 1))
]


def is_size(text: str, size: int) -> bool:
    """Whether `text` is base58 of exactly `size` bytes, at most SIGNATURE_BYTES.

    Nothing is decoded: a signature takes half a microsecond, and no text more than time that
    grows with its length.
    """
    digits = text.lstrip("1")
    left = size - (len(text) - len(digits))
    if left < 0 or not _LEAST[left] <= (len(digits), digits) < _LEAST[left + 1]:
        return False
    return digits.isascii() and not digits.encode().translate(None, _LETTERS)
