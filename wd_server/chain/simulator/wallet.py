"""A simulated wallet: its transactions, made in the order of the chain and kept as bytes."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.json import encode

from wd_server.chain.simulator import mix
from wd_server.chain.simulator.clock import Clock
from wd_server.chain.simulator.draft import Stamp
from wd_server.chain.simulator.prices import sol_usd
from wd_server.chain.simulator.scene import Scene, WalletState, World
from wd_server.chain.simulator.truth import Truth

# Transactions made before the event loop gets its turn: about 5 ms.
SLICE: Final = 30
# Slots between two transactions: same slot, in a burst, in a session, over night.
_GAPS: Final = ((0, 0), (1, 60), (60, 2_000), (2_000, 30_000))
_GAP_WEIGHTS: Final = (8, 40, 42, 10)
# A history goes back half a year or so, however many transactions it has.
LONGEST_SPAN: Final = 60_000_000  # slots
BLOCK_TRANSACTIONS: Final = 1_400  # about what a mainnet block holds


class Entry(Struct, frozen=True, gc=False):
    """One transaction as it is served. `body` is the JSON object without its opening brace, so
    that a field can be put in front without encoding anything. `line` is that of a list of
    signatures, without its braces: how settled it is changes."""

    signature: str
    slot: int
    position: int
    block_time: int
    err: object
    visible: bool
    legacy: bool
    body: bytes
    line: bytes

    @property
    def place(self) -> tuple[int, int]:
        return self.slot, self.position


class SimulatedWallet:
    def __init__(self, world: World, address: str, size: int, seed: int, clock: Clock) -> None:
        self.address = address
        self.size = size
        self.entries: list[Entry] = []
        self.visible: list[Entry] = []  # those that name the wallet itself
        self.truths: list[Truth] = []
        self._world = world
        self._state = WalletState(address)
        self._clock = clock
        self._rng = random.Random(f"wallet/{seed}/{address}")
        self._stamps = _schedule(self._rng, size, clock)
        self._generating = asyncio.Lock()

    @property
    def lamports(self) -> int:
        return self._state.lamports

    @property
    def complete(self) -> bool:
        return len(self.entries) >= self.size

    def generate(self, count: int) -> Sequence[Entry]:
        """Make up to `count` of the transactions of its history that aren't made yet."""
        first = len(self.entries)
        for stamp in self._stamps[first : first + count]:
            self._make(stamp)
        return self.entries[first:]

    async def ready(self) -> Sequence[Entry]:
        """Make the whole history, in slices. Returns what was new."""
        async with self._generating:
            first = len(self.entries)
            self.generate(SLICE)
            while not self.complete:
                await asyncio.sleep(0)
                self.generate(SLICE)
            return self.entries[first:]

    def append(self, count: int, moment: float | None = None) -> Sequence[Entry]:
        """Do `count` more transactions, now or at a moment of the clock. The history must be
        made."""
        first = len(self.entries)
        now = self._clock.slot() if moment is None else self._clock.slot_at(moment)
        for _ in range(count):
            slot, position = now, self._rng.randrange(BLOCK_TRANSACTIONS)
            if self.entries and slot <= self.entries[-1].slot:
                slot, position = self.entries[-1].slot, self.entries[-1].position + 1
            self._make(Stamp(slot, position, self._clock.block_time(slot)))
        self.size = len(self.entries)
        return self.entries[first:]

    def _make(self, stamp: Stamp) -> None:
        price = sol_usd(stamp.block_time)
        scene = Scene(self._world, self._state, self._rng, stamp, price)
        mix.act(scene)
        truth, raw = scene.commit()
        err = scene.draft.err
        line = {
            "signature": truth.signature,
            "slot": stamp.slot,
            "err": err,
            "memo": None,
            "blockTime": stamp.block_time,
        }
        entry = Entry(
            signature=truth.signature,
            slot=stamp.slot,
            position=stamp.position,
            block_time=stamp.block_time,
            err=err,
            visible=truth.visible,
            legacy=scene.draft.legacy,
            body=raw[1:],
            line=encode(line)[1:-1],
        )
        self.truths.append(truth)
        self.entries.append(entry)
        if entry.visible:
            self.visible.append(entry)


def _schedule(rng: random.Random, size: int, clock: Clock) -> list[Stamp]:
    """Where in the chain the history's transactions are, the last one at the clock's start."""
    gaps = [rng.randint(*gap) for gap in rng.choices(_GAPS, _GAP_WEIGHTS, k=size)]
    stretch = max(1.0, sum(gaps) / LONGEST_SPAN)
    slot = clock.first_slot - int(sum(gaps[1:]) / stretch)
    stamps: list[Stamp] = []
    position = 0
    for number, gap in enumerate(gaps):
        step = int(gap / stretch) if number else 0
        slot += step
        position = rng.randrange(BLOCK_TRANSACTIONS) if step else position + rng.randint(1, 9)
        stamps.append(Stamp(slot, position, clock.block_time(slot)))
    return stamps
