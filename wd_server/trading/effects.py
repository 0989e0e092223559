"""What a transaction did to one wallet's balances.

Balances decide: `meta.pre*` and `meta.post*`. Instructions only tell apart what left the wallet
beside a trade, and are read only where there may be one. Integers throughout.
"""

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from wd_server.chain.payloads import Transaction
from wd_server.trading.balances import Balances, TokenChanges, TokenDelta
from wd_server.trading.instructions import READ_PROGRAMS, Flow, calls_of, flows_of
from wd_server.trading.owners import owners_of
from wd_server.trading.programs import PROGRAMS, TRADING_KINDS, Program
from wd_server.trading.sol_postings import assumed_postings, attributed_postings

# Less SOL than this (lamports) is no leg of a trade: rounding, dust sent as advertisement.
DUST: Final = 10_000


class Effects(Struct, frozen=True, gc=False):
    """One transaction, seen from one wallet. Amounts of SOL are in lamports, times unix seconds.

    `lamports` is the change of the wallet's SOL, native and wrapped together, and
    `lamports == sol - network_fee - fees - rent - sent`, where

    - `network_fee`: base and priority fee, 0 unless this wallet paid it;
    - `fees`: tips, and what bots, front ends and venues took in SOL from the wallet;
    - `rent`: what opened accounts cost; less than 0 when closed ones gave it back;
    - `sent`: paid to somebody else beside a trade;
    - `sol`: the rest, gross of all these: what was traded, or just moved.

    Where the balances can't be a trade's, `fees` and `sent` are 0 and in `sol`. `tokens` has every
    other mint of which the wallet has more or less than before. `program` is the outermost one
    known, None if there is none or nothing can be a trade. `exact`: no number is a float's.
    """

    signature: str
    slot: int
    timestamp: int
    failed: bool
    lamports: int
    network_fee: int
    fees: int
    rent: int
    sent: int
    sol: int
    tokens: dict[str, TokenDelta]
    program: Program | None = None
    exact: bool = True


def effects_of(transaction: Transaction, wallet: str, received_at: int = 0) -> Effects:
    """What `transaction` did to `wallet`.

    `received_at` (unix seconds) stands in for a missing block time.
    """
    meta = transaction.meta
    keys = transaction.addresses
    change = _changes(keys, meta.pre_balances, meta.post_balances)
    changes = _token_changes(wallet, keys, transaction)
    own = {}
    for address, sol in changes.own.items():
        own[address] = change(address) - sol
    paid = bool(keys) and keys[0] == wallet
    balances = Balances(
        wallet=wallet,
        paid=paid,
        native=change(wallet),
        wrapped=sum(changes.own.values()),
        network_fee=meta.fee if paid else 0,
        own=own,
        change=change,
        token_accounts=changes.token_accounts,
        fee_tokens=changes.fee_tokens,
    )
    tokens = changes.tokens()
    flows = program = None
    if meta.err is None and may_be_trade(balances, tokens):
        balances.crossed = is_crossed(tokens)
        program, flows = _read_calls(transaction, keys)
    return assembled(
        balances,
        tokens,
        flows,
        signature=transaction.signature,
        slot=transaction.slot,
        timestamp=received_at if transaction.block_time is None else transaction.block_time,
        failed=meta.err is not None,
        program=program,
    )


def may_be_trade(balances: Balances, tokens: dict[str, TokenDelta]) -> bool:
    """Something went out and something may have come in. Setting fees apart only adds SOL."""
    for delta in tokens.values():
        if delta.raw < 0:
            return True
    held = balances.native + balances.wrapped + balances.network_fee
    return bool(tokens) and held + sum(balances.own.values()) < -DUST


def is_crossed(tokens: dict[str, TokenDelta]) -> bool:
    """Tokens went out and other tokens came in, leftovers aside."""
    if len(tokens) < 2:
        return False
    signs = {delta.raw > 0 for delta in tokens.values() if not delta.is_leftover}
    return len(signs) > 1


def outermost(programs: Iterable[tuple[Program, bool]]) -> Program | None:
    """The program that says what the transaction is for. `programs` are those that it calls, with
    whether the transaction does so itself.

    Among the transaction's own instructions one that isn't for trading comes first: a swap that
    pays for a deposit is a deposit. Then the first that trades. What programs call themselves
    counts only where no outer one is known: a route may pass a stake pool and stays a route.
    """
    outer = inner = None
    for program, own in programs:
        if not own:
            inner = inner or program
        elif program.kind in TRADING_KINDS:
            outer = outer or program
        else:
            return program
    return outer or inner


def assembled(
    balances: Balances,
    tokens: dict[str, TokenDelta],
    flows: Iterable[Flow] | None,
    *,
    signature: str,
    slot: int,
    timestamp: int,
    failed: bool,
    program: Program | None,
    exact: bool = True,
) -> Effects:
    """Effects from what was read; `flows` None: nobody looked at them."""
    paid = assumed_postings(balances) if flows is None else attributed_postings(balances, flows)
    lamports = balances.native + balances.wrapped
    apart = balances.network_fee + paid.fees + paid.rent + paid.sent
    return Effects(
        signature=signature,
        slot=slot,
        timestamp=timestamp,
        failed=failed,
        lamports=lamports,
        network_fee=balances.network_fee,
        fees=paid.fees,
        rent=paid.rent,
        sent=paid.sent,
        sol=lamports + apart,
        tokens=tokens,
        program=program,
        exact=exact,
    )


def _changes(keys: list[str], pre: list[int], post: list[int]) -> Callable[[str], int]:
    def change(address: str) -> int:
        try:
            at = keys.index(address)
            return post[at] - pre[at]
        except (ValueError, IndexError):
            return 0

    return change


def _token_changes(wallet: str, keys: list[str], transaction: Transaction) -> TokenChanges:
    """An account that was opened or closed is in one of the lists only."""
    meta, owners = transaction.meta, None
    changes = TokenChanges(wallet)
    count, add = len(keys), changes.add
    for sign, balances in ((-1, meta.pre_token_balances), (1, meta.post_token_balances)):
        for balance in balances or ():
            at, amount, owner = balance.account_index, balance.ui_token_amount, balance.owner
            if 0 <= at < count:
                if not owner:
                    owners = owners or owners_of(transaction, keys, wallet)
                    owner = (owners.before if sign < 0 else owners.after).get(keys[at])
                add(keys[at], balance.mint, owner, sign * int(amount.amount), amount.decimals)
    return changes


def _read_calls(transaction: Transaction, keys: list[str]) -> tuple[Program | None, list[Flow]]:
    """What the transaction is for, and what its instructions moved."""
    programs: list[tuple[Program, bool]] = []
    flows: list[Flow] = []
    for call in calls_of(transaction, keys):
        program = PROGRAMS.get(call.program)
        if program is not None:
            programs.append((program, call.outer))
        elif call.program in READ_PROGRAMS:
            flows += flows_of(call, keys)
    return outermost(programs), flows
