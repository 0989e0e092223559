"""Base58 as Solana writes addresses (32 bytes), signatures (64) and instruction data."""

import random

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ADDRESS_BYTES = 32

# Two digits a division: signatures are most of what generation encodes.
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_DIGITS = {letter: value for value, letter in enumerate(ALPHABET)}


def encode(data: bytes) -> str:
    zeros = len(data) - len(data.lstrip(b"\0"))
    number = int.from_bytes(data, "big")
    pairs = []
    while number:
        number, pair = divmod(number, 3364)
        pairs.append(_PAIRS[pair])
    pairs.reverse()
    return "1" * zeros + "".join(pairs).lstrip("1")


def decode(text: str) -> bytes:
    """Raises ValueError for text that isn't base58."""
    number = 0
    for letter in text:
        digit = _DIGITS.get(letter)
        if digit is None:
            raise ValueError(f"{letter!r} is not a base58 digit")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def random_address(rng: random.Random) -> str:
    """32 bytes, drawn as digits, which is quicker: 44 of them, less than 2**256 in value and not
    less than 2**248, as the first is kept between 1 and 16."""
    return ALPHABET[rng.randrange(1, 17)] + ALPHABET[rng.randrange(58)] + _drawn(rng, 21)


def random_signature(rng: random.Random) -> str:
    """64 bytes: 88 digits, the first between 1 and 4."""
    return ALPHABET[rng.randrange(1, 5)] + ALPHABET[rng.randrange(58)] + _drawn(rng, 43)


def _drawn(rng: random.Random, pairs: int) -> str:
    return "".join(rng.choices(_PAIRS, k=pairs))
