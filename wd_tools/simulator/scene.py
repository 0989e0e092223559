"""One wallet doing one thing: the moves that every kind of transaction is made of.

A scene changes nothing of the wallet until `commit`, so that one which fails on the chain can be
made like any other and then be taken back.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from msgspec import Struct, field

from wd_tools.simulator import base58, instruction_data
from wd_tools.simulator.addresses import Addresses
from wd_tools.simulator.draft import (
    MINT_LAMPORTS,
    SIGNER,
    STATIC,
    WRITABLE,
    Draft,
    Stamp,
)
from wd_tools.simulator.mints import SOL, STABLES, Mint, Mints
from wd_tools.simulator.programs import (
    ASSOCIATED_TOKEN,
    COMPUTE_BUDGET,
    JITO_TIPS,
    SYSTEM,
    TOKEN,
    TOKEN_2022,
)
from wd_tools.simulator.rent import Rent
from wd_tools.simulator.truth import Action, Kind, Posting, PostingKind, TradeTruth, Truth

LAMPORTS: Final = 1_000_000_000
SIGNATURE_FEE: Final = 5_000  # lamports a signature
LEGACY_SHARE: Final = 0.12
# Micro-lamports a unit: what is usual, and what somebody in a hurry offers.
PRIORITY_PRICES: Final = (0, 1_000, 50_000, 400_000, 2_000_000)
URGENT_PRICE: Final = 20_000_000
NETWORK: Final = ("network_fee", "priority_fee")
UNPRICED: Final = ("received", "reward")
# Unix time of November 2021: token balances of older blocks don't say who owns them.
OWNERS_SINCE: Final = 1_635_724_800

Place = Literal["jupiter_limit", "jupiter_dca", "kamino", "obligation", "stake", "friend"]


class Holding(Struct, gc=False):
    """A token account of the wallet: what is in it, and the lamports that keep it alive."""

    mint: Mint
    account: str
    amount: int
    rent: int


class Deposit(Struct, frozen=True):
    """What somebody keeps for the wallet: an order, a loan, a stake account, a friend.

    account: of the order, the obligation or the stake; the friend's own
    mint, raw: what is kept
    rent: lamports that `account` holds beside it
    vault, vault_rent: the order's token account for `mint`, and the lamports that keep it alive
    wanted: what an order buys
    slices: in so many more parts
    """

    place: Place
    account: str
    mint: Mint
    raw: int
    rent: int = 0
    vault: str = ""
    vault_rent: int = 0
    wanted: Mint | None = None
    slices: int = 1


class Rearrangement(Struct, frozen=True):
    """What a transaction did to the wallet's deposits."""

    removed: tuple[Deposit, ...] = ()
    added: tuple[Deposit, ...] = ()

    def apply(self, deposits: tuple[Deposit, ...]) -> tuple[Deposit, ...] | None:
        """None if one that it removes isn't there."""
        left = list(deposits)
        for one in self.removed:
            if one not in left:
                return None
            left.remove(one)
        return (*left, *self.added)

    @property
    def inverse(self) -> "Rearrangement":
        return Rearrangement(self.added, self.removed)


class WalletState(Struct):
    """What a wallet has between two transactions.

    prices: lamports a whole token
    doubtful: mints of which it got units without a price, so that their cost isn't known
    """

    address: str
    lamports: int = 0
    holdings: dict[str, Holding] = field(default_factory=dict)
    deposits: tuple[Deposit, ...] = ()
    prices: dict[str, float] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)

    def kept_by(self, place: Place) -> list[Deposit]:
        return [one for one in self.deposits if one.place == place]


