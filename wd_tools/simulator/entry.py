"""One transaction as it is served."""

from msgspec import Struct
from msgspec.json import encode

from wd_tools.simulator.draft import Stamp


class Entry(Struct, frozen=True, gc=False):
    """`body` is the JSON object without its opening brace, so that a field can be put in front
    without encoding anything. `listed` is the object of a list of signatures, without its braces:
    how settled it is changes."""

    signature: str
    slot: int
    position: int
    block_time: int
    err: object
    visible: bool
    legacy: bool
    body: bytes
    listed: bytes

    @property
    def place(self) -> tuple[int, int]:
        return self.slot, self.position


def entry(
    signature: str, stamp: Stamp, raw: bytes, *, err: object, visible: bool, legacy: bool
) -> Entry:
    """`raw` is the transaction in `json` encoding."""
    listed = {
        "signature": signature,
        "slot": stamp.slot,
        "err": err,
        "memo": None,
        "blockTime": stamp.block_time,
    }
    return Entry(
        signature=signature,
        slot=stamp.slot,
        position=stamp.position,
        block_time=stamp.block_time,
        err=err,
        visible=visible,
        legacy=legacy,
        body=raw[1:],
        listed=encode(listed)[1:-1],
    )
