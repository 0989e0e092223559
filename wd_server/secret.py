"""A text that may be used but not shown."""

import hmac
from typing import Final

MASK: Final = "***"


class Secret:
    """Prints as `***` wherever it ends up; `reveal` at the one place that needs the text.

    Deliberately no `str`: what takes a text by mistake fails in the type checker, and encoders
    that don't know the type refuse it instead of writing it out.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # In constant time, since what callers present is compared with it.
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("A secret isn't pickled or copied: its text would be written out.")
