"""One wallet doing one thing: the moves that every kind of transaction is made of.

A scene changes nothing of the wallet until `commit`, so that one which fails on the chain can be
made like any other and then be taken back.
"""

import random
from typing import Final

from msgspec import Struct, field

from wd_tools.simulator import base58, instruction_data, rent
from wd_tools.simulator.addresses import Addresses
from wd_tools.simulator.draft import (
    MINT_LAMPORTS,
    SIGNER,
    STATIC,
    WRITABLE,
    Draft,
    Stamp,
)
from wd_tools.simulator.mints import SOL, Mint, Mints
from wd_tools.simulator.programs import (
    ASSOCIATED_TOKEN,
    COMPUTE_BUDGET,
    JITO_TIPS,
    SYSTEM,
    TOKEN_2022,
)
from wd_tools.simulator.truth import Kind, Truth

LAMPORTS: Final = 1_000_000_000
SIGNATURE_FEE: Final = 5_000  # lamports a signature
LEGACY_SHARE: Final = 0.12


class Holding(Struct, gc=False):
    """A token account of the wallet: what is in it, and the lamports that keep it alive."""

    mint: Mint
    account: str
    amount: int
    rent: int


class WalletState(Struct):
    """What a wallet has between two transactions. `prices` are lamports a whole token."""

    address: str
    lamports: int = 0
    holdings: dict[str, Holding] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)


class World(Struct):
    """What all wallets share."""

    addresses: Addresses
    mints: Mints


class Leg(Struct, frozen=True, gc=False):
    mint: Mint
    raw: int


