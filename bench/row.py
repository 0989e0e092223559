"""One line of the results."""

from typing import NamedTuple


class Row(NamedTuple):
    what: str
    figure: str
    target: str