class World(Struct):
    """What all wallets share."""

    addresses: Addresses
    mints: Mints
    rent: Rent


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
        self.old = stamp.block_time < OWNERS_SINCE
        legacy = rng.random() < LEGACY_SHARE or self.old
        self.draft = Draft(rng, legacy=legacy, owners=not self.old)
        self.payer = wallet.address
        self.kind: Kind = "transfer_in"
        self.dex: str | None = None
        self.trades: list[TradeTruth] = []
        self.postings: list[Posting] = []
        self.removed: list[Deposit] = []
        self.added: list[Deposit] = []
        self.doubtful: set[str] = set()  # mints of which it gets units without a price
        self.urgent = False
        self._batch: list[tuple[list[str], str]] | None = None
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
        price = URGENT_PRICE if self.urgent else self.rng.choice(PRIORITY_PRICES)
        units = self.rng.randint(60, 400) * 1_000
        base, priority = SIGNATURE_FEE * signers, price * units // 1_000_000
        self.draft.charge(self.payer, base + priority)
        if payer is None:
            self.post("network_fee", SOL, -base)
            self.post("priority_fee", SOL, -priority)
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
        self.draft.token_account(account, mint, owner, amount, self.rent(mint.space))
        return account

    def open_theirs(self, owner: str, mint: Mint) -> str:
        """Somebody else's token account, opened and paid for by the wallet."""
        account = self.world.addresses.token_account(owner, mint.address)
        self.draft.token_account(account, mint, owner, None, 0)
        self._create(account, mint, owner, self.wallet.address)
        self.post("rent_paid", SOL, -self.rent(mint.space))
        return account

    def rent(self, space: int) -> int:
        """Lamports that a new account of so many bytes has to hold."""
        return self.world.rent.exemption(space, self.stamp.block_time)

    # Token accounts of the wallet

    def own_account(self, mint: Mint) -> str:
        """Where the wallet holds `mint`, whether or not there is such an account."""
        return self.world.addresses.associated(self.wallet.address, mint.address, mint.program)

    def tokens(self, mint: Mint, funder: str | None = None) -> str:
        """The wallet's account of `mint`; opened, and its rent paid, if there is none."""
        held = self.wallet.holdings.get(mint.address)
        owner = self.wallet.address
        account = held.account if held else self.own_account(mint)
        if account in self.draft.tokens and self.draft.tokens[account].now is not None:
            return account
        amount, kept = (held.amount, held.rent) if held else (None, 0)
        self.draft.token_account(account, mint, owner, amount, kept, WRITABLE | STATIC)
        if held is None:
            self._open(account, mint, funder or owner)
        return account

    def _open(self, account: str, mint: Mint, funder: str) -> None:
        owner = self.wallet.address
        self.draft.account(owner, self.wallet.lamports, WRITABLE | STATIC)
        self._create(account, mint, owner, funder)
        if funder == owner:
            self.post("rent_locked", SOL, -self.rent(mint.space))

    def _create(self, account: str, mint: Mint, owner: str, funder: str) -> None:
        """By the Associated Token program."""
        draft = self.draft
        draft.program(SYSTEM)
        draft.program(mint.program)
        draft.account(mint.address, MINT_LAMPORTS, 0)
        accounts = [funder, account, owner, mint.address, SYSTEM, mint.program]
        create = instruction_data.CREATE_IDEMPOTENT
        draft.call(ASSOCIATED_TOKEN, accounts, create, "CreateIdempotent")
        deposit = self.rent(mint.space)
        data = instruction_data.system_create_account(deposit, mint.space, mint.program)
        draft.inner(SYSTEM, [funder, account], data)
        draft.move(funder, account, deposit)
        draft.open(account)

    def close(self, mint: Mint) -> None:
        """Close the wallet's account of `mint`; what it holds of SOL comes back with the rent."""
        owner = self.wallet.address
        account = self.own_account(mint)
        self._unlock(account)
        self.draft.close(account, owner)
        accounts = [account, owner, owner]
        self.draft.call(mint.program, accounts, instruction_data.CLOSE_ACCOUNT, "CloseAccount")

    def _unlock(self, account: str) -> None:
        """The deposit of an account comes back. What was opened on the way only locked none."""
        deposit = self.draft.deposit(account)
        locked = Posting("rent_locked", SOL.address, -deposit)
        if self.draft.tokens[account].before is None and locked in self.postings:
            self.postings.remove(locked)
        else:
            self.post("rent_returned", SOL, deposit)

    def close_to(self, target: str) -> None:
        """Close the wrapped SOL account straight to somebody else, with all that is in it."""
        owner, account = self.wallet.address, self.own_account(SOL)
        lamports = self.draft.lamports[account]
        self._unlock(account)
        self.draft.close(account, self.someone(target))
        accounts = [account, target, owner]
        self.draft.call(SOL.program, accounts, instruction_data.CLOSE_ACCOUNT, "CloseAccount")
        self.post("sent", SOL, -lamports, counterparty=target)

    # Accounts of programs and of others

    def open_account(self, address: str, space: int, program: str, kind: PostingKind) -> int:
        """The last instruction opens an account of `program`, for a deposit of the wallet's.
        Returns that."""
        deposit, owner = self.rent(space), self.wallet.address
        self.draft.account(address, 0)
        data = instruction_data.system_create_account(deposit, space, program)
        self.draft.inner(SYSTEM, [owner, address], data)
        self.draft.move(owner, address, deposit)
        self.post(kind, SOL, -deposit)
        return deposit

    def open_tokens(self, account: str, mint: Mint, owner: str, kind: PostingKind) -> int:
        """The last instruction opens a token account of `owner`, likewise."""
        self.draft.token_account(account, mint, owner, None, 0)
        deposit = self.open_account(account, mint.space, mint.program, kind)
        data = instruction_data.token_initialize_account(owner)
        self.draft.inner(mint.program, [account, mint.address], data, "InitializeAccount3")
        self.draft.open(account)
        return deposit

    def close_tokens(self, account: str, owner: str) -> None:
        """The last instruction closes a token account of `owner` to the wallet."""
        target = self.wallet.address
        self.post("rent_returned", SOL, self.draft.deposit(account))
        self.draft.close(account, target)
        program, accounts = self.draft.tokens[account].mint.program, [account, target, owner]
        self.draft.inner(program, accounts, instruction_data.CLOSE_ACCOUNT, "CloseAccount")

    def close_account(self, address: str) -> None:
        """A program gives an account of its own back to the wallet, without an instruction."""
        deposit = self.draft.lamports[address]
        self.draft.move(address, self.wallet.address, deposit)
        self.post("rent_returned", SOL, deposit)

    # Payments

    def pay(self, source: str, target: str, lamports: int, height: int | None = None) -> None:
        """A System program transfer; with a `height`, as an inner instruction."""
        data = instruction_data.system_transfer(lamports)
        if height is None:
            self.draft.call(SYSTEM, [source, target], data)
        else:
            self.draft.inner(SYSTEM, [source, target], data, height=height)
        self.draft.move(source, target, lamports)

    def pay_fee(self, target: str, lamports: int, height: int | None = None) -> None:
        """A platform fee out of the wallet's own SOL."""
        self.pay(self.wallet.address, self.someone(target), lamports, height)
        self.post("platform_fee", SOL, -lamports)

    def tip(self, target: str | None = None, lamports: int | None = None) -> None:
        """To a Jito account unless `target` is given."""
        target = self.someone(target or self.rng.choice(JITO_TIPS))
        lamports = lamports or self.rng.randint(10, 5_000) * 1_000
        self.pay(self.wallet.address, target, lamports)
        self.post("tip", SOL, -lamports)

    def send(
        self, source: str, target: str, amount: int, authority: str, height: int | None = 2
    ) -> int:
        """A token transfer, as an inner instruction unless `height` is None. Returns what
        arrives."""
        draft = self.draft
        mint = draft.tokens[source].mint
        received = mint.received(amount)
        accounts = [source, target, authority]
        if self._batch is not None:
            self._batch.append((accounts, instruction_data.token_transfer(amount)))
            draft.move_token(source, target, amount)
            return amount
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

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is sent meanwhile, of plain tokens, is one p-token Batch of the last instruction."""
        self._batch = []
        yield
        items, self._batch = self._batch, None
        accounts = [address for named, _ in items for address in named]
        data = instruction_data.token_batch([(len(named), data) for named, data in items])
        self.draft.inner(TOKEN, accounts, data, "Batch")

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
        even then; or only take the SOL out of it."""
        choice = self.rng.random()
        if not self._kept_wsol or choice < 0.02:
            self.close(SOL)
        elif choice < 0.1:
            self.take_out()

    def take_out(self) -> None:
        """p-token's UnwrapLamports: all SOL leaves the wrapped SOL account, which stays."""
        owner, account = self.wallet.address, self.own_account(SOL)
        amount = self.draft.tokens[account].now
        assert amount is not None
        accounts = [account, owner, owner]
        data = instruction_data.unwrap_lamports(None)
        self.draft.call(SOL.program, accounts, data, "UnwrapLamports")
        self.draft.issue(account, -amount)
        self.draft.move(account, owner, amount)

    # The end

    def post(
        self,
        kind: PostingKind,
        mint: Mint,
        raw: int,
        *,
        place: str = "",
        counterparty: str = "",
        part: int = 0,
    ) -> None:
        if raw:
            self.postings.append(Posting(kind, mint.address, raw, place, counterparty, part))

    def trade(self, dex: str, sold: Leg, bought: Leg) -> Action:
        """One more trade of this transaction."""
        part, action = len(self.trades), _action(sold.mint, bought.mint)
        self.dex = dex
        self.trades.append(
            TradeTruth(part, action, sold.mint.address, sold.raw, bought.mint.address, bought.raw)
        )
        self.post("sold", sold.mint, -sold.raw, part=part)
        self.post("bought", bought.mint, bought.raw, part=part)
        return action

    def burn(self, leg: Leg) -> None:
        """A trade for nothing: no SOL comes for what is burned."""
        part, mint = len(self.trades), leg.mint
        self.trades.append(TradeTruth(part, "burn", mint.address, leg.raw, SOL.address, 0))
        self.post("burned", mint, -leg.raw, part=part)

    def fail(self, code: int) -> None:
        """The swap fails on the chain: only the network fee is gone."""
        self.draft.fail(self.swap_index, code)
        self.kind, self.trades = "failed", []
        self.removed, self.added = [], []
        self.postings = [one for one in self.postings if one.kind in NETWORK]

    def give(self, deposit: Deposit) -> None:
        """Somebody keeps this from now on."""
        self.added.append(deposit)

    def take(self, deposit: Deposit) -> None:
        """Nobody keeps this any more."""
        self.removed.append(deposit)

    @property
    def rearrangement(self) -> Rearrangement:
        return Rearrangement(tuple(self.removed), tuple(self.added))

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
        deposits = self.rearrangement.apply(wallet.deposits)
        assert deposits is not None
        wallet.deposits = deposits
        self._judge()
        return self._truth(signature, visible), raw

    def _judge(self) -> None:
        """Which holdings have units of unknown cost now."""
        wallet, doubtful = self.wallet, self.wallet.doubtful
        doubtful |= self.doubtful
        doubtful.update(one.mint for one in self.postings if one.kind in UNPRICED)
        for one in self.trades:
            if one.sold_mint in doubtful:
                doubtful.add(one.bought_mint)
        for mint in tuple(doubtful):
            held = wallet.holdings.get(mint)
            kept = any(one.mint.address == mint for one in wallet.deposits)
            if not kept and (held is None or not held.amount):
                doubtful.remove(mint)
        doubtful.discard(SOL.address)

    def _truth(self, signature: str, visible: bool) -> Truth:
        return Truth(
            signature=signature,
            slot=self.stamp.slot,
            position=self.stamp.position,
            block_time=self.stamp.block_time,
            kind=self.kind,
            dex=self.dex,
            trades=tuple(self.trades),
            postings=tuple(self.postings),
            visible=visible,
        )


def _action(sold: Mint, bought: Mint) -> Action:
    """SOL is the quote before a stable coin, a stable coin before everything else."""
    for quote in (SOL, *STABLES):
        if sold is quote:
            return "buy"
        if bought is quote:
            return "sell"
    return "swap"


def _transfer_data(mint: Mint, amount: int, received: int) -> tuple[str, str]:
    if mint.fee_bps:
        data = instruction_data.token_transfer_with_fee(amount, mint.decimals, amount - received)
        return data, "TransferCheckedWithFee"
    if mint.program == TOKEN_2022:
        return instruction_data.token_transfer_checked(amount, mint.decimals), "TransferChecked"
    return instruction_data.token_transfer(amount), "Transfer"
