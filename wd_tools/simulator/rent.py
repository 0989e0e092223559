"""What an account has to hold to stay on the chain.

The price of a byte has fallen in steps since 2026. Here the steps are near the end of the
histories, so that most wallets have opened accounts at one price and open or close them at another.
"""

from typing import Final

OVERHEAD_BYTES: Final = 128  # that every account has beside its data
_FIRST: Final = 6_960  # lamports a byte
_HOUR: Final = 3_600
# Seconds before the histories end, and lamports a byte from then on.
_STEPS: Final = ((240 * _HOUR, 6_333), (48 * _HOUR, 5_080), (3 * _HOUR, 2_575))


class Rent:
    """`end`: unix time at which the histories end."""

    def __init__(self, end: int) -> None:
        self._steps = [(end - before, price) for before, price in _STEPS]

    def exemption(self, space: int, at: int) -> int:
        """Lamports that an account with so many bytes of data has to hold if it is opened at a
        unix time."""
        price = _FIRST
        for since, lower in self._steps:
            if at >= since:
                price = lower
        return (OVERHEAD_BYTES + space) * price
