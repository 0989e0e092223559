"""Effects from Helius' enhanced objects, whole or cut down by who published them.

`accountData` has the same changes of balances as a raw transaction and decides; `type`,
`description` and `events` are guesses of the upstream's and aren't read.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from wd_server.chain.payloads import EnhancedTransaction, Instruction
from wd_server.trading.balances import Balances, TokenChanges, TokenDelta
from wd_server.trading.effects import (
    Effects,
    assembled,
    is_crossed,
    may_be_trade,
    outermost,
)
from wd_server.trading.instructions import Flow, FlowKind, ProgramCall, flows_of
from wd_server.trading.programs import (
    FEE_ACCOUNTS,
    PROGRAMS,
    SOL,
    SOL_DECIMALS,
    SOURCES,
    STABLE_DECIMALS,
    STABLE_MINTS,
    Program,
)
from wd_server.trading.sol_postings import is_rent

# Mints that end so have 6 decimals: Pump.fun makes them.
PUMP_SUFFIX: Final = "pump"
PUMP_DECIMALS: Final = 6
# A float may print more digits than a mint has decimals: what is beyond is its rounding.
PRINTED_MAX: Final = 18


def effects_of_enhanced(
    transaction: EnhancedTransaction, wallet: str, received_at: int = 0
) -> Effects:
    """What `transaction` did to `wallet`.

    `received_at` (unix seconds) stands in for a missing timestamp. A missing fee payer is the
    first account, a missing fee what all accounts lost together. Without `accountData` the
    transfers count; their amounts are floats, so `exact` is False.
    """
    exact = bool(transaction.account_data)
    if exact:
        balances, tokens = _from_accounts(transaction, wallet)
    else:
        balances, tokens = _from_transfers(transaction, wallet)
    failed = transaction.transaction_error is not None
    flows: list[Flow] | None = None
    program = None
    if not failed and may_be_trade(balances, tokens):
        balances.crossed = is_crossed(tokens)
        calls = list(_calls(transaction))
        program = outermost(_programs(calls)) or SOURCES.get(transaction.source)
        flows = list(_flows(transaction, calls, balances))
    timestamp = transaction.timestamp
    return assembled(
        balances,
        tokens,
        flows,
        signature=transaction.signature,
        slot=transaction.slot,
        timestamp=received_at if timestamp is None else timestamp,
        failed=failed,
        program=program,
        exact=exact,
    )


def _from_accounts(
    transaction: EnhancedTransaction, wallet: str
) -> tuple[Balances, dict[str, TokenDelta]]:
    accounts = transaction.account_data or []
    natives = {account.account: account.native_balance_change for account in accounts}
    payer = transaction.fee_payer or accounts[0].account
    fee = max(0, -sum(natives.values())) if transaction.fee is None else transaction.fee
    changes = TokenChanges(wallet)
    for account in accounts:
        for held in account.token_balance_changes or ():
            amount = held.raw_token_amount
            raw = int(amount.token_amount)
            changes.add(held.token_account, held.mint, held.user_account, raw, amount.decimals)
    balances = Balances(
        wallet=wallet,
        paid=payer == wallet,
        native=natives.get(wallet, 0),
        wrapped=sum(changes.own.values()),
        network_fee=fee if payer == wallet else 0,
        own={address: natives.get(address, 0) - sol for address, sol in changes.own.items()},
        change=lambda address: natives.get(address, 0),
        token_accounts=changes.token_accounts,
        fee_tokens=changes.fee_tokens,
    )
    return balances, changes.tokens()


def _from_transfers(
    transaction: EnhancedTransaction, wallet: str
) -> tuple[Balances, dict[str, TokenDelta]]:
    """Wrapped SOL that was transferred is the same value as the native transfer that unwrapped
    it: native ones count only where no wrapped ones are."""
    amounts: dict[str, Decimal] = {}
    digits: dict[str, int] = {}
    for transfer in transaction.token_transfers or ():
        mint, amount = transfer.mint, transfer.token_amount
        digits[mint] = max(digits.get(mint, 0), _digits(amount))
        for party, sign in ((transfer.from_user_account, -1), (transfer.to_user_account, 1)):
            if party == wallet:
                amounts[mint] = amounts.get(mint, Decimal(0)) + sign * amount
    raws = {
        mint: (int(amount.scaleb(decimals)), decimals)
        for mint, amount in amounts.items()
        for decimals in (_decimals(mint, digits[mint]),)
    }
    native = 0
    if SOL not in raws:
        for moved in transaction.native_transfers or ():
            native += moved.amount * (moved.to_user_account == wallet)
            native -= moved.amount * (moved.from_user_account == wallet)
    paid = transaction.fee_payer == wallet
    fee = (transaction.fee or 0) if paid else 0
    balances = Balances(
        wallet=wallet,
        paid=paid,
        native=native - fee,
        wrapped=raws.pop(SOL, (0, 0))[0],
        network_fee=fee,
        own={},
        change=lambda _: 0,
    )
    return balances, {mint: TokenDelta(*both) for mint, both in raws.items() if both[0]}


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


def _programs(calls: list[ProgramCall]) -> Iterator[tuple[Program, bool]]:
    for call in calls:
        if call.program in PROGRAMS:
            yield PROGRAMS[call.program], call.outer


def _flows(
    transaction: EnhancedTransaction, calls: list[ProgramCall], balances: Balances
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
    for transfer in transaction.token_transfers or ():
        target = transfer.to_user_account or ""
        if transfer.mint == SOL and target in FEE_ACCOUNTS:
            balances.fee_tokens.add(target)
            lamports = int(transfer.token_amount.scaleb(SOL_DECIMALS))
            yield Flow("tokens", "", target, lamports, transfer.from_user_account or "", SOL)
