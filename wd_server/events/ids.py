"""Ids of events: `<epoch>-<sequence>`, a position in one wallet's journal."""

from typing import Final, NamedTuple, Self

from wd_server.errors import InvalidParameter

# Both halves must be exact in a JavaScript number (53 bits), since clients parse them.
EVENT_ID_PART_MAX: Final = 2**53 - 1


class EventId(NamedTuple):
    """A position in a wallet's journal: everything up to and including `seq` of `epoch`."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<epoch>-<seq>`. Raises InvalidParameter for anything else."""
        epoch, _, seq = text.partition("-")
        if all(half.isascii() and half.isdigit() and len(half) <= 16 for half in (epoch, seq)):
            event_id = cls(int(epoch), int(seq))
            if max(event_id) <= EVENT_ID_PART_MAX:
                return event_id
        raise InvalidParameter(
            "last_event_id is not an id this server sent: <epoch>-<seq>. Start again without it."
        )
