"""Addresses that follow from a seed and a label, so that every run has the same ones."""

import hashlib

from wd_tools.simulator import base58


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
        """Where `owner` holds `mint`. Not the derivation of the Associated Token program, which
        nobody who reads transactions needs: one fixed account for each pair is what counts."""
        account = self.of("token", owner, mint)
        self._owners[account] = owner
        return account

    def owner(self, account: str) -> str | None:
        """Whose token account it is; None for one that nobody was given yet."""
        return self._owners.get(account)
