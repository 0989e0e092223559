"""Effects from Helius' enhanced objects, whole or cut down by who published them.

`accountData` has the same changes of balances as a raw transaction and decides; `type`,
`description` and `events` are guesses of the upstream's and aren't read.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from wd_server.chain.payloads import EnhancedTransaction, Instruction, NativeTransfer
from wd_server.trading.balances import Balances, TokenChanges
from wd_server.trading.effects import Effects, assembled, balances_of, explained, has_moved
from wd_server.trading.instructions import Flow, FlowKind, ProgramCall, flows_of
from wd_server.trading.programs import (
    PROGRAMS,
    SOL,
    SOL_DECIMALS,
    SOURCES,
    STABLE_DECIMALS,
    STABLE_MINTS,
)
from wd_server.trading.rent import is_rent

# Mints that end so have 6 decimals: Pump.fun makes them.
PUMP_SUFFIX: Final = "pump"
PUMP_DECIMALS: Final = 6
# A float may print more digits than a mint has decimals: what is beyond is its rounding.
PRINTED_MAX: Final = 18

Held = tuple[str, str]
"""An owner and a mint."""


def effects_of_enhanced(
    transaction: EnhancedTransaction, wallet: str, received_at: int = 0
) -> Effects:
    """What `transaction` did to `wallet`.

    `received_at` (unix seconds) stands in for a missing timestamp. A missing fee payer is the
    first account, a missing fee what all accounts lost together. Without `accountData` the
    transfers count; their amounts are floats, so `exact` is False.
    """
    exact = bool(transaction.account_data)
    balances = (
        _from_accounts(transaction, wallet) if exact else _from_transfers(transaction, wallet)
    )
    tokens = balances.changes.tokens()
    failed = transaction.transaction_error is not None
    explanation = None
    if not failed and has_moved(balances, tokens):
        calls = list(_calls(transaction))
        programs = [(PROGRAMS[one.program], one.outer) for one in calls if one.program in PROGRAMS]
        if not programs and transaction.source in SOURCES:
            programs.append((SOURCES[transaction.source], True))
        explanation = explained(
            balances, list(_flows(transaction, calls, balances.changes)), programs
        )
    timestamp = transaction.timestamp
    return assembled(
        balances,
        tokens,
        explanation,
        signature=transaction.signature,
        slot=transaction.slot,
        timestamp=received_at if timestamp is None else timestamp,
        failed=failed,
        exact=exact,
    )


def _from_accounts(transaction: EnhancedTransaction, wallet: str) -> Balances:
    """Parties whose accounts were cut off have what the transfers say."""
    accounts = transaction.account_data or []
    natives = {account.account: account.native_balance_change for account in accounts}
    known = frozenset(natives)
    payer = transaction.fee_payer or accounts[0].account
    fee = max(0, -sum(natives.values())) if transaction.fee is None else transaction.fee
    changes = TokenChanges(wallet)
    listed: set[Held] = {(wallet, SOL)}
    for account in accounts:
        for held in account.token_balance_changes or ():
            amount, owner = held.raw_token_amount, held.user_account
            listed.add((owner or "", held.mint))
            changes.add(
                held.token_account, held.mint, owner, int(amount.token_amount), amount.decimals
            )
    for moved in transaction.native_transfers or ():
        for party, sign in _moved(moved):
            if party not in known:
                natives[party] = natives.get(party, 0) + sign * moved.amount
    for (party, mint), (raw, decimals) in _transferred(transaction).items():
        if party != wallet and (party, mint) not in listed:
            changes.add(_account(party, mint), mint, party, raw, decimals)
    balances = balances_of(wallet, payer, fee, natives, changes)
    balances.emptied.update(_emptied(natives, changes))
    return balances


def _emptied(natives: dict[str, int], changes: TokenChanges) -> Iterator[str]:
    """Nobody says which accounts were closed: those that lost exactly a deposit beside the wrapped
    SOL that was in them."""
    for address, lamports in natives.items():
        wrapped = changes.accounts[address] if changes.mints.get(address) == SOL else 0
        if is_rent(wrapped - lamports):
            yield address


def _from_transfers(transaction: EnhancedTransaction, wallet: str) -> Balances:
    """Wrapped SOL that was transferred is the same value as the native transfer that unwrapped
    it: native ones count only where the wallet has no wrapped ones."""
    changes = TokenChanges(wallet)
    natives: dict[str, int] = {}
    transferred = _transferred(transaction)
    for (party, mint), (raw, decimals) in transferred.items():
        account = _account(party, mint)
        changes.add(account, mint, party, raw, decimals)
        if mint == SOL:
            natives[account] = raw
    if (wallet, SOL) not in transferred:
        for moved in transaction.native_transfers or ():
            for party, sign in _moved(moved):
                natives[party] = natives.get(party, 0) + sign * moved.amount
    payer, fee = transaction.fee_payer or "", transaction.fee or 0
    natives[payer] = natives.get(payer, 0) - fee
    return balances_of(wallet, payer, fee, natives, changes)


def _account(party: str, mint: str) -> str:
    """Stands for all accounts of a party for a mint, where their addresses aren't known."""
    return f"{party} {mint}"


