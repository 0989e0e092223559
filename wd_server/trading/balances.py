"""What a transaction did to everybody's balances, as one wallet sees them."""

from msgspec import Struct

from wd_server.trading.programs import SOL


class TokenDelta(Struct, frozen=True, gc=False):
    """What happened to one mint, in its smallest unit.

    raw: the wallet's change
    decimals: of the mint
    supply: the sum over all accounts, so what was minted, or less than 0 what was burned or
        withheld
    """

    raw: int
    decimals: int
    supply: int = 0


class TokenChanges(Struct, gc=False):
    """Sums up the token accounts of a transaction.

    wallet: whose accounts are `own`
    own: the wallet's accounts, and how much wrapped SOL each gained
    owners: everybody's accounts, and whose each is; itself where nobody says
    mints: the mint of each account
    accounts: what each account gained
    sides: what each owner gained, by mint
    decimals: of each mint
    """

    wallet: str
    own: dict[str, int] = {}
    owners: dict[str, str] = {}
    mints: dict[str, str] = {}
    accounts: dict[str, int] = {}
    sides: dict[str, dict[str, int]] = {}
    decimals: dict[str, int] = {}

    def add(self, address: str, mint: str, owner: str | None, raw: int, decimals: int) -> None:
        """The token account `address` gained `raw`, or lost it if that is less than 0."""
        owner = owner or address
        self.owners[address] = owner
        self.mints[address] = mint
        self.accounts[address] = self.accounts.get(address, 0) + raw
        side = self.sides.get(owner)
        if side is None:
            side = self.sides[owner] = {}
        side[mint] = side.get(mint, 0) + raw
        self.decimals[mint] = decimals
        if owner == self.wallet:
            self.own[address] = self.own.get(address, 0) + (raw if mint == SOL else 0)

    def tokens(self) -> dict[str, TokenDelta]:
        """What the wallet has more or less of, by mint, without wrapped SOL."""
        found = {}
        sides = self.sides.values()
        for mint, raw in self.sides.get(self.wallet, {}).items():
            if raw and mint != SOL:
                supply = sum([side.get(mint, 0) for side in sides])
                found[mint] = TokenDelta(raw, self.decimals[mint], supply)
        return found


class Balances(Struct, gc=False):
    """Changes of balances. Amounts of SOL are in lamports.

    wallet: who looks at them
    lamports: change of the wallet's native and wrapped SOL together
    payer: who paid the network fee
    network_fee: base and priority fee, 0 unless the wallet paid it
    base_fee: the part of it that its signatures cost
    natives: change of each account whose lamports changed
    opened: accounts that had no lamports before, where that is known
    emptied: accounts that have none afterwards, likewise
    changes: of token accounts
    """

    wallet: str
    lamports: int
    payer: str
    network_fee: int
    base_fee: int
    natives: dict[str, int]
    opened: set[str]
    emptied: set[str]
    changes: TokenChanges

    def own_rent(self) -> dict[str, int]:
        """How many more lamports each of the wallet's token accounts has beside wrapped SOL."""
        natives = self.natives
        return {
            address: natives.get(address, 0) - wrapped
            for address, wrapped in self.changes.own.items()
        }
