"""A simulated wallet: its transactions, made in the order of the chain and kept as bytes."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from wd_tools.simulator import landing, mix
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.draft import Stamp
from wd_tools.simulator.entry import Entry, entry
from wd_tools.simulator.mix import Action, Profile
from wd_tools.simulator.prices import sol_usd
from wd_tools.simulator.scene import OWNERS_SINCE, Rearrangement, Scene, WalletState, World
from wd_tools.simulator.truth import Truth

# Transactions made before the event loop gets its turn: about 5 ms.
SLICE: Final = 30
# Slots between two transactions: same slot, in a burst, in a session, over night.
_GAPS: Final = ((0, 0), (1, 60), (60, 2_000), (2_000, 30_000))
_GAP_WEIGHTS: Final = (8, 40, 42, 10)
# A history goes back half a year or so, however many transactions it has.
LONGEST_SPAN: Final = 60_000_000  # slots
BLOCK_TRANSACTIONS: Final = 1_400  # about what a mainnet block holds
# Of a wallet of everything so much of the history is so many seconds older than the first block
# that tells the owners of token accounts.
OLD_SHARE: Final = 0.12
OLDER: Final = 30 * 86_400


class Abandoned(NamedTuple):
    """A transaction that left the chain with its block."""

    entry: Entry
    truth: Truth
    rearrangement: Rearrangement


class SimulatedWallet:
    def __init__(
        self,
        world: World,
        address: str,
        size: int,
        seed: int,
        clock: Clock,
        profile: Profile = "trader",
    ) -> None:
        self.address = address
        self._profile: Profile = profile
        self.size = size
        self.entries: list[Entry] = []
        self.visible: list[Entry] = []  # those that name the wallet itself
        self.truths: list[Truth] = []
        self._rearranged: list[Rearrangement] = []
        self._world = world
        self._state = WalletState(address)
        self._clock = clock
        self._rng = random.Random(f"wallet/{seed}/{address}")
        self._stamps = _schedule(self._rng, size, clock)
        if profile == "everything":
            self._stamps = _with_old(self._stamps, clock)
        self._generating = asyncio.Lock()

    @property
    def lamports(self) -> int:
        return self._state.lamports

    def at(self, slot: int) -> WalletState:
        """What the wallet had when `slot` was over."""
        now = self._state
        state = WalletState(self.address, now.lamports, dict(now.holdings), now.deposits)
        for made, rearranged in zip(
            reversed(self.entries), reversed(self._rearranged), strict=True
        ):
            if made.slot <= slot:
                break
            self._undo(state, made, rearranged)
        return state

    def _undo(self, state: WalletState, made: Entry, rearranged: Rearrangement) -> None:
        """Give `state` back what it had before its last transaction."""
        landing.undo(state, landing.footprint(made, self.address), self._world)
        before = rearranged.inverse.apply(state.deposits)
        assert before is not None
        state.deposits = before

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

    def append(
        self, count: int, moment: float | None = None, action: Action | None = None
    ) -> Sequence[Entry]:
        """Do `count` more transactions, now or at a moment of the clock. The history must be
        made. With `action`: only that, and fewer if the wallet can't any more."""
        first = len(self.entries)
        now = self._clock.slot() if moment is None else self._clock.slot_at(moment)
        for _ in range(count):
            slot, position = now, self._rng.randrange(BLOCK_TRANSACTIONS)
            if self.entries and slot <= self.entries[-1].slot:
                slot, position = self.entries[-1].slot, self.entries[-1].position + 1
            if not self._make(Stamp(slot, position, self._clock.block_time(slot)), action):
                break
        self.size = len(self.entries)
        return self.entries[first:]

    def abandon(self, slot: int) -> list[Abandoned]:
        """Take away what came after `slot`, oldest first. The history stays."""
        taken = []
        while self.entries and self.entries[-1].slot > max(slot, self._clock.first_slot):
            gone = Abandoned(self.entries.pop(), self.truths.pop(), self._rearranged.pop())
            taken.append(gone)
            if gone.entry.visible:
                self.visible.pop()
            self._undo(self._state, gone.entry, gone.rearrangement)
        self.size -= len(taken)
        return taken[::-1]

    def land(self, abandoned: Abandoned, slot: int, position: int) -> Entry | None:
        """Let an abandoned transaction happen in another place, after all others; None if it no
        longer can."""
        stamp = Stamp(slot, position, self._clock.block_time(slot))
        deposits = abandoned.rearrangement.apply(self._state.deposits)
        if deposits is None:
            return None
        landed = landing.land(abandoned.entry, self._state, stamp, self._world)
        if landed is not None:
            self._state.deposits = deposits
            truth = replace(
                abandoned.truth, slot=slot, position=position, block_time=stamp.block_time
            )
            self._add(landed, truth, abandoned.rearrangement)
            self.size += 1
        return landed

    def _make(self, stamp: Stamp, action: Action | None = None) -> bool:
        """False if the wallet can't do what it is asked for."""
        price = sol_usd(stamp.block_time)
        scene = Scene(self._world, self._state, self._rng, stamp, price)
        if action is None:
            mix.act(scene, self._profile)
        elif not action(scene):
            return False
        truth, raw = scene.commit()
        made = entry(
            truth.signature,
            stamp,
            raw,
            err=scene.draft.err,
            visible=truth.visible,
            legacy=scene.draft.legacy,
        )
        self._add(made, truth, scene.rearrangement)
        return True

    def _add(self, made: Entry, truth: Truth, rearrangement: Rearrangement) -> None:
        self.truths.append(truth)
        self._rearranged.append(rearrangement)
        self.entries.append(made)
        if made.visible:
            self.visible.append(made)


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


def _with_old(stamps: list[Stamp], clock: Clock) -> list[Stamp]:
    """The same history, but its beginning is years before the rest."""
    count = int(len(stamps) * OLD_SHARE)
    back = (clock.start - OWNERS_SINCE + OLDER) * 5 // 2  # slots
    if not count or stamps[0].slot <= back:
        return stamps  # the chain isn't so old
    moved = [stamp.slot - back for stamp in stamps[:count]]
    old = [
        Stamp(slot, stamp.position, clock.block_time(slot))
        for slot, stamp in zip(moved, stamps[:count], strict=True)
    ]
    return old + stamps[count:]