def _moved(transfer: NativeTransfer) -> list[tuple[str, int]]:
    """Who gained by a transfer and who lost, with a sign."""
    parties = (transfer.from_user_account, -1), (transfer.to_user_account, 1)
    return [(party, sign) for party, sign in parties if party]


def _transferred(transaction: EnhancedTransaction) -> dict[Held, tuple[int, int]]:
    """What the transfers of tokens changed in sum, with the decimals."""
    digits: dict[str, int] = {}
    amounts: dict[Held, Decimal] = {}
    for transfer in transaction.token_transfers or ():
        mint, amount = transfer.mint, transfer.token_amount
        digits[mint] = max(digits.get(mint, 0), _digits(amount))
        for party, sign in ((transfer.from_user_account, -1), (transfer.to_user_account, 1)):
            if party:
                amounts[party, mint] = amounts.get((party, mint), Decimal(0)) + sign * amount
    return {
        held: (int(amount.scaleb(decimals)), decimals)
        for held, amount in amounts.items()
        for decimals in (_decimals(held[1], digits[held[1]]),)
    }


def _digits(amount: Decimal) -> int:
    """Behind the point, as many as count."""
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int), "the decoder lets no infinity pass"
    return min(max(0, -exponent), PRINTED_MAX)


def _decimals(mint: str, printed: int) -> int:
    """The mint's decimals where they are known, otherwise as many as were printed."""
    if mint == SOL:
        return SOL_DECIMALS
    if mint in STABLE_MINTS:
        return STABLE_DECIMALS
    return PUMP_DECIMALS if mint.endswith(PUMP_SUFFIX) else printed


def _calls(transaction: EnhancedTransaction) -> Iterator[ProgramCall]:
    for index, instruction in enumerate(transaction.instructions or ()):
        if isinstance(instruction, str):
            yield ProgramCall(instruction, Instruction(), True, index)
            continue
        program = instruction.program_id or ""
        yield ProgramCall(program, instruction, True, index)
        for inner in instruction.inner_instructions or ():
            yield ProgramCall(inner.program_id or "", inner, False, index, program)


def _flows(
    transaction: EnhancedTransaction, calls: list[ProgramCall], changes: TokenChanges
) -> Iterator[Flow]:
    """From the instructions where they are whole, otherwise from the transfers."""
    if any(call.instruction.data for call in calls):
        for call in calls:
            yield from flows_of(call, ())
        return
    for moved in transaction.native_transfers or ():
        source, target = moved.from_user_account or "", moved.to_user_account or ""
        kind: FlowKind = "create" if is_rent(moved.amount) else "transfer"
        yield Flow(kind, source, target, moved.amount, source)
    known = {
        (held.user_account, held.mint): held.token_account
        for account in transaction.account_data or ()
        for held in account.token_balance_changes or ()
    }
    for transfer in transaction.token_transfers or ():
        source, target = [
            known.get((party, transfer.mint)) or _account(party or "", transfer.mint)
            for party in (transfer.from_user_account, transfer.to_user_account)
        ]
        decimals = changes.decimals.get(transfer.mint, 0)
        raw = int(transfer.token_amount.scaleb(decimals))
        given, taken = transfer.from_user_account or "", transfer.to_user_account or ""
        kind = "mint" if not given else "burn" if not taken else "tokens"
        yield Flow(kind, source, target, raw, given, transfer.mint)
