"""The whole simulated chain: wallets by address, transactions by signature."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec.json import encode

from wd_tools.simulator.addresses import Addresses
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.mints import Mints
from wd_tools.simulator.mix import Action
from wd_tools.simulator.rent import Rent
from wd_tools.simulator.scene import World
from wd_tools.simulator.truth import Truth
from wd_tools.simulator.wallet import SLICE, SimulatedWallet

# Of a fork's transactions so many never land again, and of its wallets so many in another order.
LOST: Final = 0.25
REORDERED: Final = 0.5
LATEST_LANDING: Final = 3  # slots after the fork


class WalletSize(NamedTuple):
    address: str
    size: int


class Fork(NamedTuple):
    """Signatures of what landed again, and of what is gone for ever."""

    landed: list[str]
    lost: list[str]


class Market:
    def __init__(
        self, seed: int, sizes: Sequence[int], clock: Clock, everything: Sequence[int] = ()
    ) -> None:
        """`everything`: sizes of further wallets, which do all there is about as often."""
        self.mints = Mints(seed)
        self.clock = clock
        self._addresses = Addresses(seed)
        self.rent = Rent(clock.start)
        world = World(self._addresses, self.mints, self.rent)
        self._wallets: dict[str, SimulatedWallet] = {}
        self._by_signature: dict[str, Entry] = {}
        self._warm = False
        self._listeners: list[Callable[[Sequence[Entry]], None]] = []
        self._rng = random.Random(f"market/{seed}")
        for number, size in enumerate(sizes):
            address = self._addresses.of("wallet", str(number))
            self._wallets[address] = SimulatedWallet(world, address, size, seed, clock)
        for number, size in enumerate(everything):
            address = self._addresses.of("everything", str(number))
            self._wallets[address] = SimulatedWallet(
                world, address, size, seed, clock, "everything"
            )
        self._active = [one.address for one in self._wallets.values() if one.size]

    @property
    def wallets(self) -> list[WalletSize]:
        return [WalletSize(one.address, one.size) for one in self._wallets.values()]

    async def wallet(self, address: str) -> SimulatedWallet | None:
        """The wallet with its history made; None if the simulation has no such wallet."""
        wallet = self._wallets.get(address)
        if wallet is not None and not wallet.complete:
            self._index(await wallet.ready())
        return wallet

    async def naming(self, address: str) -> Sequence[Entry]:
        """The transactions that name a wallet, or a token account of a wallet, oldest first."""
        wallet = await self.wallet(address)
        if wallet is not None:
            return wallet.visible
        wallet = await self.wallet(self._addresses.owner(address) or "")
        named = encode(address)
        return [] if wallet is None else [one for one in wallet.entries if named in one.body]

    async def entry(self, signature: str) -> Entry | None:
        """The transaction. One that isn't made yet may be known from an earlier life of the
        simulator, so every history is made before it is said not to exist."""
        if signature not in self._by_signature and not self._warm:
            await self.warm()
        return self._by_signature.get(signature)

    def has(self, entry: Entry) -> bool:
        """Whether the transaction is (still) in the chain, and there."""
        return self._by_signature.get(entry.signature) is entry

    def listen(self, listener: Callable[[Sequence[Entry]], None]) -> None:
        """`listener` is called with what wallets do after their history."""
        self._listeners.append(listener)

    async def append(
        self,
        address: str,
        count: int,
        moment: float | None = None,
        action: Action | None = None,
    ) -> Sequence[Entry]:
        """Let the wallet do `count` more transactions, now or at a moment that the clock has
        passed; only that `action`, if one is given, and no more than it can. Raises KeyError for
        an unknown one."""
        wallet = await self.wallet(address)
        if wallet is None:
            raise KeyError(address)
        made: list[Entry] = []
        while len(made) < count:
            if made:
                await asyncio.sleep(0)
            asked = min(SLICE, count - len(made))
            entries = wallet.append(asked, moment, action)
            if entries:
                self._index(entries)
                self._tell(entries)
                made += entries
            if len(entries) < asked:
                break
        return made

    async def append_anywhere(self, moment: float | None = None) -> None:
        """One more transaction by some wallet that has traded before."""
        if self._active:
            await self.append(self._rng.choice(self._active), 1, moment)

    def fork(self, slot: int) -> Fork:
        """Abandon all that came after `slot`. Some of it lands again in the slots to come, here
        and there in another order; some of it never does."""
        tip = self.clock.slot()
        lost: list[str] = []
        landed: list[Entry] = []
        for wallet in self._wallets.values():
            abandoned = wallet.abandon(slot)
            for gone in abandoned:
                del self._by_signature[gone.entry.signature]
            if self._rng.random() < REORDERED:
                self._rng.shuffle(abandoned)
            place = (tip + self._rng.randint(1, LATEST_LANDING), 0)
            for gone in abandoned:
                place = (place[0], place[1] + self._rng.randint(1, 9))
                again = wallet.land(gone, *place) if self._rng.random() >= LOST else None
                if again is None:
                    lost.append(gone.entry.signature)
                else:
                    landed.append(again)
        self._index(landed)
        self._tell(landed)
        return Fork([entry.signature for entry in landed], lost)

    async def warm(self) -> None:
        for address in self._wallets:
            await self.wallet(address)
        self._warm = True

    async def truth(self, address: str) -> list[Truth]:
        """What every transaction of the wallet did, oldest first; empty for an unknown one."""
        wallet = await self.wallet(address)
        return wallet.truths if wallet else []

    def _index(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._by_signature[entry.signature] = entry

    def _tell(self, entries: Sequence[Entry]) -> None:
        for listener in self._listeners:
            listener(entries)
