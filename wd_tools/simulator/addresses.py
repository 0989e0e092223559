"""Addresses that follow from a seed and a label, so that every run has the same ones."""

import hashlib

from wd_tools.simulator import base58
from wd_tools.simulator.derivation import associated_token_address


class Addresses:
    """Remembers what it derived: a market has a few thousand pools and token accounts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._known: dict[tuple[str, ...], str] = {}
        self._owners: dict[str, str] = {}

    def of(self, *label: str) -> str:
        address = self._known.get(label)
        if address is None:
            text = "/".join((str(self._seed), *label))
            address = base58.encode(hashlib.sha256(text.encode()).digest())
            self._known[label] = address
        return address

    def token_account(self, owner: str, mint: str) -> str:
        """Where a pool or a stranger holds `mint`: one fixed account for each pair, and no
        associated one, which would cost a hundred times as much to derive."""
        return self.of("token", owner, mint)

    def associated(self, owner: str, mint: str, token_program: str) -> str:
        """Where a wallet holds `mint`."""
        label = ("associated", owner, mint)
        address = self._known.get(label)
        if address is None:
            address = self._known[label] = associated_token_address(owner, mint, token_program)
            self._owners[address] = owner
        return address

    def owner(self, account: str) -> str | None:
        """The wallet whose token account it is; None for one that nobody was given yet."""
        return self._owners.get(account)
