"""One line of the results."""

from typing import NamedTuple


class Row(NamedTuple):
    """`met`: whether the figure reaches the target; None where there is no target to reach."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "yes" if self.met else "no"


def at_most(what: str, value: float, limit: float, figure: str, unit: str) -> Row:
    """A row whose value should not be above its limit. `unit` follows the limit as it is."""
    return Row(what, figure, f"≤ {limit:,g}{unit}", value <= limit)


def at_least(what: str, value: float, limit: float, figure: str, unit: str) -> Row:
    """A row whose value should not be below its limit."""
    return Row(what, figure, f"≥ {limit:,g}{unit}", value >= limit)
