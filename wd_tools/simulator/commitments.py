"""How settled a slot is. It is processed at once, and confirmed and finalized some time later."""

from typing import Final, Literal

from wd_tools.simulator.clock import Clock

Commitment = Literal["processed", "confirmed", "finalized"]
LEVELS: Final[tuple[Commitment, ...]] = ("processed", "confirmed", "finalized")

FINALIZED_SECONDS: Final = 12.8  # 32 slots, as on mainnet


class Commitments:
    """`confirmed`, `finalized`: seconds from a slot's beginning until it is that. The
    histories that are there at the start are finalized."""

    def __init__(
        self, clock: Clock, confirmed: float = 0.0, finalized: float = FINALIZED_SECONDS
    ) -> None:
        self._clock = clock
        self._delays: dict[Commitment, float] = {
            "processed": 0.0,
            "confirmed": confirmed,
            "finalized": max(confirmed, finalized),
        }

    def slot(self, level: Commitment) -> int:
        """The newest slot that is so settled."""
        return self._clock.slot(self._delays[level])

    def level(self, slot: int) -> Commitment:
        for level in reversed(LEVELS):
            if slot <= self.slot(level):
                return level
        return "processed"

    def wait(self, level: Commitment, slot: int) -> float:
        """Seconds until the slot is so settled; none or less: it is."""
        if slot <= self.slot(level):
            return 0.0
        return self._clock.begin(slot) + self._delays[level] - self._clock.elapsed()
