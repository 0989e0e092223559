"""What a transaction did to one wallet's balances.

Balances decide: `meta.pre*` and `meta.post*`. Flows, who gave what to whom, only explain them, and
are read only where something is to be explained. Integers throughout.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from wd_server.chain.payloads import Transaction
from wd_server.trading.balances import Balances, TokenChanges, TokenDelta
from wd_server.trading.instructions import READ_PROGRAMS, Flow, calls_of, flows_of
from wd_server.trading.owners import owners_of
from wd_server.trading.parties import Parties, parties_of
from wd_server.trading.programs import LOCKS, PROGRAMS, TRADING_KINDS, Program
from wd_server.trading.sol_postings import (
    Payment,
    SolPostings,
    assumed_postings,
    attributed_postings,
)

# Lamports that each signature of a transaction costs.
SIGNATURE_FEE: Final = 5_000


class Effects(Struct, frozen=True, gc=False):
    """One transaction, seen from one wallet. Amounts of SOL are in lamports.

    `lamports == sol - network_fee - rent_locked + rent_returned - rent_paid - sum of payments`.

    signature, slot: of the transaction
    timestamp: its time in unix seconds
    failed: whether only its fee was taken
    wallet: who looks at it
    paid: whether the wallet is the fee payer
    lamports: change of the wallet's SOL, native and wrapped together
    network_fee: base and priority fee, 0 unless this wallet paid it
    base_fee: the part of it that its signatures cost
    rent_locked: deposits for the wallet's own accounts
    rent_returned: what came back of such deposits
    rent_paid: deposits for other accounts; less than 0 for what came back
    payments: what it gave to who gave nothing for it: fees, tips, gifts
    sol: the rest, gross of all these: what was traded, or just moved
    tokens: every other mint of which the wallet has more or less than before
    parties: everybody else
    flows: who gave what to whom
    own: the wallet's token accounts
    mints: the mint of everybody's token accounts
    owners: whose each of them is
    program: the outermost program known, None if there is none or nothing moved
    escrow: the first program that keeps orders, likewise
    exact: no number is a float's
    """

    signature: str
    slot: int
    timestamp: int
    failed: bool
    wallet: str
    paid: bool
    lamports: int
    network_fee: int
    base_fee: int
    rent_locked: int
    rent_returned: int
    rent_paid: int
    payments: tuple[Payment, ...]
    sol: int
    tokens: dict[str, TokenDelta]
    parties: Parties = Parties()
    flows: Sequence[Flow] = ()
    own: Collection[str] = ()
    mints: Mapping[str, str] = {}
    owners: Mapping[str, str] = {}
    program: Program | None = None
    escrow: Program | None = None
    exact: bool = True


class FlowContext(Struct, frozen=True, gc=False):
    """What explains a wallet's changes. The fields are those of Effects."""

    parties: Parties = Parties()
    flows: Sequence[Flow] = ()
    program: Program | None = None
    escrow: Program | None = None


def effects_of(transaction: Transaction, wallet: str, received_at: int = 0) -> Effects:
    """What `transaction` did to `wallet`.

    `received_at` (unix seconds) stands in for a missing block time.
    """
    meta = transaction.meta
    keys = transaction.addresses
    balances = _balances(transaction, keys, wallet)
    tokens = balances.changes.tokens()
    explanation = None
    if meta.err is None and has_moved(balances, tokens):
        programs, flows = _read_calls(transaction, keys)
        explanation = explained(balances, flows, programs)
    return assembled(
        balances,
        tokens,
        explanation,
        signature=transaction.signature,
        slot=transaction.slot,
        timestamp=received_at if transaction.block_time is None else transaction.block_time,
        failed=meta.err is not None,
    )


def has_moved(balances: Balances, tokens: dict[str, TokenDelta]) -> bool:
    """Whether more than the network fee did."""
    return bool(tokens or balances.changes.own) or balances.lamports + balances.network_fee != 0


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


def explained(
    balances: Balances, flows: Sequence[Flow], programs: Sequence[tuple[Program, bool]]
) -> FlowContext:
    escrows = (
        program for program, _ in programs if program.kind == "escrow" and program.name not in LOCKS
    )
    return FlowContext(parties_of(balances, flows), flows, outermost(programs), next(escrows, None))


def assembled(
    balances: Balances,
    tokens: dict[str, TokenDelta],
    explanation: FlowContext | None,
    *,
    signature: str,
    slot: int,
    timestamp: int,
    failed: bool,
    exact: bool = True,
) -> Effects:
    """Effects from what was read; `explanation` None: nobody looked for one."""
    apart = SolPostings() if failed else _apart(balances, explanation)
    explanation = explanation or FlowContext()
    return Effects(
        signature=signature,
        slot=slot,
        timestamp=timestamp,
        failed=failed,
        wallet=balances.wallet,
        paid=balances.payer == balances.wallet,
        lamports=balances.lamports,
        network_fee=balances.network_fee,
        base_fee=balances.base_fee,
        rent_locked=apart.rent_locked,
        rent_returned=apart.rent_returned,
        rent_paid=apart.rent_paid,
        payments=apart.payments,
        sol=balances.lamports + balances.network_fee + apart.total,
        tokens=tokens,
        parties=explanation.parties,
        flows=explanation.flows,
        own=balances.changes.own,
        mints=balances.changes.mints,
        owners=balances.changes.owners,
        program=explanation.program,
        escrow=explanation.escrow,
        exact=exact,
    )


def _apart(balances: Balances, explanation: FlowContext | None) -> SolPostings:
    if explanation is None:
        return assumed_postings(balances)
    return attributed_postings(balances, explanation.parties, explanation.flows)


def balances_of(
    wallet: str,
    payer: str,
    fee: int,
    natives: dict[str, int],
    changes: TokenChanges,
    signatures: int = 1,
) -> Balances:
    """Balances of which `natives` don't have the network fee set apart yet."""
    if payer == wallet:
        own_fee = fee
    else:
        own_fee = 0
        natives[payer] = natives.get(payer, 0) + fee
    base_fee = min(own_fee, signatures * SIGNATURE_FEE)
    lamports = natives.get(wallet, 0) + sum(changes.own.values())
    return Balances(wallet, lamports, payer, own_fee, base_fee, natives, set(), set(), changes)


def _balances(transaction: Transaction, keys: list[str], wallet: str) -> Balances:
    meta, signatures = transaction.meta, transaction.transaction.signatures
    natives = {}
    opened, emptied = set(), set()
    for address, pre, post in zip(keys, meta.pre_balances, meta.post_balances, strict=False):
        if pre != post:
            natives[address] = post - pre
            if not pre:
                opened.add(address)
            elif not post:
                emptied.add(address)
    changes = _token_changes(wallet, keys, transaction)
    payer = keys[0] if keys else ""
    balances = balances_of(wallet, payer, meta.fee, natives, changes, len(signatures))
    balances.opened, balances.emptied = opened, emptied
    return balances


def _read_calls(
    transaction: Transaction, keys: list[str]
) -> tuple[list[tuple[Program, bool]], list[Flow]]:
    """Which programs the transaction calls, and what its instructions moved."""
    programs: list[tuple[Program, bool]] = []
    flows: list[Flow] = []
    for call in calls_of(transaction, keys):
        program = PROGRAMS.get(call.program)
        if program is not None:
            programs.append((program, call.outer))
        elif call.program in READ_PROGRAMS:
            flows += flows_of(call, keys)
    return programs, flows


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
