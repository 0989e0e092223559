"""The books held against what the chain says that the wallet's accounts hold. Pure.

An answer of the chain is as of its own slot, so it is compared with what the books had in that
slot. Two kinds of difference are told apart. An account may hold something else than its last
recorded transaction left: another one touched it since, and its own signatures name that. Or the
accounts are right, and the postings of all transactions still don't add up to them: something
changed between two transactions, and no transaction accounts for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from wd_server.chain.accounts import AccountsAnswer
from wd_server.events.event import (
    BalanceDifference,
    Reconciliation,
    ReconciliationReason,
    ReconciliationStatus,
    SolBalance,
)
from wd_server.sync.book import Book
from wd_server.trading.amounts import coin_of
from wd_server.trading.continuity import BalanceStep, KnownBalances
from wd_server.trading.programs import SOL, SOL_DECIMALS

# Tokens whose differences are listed, some 200 bytes each; all are counted.
DIFFERENCES_MAX = 20


class ComparedAccount(NamedTuple):
    """An account in the chain's answer as of `slot`; `step` leads from the books to the chain."""

    slot: int
    step: BalanceStep

    @property
    def differs(self) -> bool:
        return self.step.found != self.step.known


def is_behind(book: Book, answers: Iterable[AccountsAnswer]) -> bool:
    """The node that answered hasn't come to what is final in the books."""
    settled = 0 if book.cursor is None else book.cursor.slot
    return any(answer.slot < settled for answer in answers)


def compared(book: Book, answers: Sequence[AccountsAnswer]) -> list[ComparedAccount]:
    """Every account that the books or the answers know. One of which the books can't know what it
    holds is left out."""
    known = [book.balances_at(answer.slot) for answer in answers]
    accounts = [
        each
        for answer, balances in zip(answers, known, strict=True)
        for each in _listed(book.wallet, answer, balances)
    ]
    listed = {each.step.account for each in accounts}
    of_tokens = [
        (answer.slot, balances)
        for answer, balances in zip(answers, known, strict=True)
        if answer.lamports is None
    ]
    return accounts + list(_unlisted(book.wallet, of_tokens, listed))


def _listed(
    wallet: str, answer: AccountsAnswer, balances: KnownBalances
) -> Iterator[ComparedAccount]:
    held = [(each.account, each.mint, each.decimals, each.raw) for each in answer.tokens]
    if answer.lamports is not None:
        held.append((wallet, SOL, SOL_DECIMALS, answer.lamports))
    for account, mint, decimals, raw in held:
        known = balances.amount(account)
        if known is not None:
            since = balances.accounts.get(account)
            slot = 0 if since is None else since.slot
            step = BalanceStep(account, mint, decimals, known, raw, slot)
            yield ComparedAccount(answer.slot, step)


def _unlisted(
    wallet: str, known: list[tuple[int, KnownBalances]], listed: set[str]
) -> Iterator[ComparedAccount]:
    """Token accounts that hold something by the books and aren't there. Which program an account
    belongs to isn't known, so it has to be missing as of every answer's slot."""
    if not known:
        return
    slot, newest = max(known, key=lambda each: each[0])
    for account, held in newest.accounts.items():
        missing = account not in listed and account != wallet
        if missing and held.raw and all(balances.amount(account) for _, balances in known):
            step = BalanceStep(account, held.mint, held.decimals, held.raw, 0, held.slot)
            yield ComparedAccount(slot, step)


def reconciliation(
    book: Book, answers: Sequence[AccountsAnswer], checked_at: int
) -> Reconciliation:
    """What came of the comparison; `checked_at` in unix seconds."""
    by_mint: dict[str, list[BalanceStep]] = {}
    for each in compared(book, answers):
        by_mint.setdefault(each.step.mint, []).append(each.step)
    unexplained = book.balances.unexplained
    for mint in unexplained.keys() - by_mint.keys():
        by_mint[mint] = []
    sol = _sol(by_mint.pop(SOL, []), unexplained.get(SOL, 0))
    differences = []
    agree = 0
    for mint, steps in by_mint.items():
        difference = _difference(mint, steps, unexplained.get(mint, 0))
        if difference is not None:
            differences.append(difference)
        else:
            agree += any(step.found for step in steps)
    status: ReconciliationStatus = "differs" if differences or sol.difference else "agrees"
    reason: ReconciliationReason | None = None if book.balances.whole else "truncated"
    if status == "differs" and unexplained:
        reason = "unexplained"
    return Reconciliation(
        status=status,
        reason=reason,
        slot=min(answer.slot for answer in answers),
        sol=sol,
        tokens_agree=agree,
        tokens_differ=len(differences),
        differences=differences[:DIFFERENCES_MAX],
        opening_sol=coin_of(book.balances.opening_lamports),
        closing_sol=coin_of(book.balances.lamports),
        checked_at=checked_at,
    )


def unavailable(book: Book, reason: ReconciliationReason, checked_at: int) -> Reconciliation:
    """The chain's side isn't known."""
    return Reconciliation(
        status="unavailable",
        reason=reason,
        slot=None,
        sol=None,
        tokens_agree=0,
        tokens_differ=0,
        differences=(),
        opening_sol=coin_of(book.balances.opening_lamports),
        closing_sol=coin_of(book.balances.lamports),
        checked_at=checked_at,
    )


def _sol(steps: list[BalanceStep], unexplained: int) -> SolBalance:
    chain = sum(step.found for step in steps)
    difference = chain - sum(step.known for step in steps) + unexplained
    return SolBalance(coin_of(chain), coin_of(chain - difference), coin_of(difference))


def _difference(mint: str, steps: list[BalanceStep], unexplained: int) -> BalanceDifference | None:
    chain = sum(step.found for step in steps)
    difference = chain - sum(step.known for step in steps) + unexplained
    if not difference:
        return None
    accounts = [step.account for step in steps if step.found != step.known]
    account = accounts[0] if len(accounts) == 1 and not unexplained else None
    decimals = steps[0].decimals if steps else 0
    return BalanceDifference(mint, account, decimals, str(chain), str(chain - difference))