class Scene:
    def __init__(
        self, world: World, wallet: WalletState, rng: random.Random, stamp: Stamp, sol_usd: float
    ) -> None:
        self.world = world
        self.wallet = wallet
        self.rng = rng
        self.stamp = stamp
        self.sol_usd = sol_usd
        self.draft = Draft(rng, legacy=rng.random() < LEGACY_SHARE)
        self.payer = wallet.address
        self.kind: Kind = "transfer_in"
        self.dex: str | None = None
        self.deltas: dict[str, int] = {}
        self.legs: tuple[Leg, Leg] | None = None
        self.tips = self.platform_fees = self.rent = 0
        self.swap_index = 0  # the top-level instruction that swaps
        self._kept_wsol = SOL.address in wallet.holdings

    # Who takes part

    def start(self, payer: str | None = None, *, signs: bool = True, wallet: bool = True) -> None:
        """Take the network fee from `payer` (the wallet itself if None) and set the budget.
        `signs`, `wallet`: the wallet signs, is named at all."""
        signers = 1
        if payer is not None:
            self.payer = payer
            lamports = self.rng.randint(50 * LAMPORTS, 900 * LAMPORTS)
            self.draft.account(payer, lamports, SIGNER | WRITABLE)
            signers += signs
        if wallet:
            flags = WRITABLE | (SIGNER if signs else STATIC)
            self.draft.account(self.wallet.address, self.wallet.lamports, flags)
        price = self.rng.choice((0, 1_000, 50_000, 400_000, 2_000_000))
        units = self.rng.randint(60, 400) * 1_000
        self.draft.charge(self.payer, SIGNATURE_FEE * signers + price * units // 1_000_000)
        self.draft.call(COMPUTE_BUDGET, [], instruction_data.compute_unit_limit(units))
        if price:
            self.draft.call(COMPUTE_BUDGET, [], instruction_data.compute_unit_price(price))

    def stranger(self) -> str:
        """Somebody's address, never seen again."""
        return base58.random_address(self.rng)

    def someone(self, address: str, flags: int = WRITABLE) -> str:
        """An account of somebody else, with some lamports in it."""
        self.draft.account(address, self.rng.randint(LAMPORTS // 10, 40_000 * LAMPORTS), flags)
        return address

    def their_tokens(self, owner: str, mint: Mint, at_least: int = 0) -> str:
        """Somebody else's token account, with at least so much in it."""
        account = self.world.addresses.token_account(owner, mint.address)
        amount = at_least + self.rng.randint(at_least + 1, 40 * at_least + 10**12)
        self.draft.token_account(account, mint, owner, amount, self._rent(mint))
        return account

    def _rent(self, mint: Mint) -> int:
        """Lamports that a new account of `mint` has to hold."""
        return rent.exemption(mint.space)

    # Token accounts of the wallet

    def tokens(self, mint: Mint, funder: str | None = None) -> str:
        """The wallet's account of `mint`; opened, and its rent paid, if there is none."""
        held = self.wallet.holdings.get(mint.address)
        owner = self.wallet.address
        account = held.account if held else self.world.addresses.token_account(owner, mint.address)
        if account in self.draft.tokens and self.draft.tokens[account].now is not None:
            return account
        amount, kept = (held.amount, held.rent) if held else (None, 0)
        self.draft.token_account(account, mint, owner, amount, kept, WRITABLE | STATIC)
        if held is None:
            self._open(account, mint, funder or owner)
        return account

    def _open(self, account: str, mint: Mint, funder: str) -> None:
        draft, owner = self.draft, self.wallet.address
        draft.account(owner, self.wallet.lamports, WRITABLE | STATIC)
        draft.program(SYSTEM)
        draft.program(mint.program)
        draft.account(mint.address, MINT_LAMPORTS, 0)
        accounts = [funder, account, owner, mint.address, SYSTEM, mint.program]
        create = instruction_data.CREATE_IDEMPOTENT
        draft.call(ASSOCIATED_TOKEN, accounts, create, "CreateIdempotent")
        deposit = self._rent(mint)
        data = instruction_data.system_create_account(deposit, mint.space, mint.program)
        draft.inner(SYSTEM, [funder, account], data)
        draft.move(funder, account, deposit)
        draft.open(account)
        if funder == owner:
            self.rent += deposit

    def close(self, mint: Mint) -> None:
        """Close the wallet's account of `mint`; what it holds of SOL comes back with the rent."""
        owner = self.wallet.address
        account = self.world.addresses.token_account(owner, mint.address)
        self.rent -= self.draft.deposit(account)
        self.draft.close(account, owner)
        accounts = [account, owner, owner]
        self.draft.call(mint.program, accounts, instruction_data.CLOSE_ACCOUNT, "CloseAccount")

    # Payments

    def pay(self, source: str, target: str, lamports: int, *, inner: bool = False) -> None:
        """A System program transfer."""
        data = instruction_data.system_transfer(lamports)
        if inner:
            self.draft.inner(SYSTEM, [source, target], data, height=3)
        else:
            self.draft.call(SYSTEM, [source, target], data)
        self.draft.move(source, target, lamports)

    def pay_fee(self, target: str, lamports: int, *, inner: bool = False) -> None:
        """A platform fee out of the wallet's own SOL."""
        self.pay(self.wallet.address, self.someone(target), lamports, inner=inner)
        self.platform_fees += lamports

    def tip(self, target: str | None = None) -> None:
        """To a Jito account unless `target` is given."""
        target = self.someone(target or self.rng.choice(JITO_TIPS))
        lamports = self.rng.randint(10, 5_000) * 1_000
        self.pay(self.wallet.address, target, lamports)
        self.tips += lamports

    def send(
        self, source: str, target: str, amount: int, authority: str, height: int | None = 2
    ) -> int:
        """A token transfer, as an inner instruction unless `height` is None. Returns what
        arrives."""
        draft = self.draft
        mint = draft.tokens[source].mint
        received = mint.received(amount)
        accounts = [source, target, authority]
        if mint.program == TOKEN_2022:
            accounts.insert(1, mint.address)
            draft.account(mint.address, MINT_LAMPORTS, 0)
        data, name = _transfer_data(mint, amount, received)
        if height is None:
            draft.call(mint.program, accounts, data, name)
        else:
            draft.inner(mint.program, accounts, data, name, height)
        draft.move_token(source, target, amount, received)
        return received

    # Wrapped SOL

    def wrap(self, lamports: int) -> str:
        """The wallet's wrapped SOL account, holding at least so much."""
        held = self.wallet.holdings.get(SOL.address)
        account = self.tokens(SOL)
        missing = lamports - (held.amount if held else 0)
        if missing > 0:
            self.pay(self.wallet.address, account, missing)
            self.draft.issue(account, missing)
            sync = instruction_data.SYNC_NATIVE
            self.draft.call(SOL.program, [account], sync, "SyncNative")
        return account

    def unwrap(self) -> None:
        """Close wrapped SOL again unless the wallet keeps such an account, and now and then
        even then."""
        if not self._kept_wsol or self.rng.random() < 0.02:
            self.close(SOL)

    # The end

    def change(self, mint: Mint, raw: int) -> None:
        self.deltas[mint.address] = self.deltas.get(mint.address, 0) + raw

    def trade(self, kind: Kind, dex: str, sold: Leg, bought: Leg) -> None:
        self.kind, self.dex, self.legs = kind, dex, (sold, bought)
        self.change(sold.mint, -sold.raw)
        self.change(bought.mint, bought.raw)

    def fail(self, code: int) -> None:
        """The swap fails on the chain: only the network fee is gone."""
        self.draft.fail(self.swap_index, code)
        self.kind, self.legs, self.deltas = "failed", None, {}
        self.tips = self.platform_fees = self.rent = 0

    def commit(self) -> tuple[Truth, bytes]:
        """Write what happened into the wallet; the truth, and the JSON."""
        draft, wallet = self.draft, self.wallet
        signature, raw = draft.finish(self.stamp)
        visible = wallet.address in draft.lamports
        if visible:
            wallet.lamports = draft.lamports[wallet.address]
        for account, token in draft.tokens.items():
            if token.owner != wallet.address:
                continue
            if token.now is None:
                wallet.holdings.pop(token.mint.address, None)
            else:
                deposit = draft.deposit(account)
                wallet.holdings[token.mint.address] = Holding(
                    token.mint, account, token.now, deposit
                )
        return self._truth(signature, visible), raw

    def _truth(self, signature: str, visible: bool) -> Truth:
        sold, bought = self.legs or (None, None)
        return Truth(
            signature=signature,
            slot=self.stamp.slot,
            position=self.stamp.position,
            block_time=self.stamp.block_time,
            kind=self.kind,
            dex=self.dex,
            deltas=self.deltas,
            sold_mint=sold.mint.address if sold else None,
            sold_raw=sold.raw if sold else None,
            bought_mint=bought.mint.address if bought else None,
            bought_raw=bought.raw if bought else None,
            network_fee=self.draft.fee if self.payer == self.wallet.address else 0,
            tips=self.tips,
            platform_fees=self.platform_fees,
            rent=self.rent,
            visible=visible,
        )


def _transfer_data(mint: Mint, amount: int, received: int) -> tuple[str, str]:
    if mint.fee_bps:
        data = instruction_data.token_transfer_with_fee(amount, mint.decimals, amount - received)
        return data, "TransferCheckedWithFee"
    if mint.program == TOKEN_2022:
        return instruction_data.token_transfer_checked(amount, mint.decimals), "TransferChecked"
    return instruction_data.token_transfer(amount), "Transfer"
