"""The tokens of the simulated market: real ones by name, invented ones by seed."""

import random
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from wd_tools.simulator import base58
from wd_tools.simulator.programs import TOKEN, TOKEN_2022

# A token account's bytes: plain, Token-2022 with the immutable owner extension, and that one
# with withheld transfer fees.
PLAIN_ACCOUNT_BYTES: Final = 165
OWNED_ACCOUNT_BYTES: Final = 170
FEE_ACCOUNT_BYTES: Final = 182

MEME_COUNT: Final = 60
# Memes whose number divides by this aren't known to the asset service.
UNKNOWN_EVERY: Final = 9


class Mint(Struct, frozen=True, gc=False):
    """A token. `price` is lamports a whole token at its start; `fee_bps` Token-2022's fee."""

    address: str
    symbol: str
    name: str
    decimals: int
    price: int
    program: str = TOKEN
    fee_bps: int = 0
    known: bool = True
    liquid: bool = True

    @property
    def space(self) -> int:
        """Bytes of an account of this token."""
        if self.program == TOKEN:
            return PLAIN_ACCOUNT_BYTES
        return FEE_ACCOUNT_BYTES if self.fee_bps else OWNED_ACCOUNT_BYTES

    def received(self, sent: int) -> int:
        """What arrives of `sent`: the transfer fee is rounded up and withheld."""
        return sent - -(-sent * self.fee_bps // 10_000)


SOL: Final = Mint(
    "So11111111111111111111111111111111111111112", "SOL", "Wrapped SOL", 9, 1_000_000_000
)
USDC: Final = Mint("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "USDC", "USD Coin", 6, 0)
USDT: Final = Mint("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", "USDT", "USDT", 6, 0)
MSOL: Final = Mint(
    "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So", "mSOL", "Marinade SOL", 9, 1_290_000_000
)
JITOSOL: Final = Mint(
    "J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn", "JitoSOL", "Jito Staked SOL", 9, 1_240_000_000
)
STABLES: Final = (USDC, USDT)

_MAJORS: Final = (
    Mint("JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", "JUP", "Jupiter", 6, 2_700_000),
    Mint("DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", "Bonk", "Bonk", 5, 130),
    Mint("EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm", "$WIF", "dogwifhat", 6, 4_800_000),
    Mint("4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", "RAY", "Raydium", 6, 14_000_000),
    Mint("orcaEKTdK7LKz57vaAYr9QeNsVEPfiu6QeMU1kektZE", "ORCA", "Orca", 6, 11_000_000),
    Mint("HZ1JovNiVvGrGNiiYvEozEVgZ58xaU3RKwX8eACQBCt3", "PYTH", "Pyth Network", 6, 800_000),
    Mint("7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYMW2hr", "POPCAT", "Popcat", 9, 1_600_000),
)
_SYLLABLES: Final = ("mo", "pep", "cat", "gi", "zo", "wuf", "lam", "bo", "sol", "ka", "nu", "rix")


class Mints:
    """The tokens that exist for a seed, by address and by what they are good for."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"mints/{seed}")
        self.memes = [_meme(rng, number) for number in range(MEME_COUNT)]
        self.majors = list(_MAJORS)
        self.taxed = [_token_2022(rng, number, fee) for number, fee in enumerate((100, 300, 0))]
        self.spam = [_spam(rng, number) for number in range(12)]
        self.by_address = {mint.address: mint for mint in self._all()}

    def at(self, address: str) -> Mint:
        """The mint of this address: all that aren't listed are of pools."""
        return self.by_address.get(address) or pool_share(address)

    def _all(self) -> Iterator[Mint]:
        yield from (SOL, USDC, USDT, MSOL, JITOSOL)
        yield from self.majors
        yield from self.memes
        yield from self.taxed
        yield from self.spam


def pool_share(address: str) -> Mint:
    return Mint(address, "LP", "Pool", 9, 0, known=False, liquid=False)


def asset(mint: Mint) -> dict[str, Any]:
    """The mint as the DAS method `getAsset` shows a fungible token."""
    return {
        "interface": "FungibleToken",
        "id": mint.address,
        "content": {"metadata": {"name": mint.name, "symbol": mint.symbol}},
        "token_info": {
            "symbol": mint.symbol,
            "decimals": mint.decimals,
            "supply": 10 ** (9 + mint.decimals),
            "token_program": mint.program,
        },
    }


def _address(rng: random.Random, ending: str = "") -> str:
    """32 random bytes whose base58 text ends as asked (Pump.fun's mints end in `pump`)."""
    wanted = sum(base58.ALPHABET.index(c) * 58**i for i, c in enumerate(reversed(ending)))
    number = rng.getrandbits(256) | 1 << 255
    number = number - number % 58 ** len(ending) + wanted
    return base58.encode(number.to_bytes(base58.ADDRESS_BYTES, "big"))


def _word(rng: random.Random) -> str:
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3)))


def _meme(rng: random.Random, number: int) -> Mint:
    name = _word(rng)
    return Mint(
        address=_address(rng, "pump"),
        symbol=name.upper(),
        name=name.capitalize(),
        decimals=6,
        price=rng.randint(30, 60_000),
        known=number % UNKNOWN_EVERY != 0,
    )


def _token_2022(rng: random.Random, number: int, fee_bps: int) -> Mint:
    return Mint(
        address=_address(rng),
        symbol=f"TAX{number}",
        name=f"Taxed {number}",
        decimals=(9, 6, 8)[number],
        price=rng.randint(10_000, 900_000),
        program=TOKEN_2022,
        fee_bps=fee_bps,
    )


def _spam(rng: random.Random, number: int) -> Mint:
    return Mint(
        address=_address(rng),
        symbol="CLAIM",
        name=f"Visit to claim {number}",
        decimals=rng.choice((0, 6, 9)),
        price=0,
        known=number % 2 == 0,
        liquid=False,
    )
