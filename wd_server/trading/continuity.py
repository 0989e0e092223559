"""Whether each transaction begins with what the one before it left. Pure.

The wallet's SOL lies under its own address, its tokens lie in its token accounts. What a
transaction finds there is what the last one that touched the account left:

    transaction   wallet             a token account
    1             0 -> 100           (opened) 0 -> 7
    2             100 -> 90          -
    3             90 -> 80           9 -> 0

The third finds 2 tokens more than the first left. That is a *step*: a transaction is missing that
brought them, or nothing on the chain accounts for them.
"""

from collections.abc import Iterable, Mapping
from typing import Self

from msgspec import Struct

from wd_server.chain.payloads import EnhancedTransaction, TokenBalance, Transaction
from wd_server.trading.postings import Posting, balance_changes
from wd_server.trading.programs import SOL, SOL_DECIMALS

# `place` of an `unexplained` posting that stands for a step before its transaction.
STEP = "step"


class OwnBalance(Struct, frozen=True, array_like=True, gc=False):
    """What a transaction did to one account of the wallet.

    account: the wallet's own address for its SOL, else a token account
    mint: SOL stands under the wrapped SOL mint, as in postings
    decimals: of the mint
    change: in the smallest unit
    before: what it held before, in the smallest unit; None where only the change is known
    """

    account: str
    mint: str
    decimals: int
    change: int
    before: int | None


class KnownBalance(Struct, frozen=True, array_like=True, gc=False):
    """What an account held after the last transaction that touched it.

    mint, decimals: of what it holds
    raw: in the smallest unit; None if a transaction changed it by an unknown amount
    slot: of that transaction
    """

    mint: str
    decimals: int
    raw: int | None
    slot: int


class BalanceStep(Struct, frozen=True, gc=False):
    """A transaction found something else in an account than was left there.

    known: what was left, in the smallest unit
    found: what the transaction found
    slot: of the transaction that left it; 0 if none is known
    """

    account: str
    mint: str
    decimals: int
    known: int
    found: int
    slot: int

    @property
    def posting(self) -> Posting:
        return Posting("unexplained", self.mint, self.found - self.known, self.decimals, place=STEP)


