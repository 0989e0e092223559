"""What one wallet's balances say about a transaction, before anything is attributed_postings."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from wd_server.trading.programs import FEE_ACCOUNTS, SOL

# A change this many times smaller than what passed through another account is what a route left
# over, not something that was traded.
LEFTOVER_PART: Final = 100


class TokenDelta(Struct, frozen=True, gc=False):
    """What happened to one mint, in its smallest unit.

    `raw`: the wallet's change. `supply`: the sum over all accounts of the transaction, so what
    was minted, or less than 0 what was burned or withheld. `largest`: the largest change, without
    its sign, of another owner's account.
    """

    raw: int
    decimals: int
    supply: int = 0
    largest: int = 0

    @property
    def is_leftover(self) -> bool:
        return not self.supply and abs(self.raw) * LEFTOVER_PART <= self.largest


class TokenChanges(Struct, gc=False):
    """Sums up the token accounts of a transaction, as `wallet` sees them.

    `own`: the wallet's accounts, and how much wrapped SOL each gained. `token_accounts`:
    everybody's; `fee_tokens`: those of them that hold wrapped SOL for somebody who takes fees.
    """

    wallet: str
    own: dict[str, int] = {}
    token_accounts: set[str] = set()
    fee_tokens: set[str] = set()
    _raws: dict[str, int] = {}
    _decimals: dict[str, int] = {}
    _others: dict[str, int] = {}
    _mints: dict[str, str] = {}

    def add(self, address: str, mint: str, owner: str | None, raw: int, decimals: int) -> None:
        """The token account `address` gained `raw`, or lost it if that is less than 0."""
        self.token_accounts.add(address)
        if owner == self.wallet:
            if mint == SOL:
                self.own[address] = self.own.get(address, 0) + raw
            else:
                self.own.setdefault(address, 0)
                self._raws[mint] = self._raws.get(mint, 0) + raw
                self._decimals[mint] = decimals
        elif mint != SOL:
            self._others[address] = self._others.get(address, 0) + raw
            self._mints[address] = mint
        elif owner in FEE_ACCOUNTS:
            self.fee_tokens.add(address)

    def tokens(self) -> dict[str, TokenDelta]:
        """What the wallet has more or less of, by mint, without wrapped SOL."""
        supplies = {mint: raw for mint, raw in self._raws.items() if raw}
        largest = dict.fromkeys(supplies, 0)
        for address, mint in self._mints.items():
            if mint in supplies:
                change = self._others[address]
                supplies[mint] += change
                largest[mint] = max(largest[mint], abs(change))
        return {
            mint: TokenDelta(self._raws[mint], self._decimals[mint], supply, largest[mint])
            for mint, supply in supplies.items()
        }


class Balances(Struct, gc=False):
    """Lamports, seen from `wallet`.

    `paid`: it is the fee payer. `native`, `wrapped`: changes of its SOL. `own`: its token
    accounts, and how much more or less each holds beside wrapped SOL. `change` gives any
    account's change, 0 for one that isn't there. `crossed`: tokens went out and other tokens came
    in. `token_accounts` and `fee_tokens` as in TokenChanges.
    """

    wallet: str
    paid: bool
    native: int
    wrapped: int
    network_fee: int
    own: dict[str, int]
    change: Callable[[str], int]
    crossed: bool = False
    token_accounts: set[str] = set()
    fee_tokens: set[str] = set()

    def is_settled(self, address: str) -> bool:
        """What opening `address` cost is known from its balance, or came back."""
        return address in self.own or self.change(address) <= 0
