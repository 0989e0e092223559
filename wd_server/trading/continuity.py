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
from wd_server.trading.owners import owners_of
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
        return [step for _, step in self.steps_in(wallet, [(balances, slot)])]

    def steps_in(
        self, wallet: str, transactions: Iterable[tuple[Iterable[OwnBalance] | None, int]]
    ) -> list[tuple[int, BalanceStep]]:
        """Where one of several transactions doesn't begin with what the one before it left, each
        with the number of the transaction from 0. They come as balances and slot."""
        found = []
        whole = self.whole
        left: dict[str, tuple[int | None, int]] = {}
        for number, (balances, slot) in enumerate(transactions):
            for each in balances or ():  # the wallet's own account comes first
                account, before = each.account, each.before
                raw, since = left.get(account) or self._left(account, whole)
                if account == wallet and since < 0:
                    whole = whole and not before
                    raw = before
                if since > slot:
                    continue
                if before is not None and before != raw is not None:
                    step = BalanceStep(
                        account, each.mint, each.decimals, raw, before, max(since, 0)
                    )
                    found.append((number, step))
                start = raw if before is None else before
                left[account] = (None if start is None else start + each.change, slot)
        return found

    def _left(self, account: str, whole: bool) -> tuple[int | None, int]:
        """What an account holds and since which slot; -1 if it isn't known to hold anything."""
        known = self.accounts.get(account)
        if known is not None:
            return known.raw, known.slot
        return (0 if whole else None), -1

    def take(
        self,
        wallet: str,
        balances: Iterable[OwnBalance] | None,
        slot: int,
        postings: Iterable[Posting],
    ) -> None:
        """Enter a transaction with its `postings`. `balances` None: they can't be told."""
        changes = balance_changes([each for each in postings if each.place != STEP])
        if balances is None:
            self._forget(changes, slot)
            return
        for each in balances:
            changes[each.mint] = changes.get(each.mint, 0) - self._take(wallet, each, slot)
        for mint, raw in changes.items():
            if raw:
                self._add_unexplained(mint, -raw)

    def _take(self, wallet: str, balance: OwnBalance, slot: int) -> int:
        """Returns how much more the account holds than before, as far as that was known."""
        account, change, before = balance.account, balance.change, balance.before
        known = self.accounts.get(account)
        left: int | None
        if known is not None:
            if known.slot > slot:
                return 0  # what the account holds was read later and contains this
            left = known.raw
        elif before and (account == wallet or not self.whole):
            self._open(wallet, balance, before)
            left = before
        else:
            left = 0 if self.whole or before is not None else None
        start = left if before is None else before
        raw = None if start is None else start + change
        if raw == 0 and account != wallet:
            self.accounts.pop(account, None)
        else:
            self.accounts[account] = KnownBalance(balance.mint, balance.decimals, raw, slot)
        return change if left is None or start is None else start + change - left

    def _open(self, wallet: str, balance: OwnBalance, before: int) -> None:
        """The account is seen for the first time, with something in it from before."""
        if balance.mint == SOL:
            self.opening_lamports += before
        if balance.account == wallet:
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
    owners = owners_of(transaction, keys, wallet)
    pre = _of_owner(meta.pre_token_balances, wallet, keys, owners.before)
    post = _of_owner(meta.post_token_balances, wallet, keys, owners.after)
    for at in pre | post:  # one that was opened or closed is in one of them only
        held = pre.get(at) or post[at]
        before, after = _raw(pre.get(at)), _raw(post.get(at))
        decimals = held.ui_token_amount.decimals
        found.append(OwnBalance(keys[at], held.mint, decimals, after - before, before))
    return tuple(found)


def _of_owner(
    balances: list[TokenBalance] | None, wallet: str, keys: list[str], owners: Mapping[str, str]
) -> dict[int, TokenBalance]:
    """Those of the wallet. `owners` has the accounts whose owner isn't told."""
    return {
        each.account_index: each
        for each in balances or ()
        if 0 <= each.account_index < len(keys)
        and (each.owner or owners.get(keys[each.account_index])) == wallet
    }


def _raw(balance: TokenBalance | None) -> int:
    return 0 if balance is None else int(balance.ui_token_amount.amount)


def _of_enhanced(transaction: EnhancedTransaction, wallet: str) -> tuple[OwnBalance, ...] | None:
    accounts = transaction.account_data or ()
    if not any(each.account == wallet for each in accounts):
        moved = transaction.native_transfers or ()
        cut_off = [
            each for each in moved if wallet in (each.from_user_account, each.to_user_account)
        ]
        if not accounts or cut_off:
            return None
    found = []
    for each in accounts:
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
