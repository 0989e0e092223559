"""The whole simulated chain: wallets by address, transactions by signature."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from wd_server.chain.simulator.addresses import Addresses
from wd_server.chain.simulator.clock import Clock
from wd_server.chain.simulator.mints import Mints
from wd_server.chain.simulator.scene import World
from wd_server.chain.simulator.truth import Truth
from wd_server.chain.simulator.wallet import Entry, SimulatedWallet


class WalletSize(NamedTuple):
    address: str
    size: int


class Market:
    def __init__(self, seed: int, sizes: Sequence[int], clock: Clock) -> None:
        self.mints = Mints(seed)
        self.clock = clock
        self._addresses = Addresses(seed)
        world = World(self._addresses, self.mints)
        self._wallets: dict[str, SimulatedWallet] = {}
        self._by_signature: dict[str, Entry] = {}
        self._rng = random.Random(f"market/{seed}")
        for number, size in enumerate(sizes):
            address = self._addresses.of("wallet", str(number))
            self._wallets[address] = SimulatedWallet(world, address, size, seed, clock)

    @property
    def wallets(self) -> list[WalletSize]:
        return [WalletSize(one.address, one.size) for one in self._wallets.values()]

    async def wallet(self, address: str) -> SimulatedWallet | None:
        """The wallet with its history made; None if the simulation has no such wallet."""
        wallet = self._wallets.get(address)
        if wallet is not None and not wallet.complete:
            self._index(await wallet.ready())
        return wallet

    async def entry(self, signature: str) -> Entry | None:
        """The transaction. One that isn't made yet may be known from an earlier life of the
        simulator, so every history is made before it is said not to exist."""
        if signature not in self._by_signature:
            await self.warm()
        return self._by_signature.get(signature)

    async def append(self, address: str, count: int) -> Sequence[Entry]:
        """Let the wallet do `count` more transactions. Raises KeyError for an unknown one."""
        wallet = await self.wallet(address)
        if wallet is None:
            raise KeyError(address)
        entries = wallet.append(count)
        self._index(entries)
        return entries

    async def append_anywhere(self) -> None:
        """One more transaction by some wallet that has traded before."""
        active = [one.address for one in self._wallets.values() if one.size]
        if active:
            await self.append(self._rng.choice(active), 1)

    async def warm(self) -> None:
        for address in self._wallets:
            await self.wallet(address)

    async def truth(self, address: str) -> list[Truth]:
        """What every transaction of the wallet did, oldest first; empty for an unknown one."""
        wallet = await self.wallet(address)
        return wallet.truths if wallet else []

    def _index(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._by_signature[entry.signature] = entry