class KnownBalances(Struct, array_like=True):
    """What the accounts of a wallet hold, as far as its transactions were read.

    accounts: those that hold something, and the wallet's own; an account that isn't there holds
        nothing if all of the wallet's history was read
    unexplained: by mint, what the accounts have more than the postings of the transactions add up
        to; sums of 0 are left out
    opening_lamports: SOL that was there before the first transaction that was read
    whole: the first transaction of the wallet is among those that were read
    """

    accounts: dict[str, KnownBalance] = {}
    unexplained: dict[str, int] = {}
    opening_lamports: int = 0
    whole: bool = True

    def copy(self) -> Self:
        return type(self)(
            dict(self.accounts), dict(self.unexplained), self.opening_lamports, self.whole
        )

    @property
    def lamports(self) -> int:
        """SOL, native and wrapped together."""
        return sum(each.raw or 0 for each in self.accounts.values() if each.mint == SOL)

    def amount(self, account: str) -> int | None:
        """What the account holds; None if that isn't known."""
        known = self.accounts.get(account)
        if known is not None:
            return known.raw
        return 0 if self.whole else None

    def steps(
        self, wallet: str, balances: Iterable[OwnBalance] | None, slot: int
    ) -> list[BalanceStep]:
        """Where a transaction in `slot` doesn't begin with what is known."""
        found = []
        whole = self.whole
        for each in balances or ():  # the wallet's own account comes first
            known = self.accounts.get(each.account)
            if known is None and each.account == wallet and each.before:
                whole = False
            raw = self._left(wallet, each.account) if whole or known is not None else None
            is_late = known is not None and known.slot > slot
            if each.before is None or raw is None or raw == each.before or is_late:
                continue
            since = 0 if known is None else known.slot
            found.append(
                BalanceStep(each.account, each.mint, each.decimals, raw, each.before, since)
            )
        return found

    def take(
        self,
        wallet: str,
        balances: Iterable[OwnBalance] | None,
        slot: int,
        postings: Iterable[Posting],
    ) -> None:
        """Enter a transaction with its `postings`. `balances` None: they can't be told."""
        changes = balance_changes(each for each in postings if each.place != STEP)
        if balances is None:
            self._forget(changes, slot)
            return
        for each in balances:
            self._add_unexplained(each.mint, each.change)
            self._take(wallet, each, slot)
        for mint, raw in changes.items():
            self._add_unexplained(mint, -raw)

    def _left(self, wallet: str, account: str) -> int | None:
        """As `amount`; of the wallet's own account nothing is known before it is seen."""
        if account == wallet and account not in self.accounts:
            return None
        return self.amount(account)

    def _take(self, wallet: str, balance: OwnBalance, slot: int) -> None:
        account, mint = balance.account, balance.mint
        known = self.accounts.get(account)
        if known is not None and known.slot > slot:
            # The account was read after this transaction, so that what it holds contains this.
            self._add_unexplained(mint, -balance.change)
            return
        left, before = self._left(wallet, account), balance.before
        if left is None and before is not None:
            if known is None:
                self._open(wallet, balance, before)
        elif left is not None and before is not None:
            self._add_unexplained(mint, before - left)
        elif account == wallet and known is None:
            left = 0 if self.whole else None
        start = left if before is None else before
        raw = None if start is None else start + balance.change
        if raw == 0 and account != wallet:
            self.accounts.pop(account, None)
        else:
            self.accounts[account] = KnownBalance(mint, balance.decimals, raw, slot)

    def _open(self, wallet: str, balance: OwnBalance, before: int) -> None:
        """The account is seen for the first time, with something in it from before."""
        if balance.mint == SOL:
            self.opening_lamports += before
        if balance.account == wallet and before:
            self.whole = False

    def _forget(self, changes: Mapping[str, int], slot: int) -> None:
        """Accounts of these mints hold something else now."""
        for account, known in self.accounts.items():
            if known.mint in changes:
                self.accounts[account] = KnownBalance(known.mint, known.decimals, None, slot)

    def _add_unexplained(self, mint: str, raw: int) -> None:
        total = self.unexplained.get(mint, 0) + raw
        if total:
            self.unexplained[mint] = total
        else:
            self.unexplained.pop(mint, None)


def own_balances(
    transaction: Transaction | EnhancedTransaction, wallet: str
) -> tuple[OwnBalance, ...] | None:
    """What the transaction did to each of the wallet's accounts; None if it doesn't tell."""
    if isinstance(transaction, EnhancedTransaction):
        return _of_enhanced(transaction, wallet)
    return _of_raw(transaction, wallet)


def _of_raw(transaction: Transaction, wallet: str) -> tuple[OwnBalance, ...]:
    meta, keys = transaction.meta, transaction.addresses
    found: list[OwnBalance] = []
    if wallet in keys:
        at = keys.index(wallet)
        if at < len(meta.pre_balances) and at < len(meta.post_balances):
            before = meta.pre_balances[at]
            change = meta.post_balances[at] - before
            found.append(OwnBalance(wallet, SOL, SOL_DECIMALS, change, before))
    pre, post = (
        {each.account_index: each for each in balances or () if each.owner == wallet}
        for balances in (meta.pre_token_balances, meta.post_token_balances)
    )
    for at in {**pre, **post}:  # one that was opened or closed is in one of them only
        if 0 <= at < len(keys):
            held = pre.get(at) or post[at]
            before, after = _raw(pre.get(at)), _raw(post.get(at))
            decimals = held.ui_token_amount.decimals
            found.append(OwnBalance(keys[at], held.mint, decimals, after - before, before))
    return tuple(found)


def _raw(balance: TokenBalance | None) -> int:
    return 0 if balance is None else int(balance.ui_token_amount.amount)


def _of_enhanced(transaction: EnhancedTransaction, wallet: str) -> tuple[OwnBalance, ...] | None:
    if not transaction.account_data:
        return None
    found = []
    for each in transaction.account_data:
        if each.account == wallet:
            found.append(OwnBalance(wallet, SOL, SOL_DECIMALS, each.native_balance_change, None))
        for held in each.token_balance_changes or ():
            if held.user_account == wallet:
                amount = held.raw_token_amount
                change = int(amount.token_amount)
                found.append(
                    OwnBalance(held.token_account, held.mint, amount.decimals, change, None)
                )
    return tuple(found)
