"""Which values a parameter takes: each kind reads a value from its text, and names the JSON type
that describes it; both keep to the same bounds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Generic, TypeVar, get_args

from msgspec import Meta

from wd_server import base58
from wd_server.errors import InvalidParameter, InvalidWallet
from wd_server.events.ids import EventId
from wd_server.trading.wallet import WalletAddress

T_co = TypeVar("T_co", covariant=True)

# Characters of a whole number: more than the largest bound has, and few enough to convert at once.
DIGITS_MAX: Final = 12
# Characters of an amount. A Decimal with more is slow to compare.
AMOUNT_CHARACTERS_MAX: Final = 40
# What a signature looks like. Not every such text stands for 64 bytes.
SIGNATURE: Final = Annotated[str, Meta(pattern="^[1-9A-HJ-NP-Za-km-z]{64,88}$")]
# What an address looks like. Not every such text stands for 32 bytes, so `WalletAddress` has the
# last word.
ADDRESS: Final = Annotated[str, Meta(pattern="^[1-9A-HJ-NP-Za-km-z]{32,44}$")]

_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False}


class Values(ABC, Generic[T_co]):
    """One kind of value.

    type: the type in JSON, for msgspec to make a schema of
    rule: what follows the parameter's name in the sentence that refuses a value
    """

    @property
    @abstractmethod
    def type(self) -> Any: ...

    @property
    @abstractmethod
    def rule(self) -> str: ...

    @abstractmethod
    def parse(self, text: str) -> T_co:
        """Raises ValueError, or an error for the client where its sentence says more than `rule`
        does."""


class Text(Values[str]):
    """Any text."""

    type = str
    rule = "must be a text"

    def parse(self, text: str) -> str:
        return text


class Switch(Values[bool]):
    type = bool
    rule = "must be true or false"

    def parse(self, text: str) -> bool:
        try:
            return _SWITCH[text.lower()]
        except KeyError as error:
            raise ValueError(text) from error


@dataclass(frozen=True, slots=True)
class WholeNumber(Values[int]):
    """Both bounds are allowed."""

    least: int
    most: int

    @property
    def type(self) -> Any:
        return Annotated[int, Meta(ge=self.least, le=self.most)]

    @property
    def rule(self) -> str:
        return f"must be a whole number from {self.least} to {self.most}"

    def parse(self, text: str) -> int:
        readable = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
        if not readable or not self.least <= int(text) <= self.most:
            raise ValueError(text)
        return int(text)


@dataclass(frozen=True, slots=True)
class Amount(Values[Decimal]):
    """0 or more, and less than `limit`, of a `unit` in the plural."""

    unit: str
    limit: int

    @property
    def type(self) -> Any:
        return Annotated[float, Meta(ge=0, lt=self.limit)]

    @property
    def rule(self) -> str:
        return f"must be a number of {self.unit}, 0 or more"

    def parse(self, text: str) -> Decimal:
        try:
            value = Decimal(text)
        except InvalidOperation as error:
            raise ValueError(text) from error
        plain = "_" not in text and len(text) <= AMOUNT_CHARACTERS_MAX and value.is_finite()
        if not plain or not 0 <= value < self.limit:
            raise ValueError(text)
        return value


@dataclass(frozen=True, slots=True)
class Choice(Values[T_co]):
    """One of the texts in `literal`, a `Literal`."""

    literal: Any

    @property
    def type(self) -> Any:
        return self.literal

    @property
    def rule(self) -> str:
        *others, last = get_args(self.literal)
        return f"must be {', '.join(others)} or {last}"

    def parse(self, text: str) -> T_co:
        choices: tuple[T_co, ...] = get_args(self.literal)
        return choices[choices.index(text)]


class Wallet(Values[str]):
    """A wallet's address. `parse` raises InvalidWallet, which says what is wrong with it."""

    type = ADDRESS
    rule = "must be the address of a wallet, in base58"

    def parse(self, text: str) -> str:
        return str(WalletAddress.parse(text))


class Mint(Values[str]):
    """A token's address."""

    type = ADDRESS
    rule = "must be the address of a token, in base58"

    def parse(self, text: str) -> str:
        try:
            return str(WalletAddress.parse(text))
        except InvalidWallet as error:
            raise ValueError(text) from error


class Signature(Values[str]):
    """A transaction's signature."""

    type = SIGNATURE
    rule = "must be the signature of a transaction: base58 of 64 bytes"

    def parse(self, text: str) -> str:
        if not base58.is_size(text, base58.SIGNATURE_BYTES):
            raise ValueError(text)
        return text


class WalletEventId(Values[EventId | None]):
    """An event id of one wallet; an empty text is none."""

    type = str
    rule = "is not an id this server sent: <epoch>-<seq>"

    def parse(self, text: str) -> EventId | None:
        try:
            return EventId.parse(text) if text else None
        except InvalidParameter as error:
            raise ValueError(text) from error
