"""The SOL that a wallet paid beside a trade, summed up by kind: fees, rent, payments."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from wd_server.trading.balances import Balances
from wd_server.trading.instructions import Flow
from wd_server.trading.programs import FEE_ACCOUNTS

# Up to this (lamports), or this part of the trade's SOL, a transfer that the wallet makes beside
# its trade to an account that isn't listed is a tip or a bot's fee; above it the wallet paid
# somebody. Tips seen: 0.00001 to 0.06 SOL; bots take 0.5 to 1 %.
UNLISTED_FEE_MAX: Final = 100_000_000
UNLISTED_FEE_PART: Final = 50

# Rent exemption: 3,480 lamports a byte and year, two years, 128 bytes beside the data.
RENT_PER_BYTE: Final = 6_960
RENT_MIN: Final = 128 * RENT_PER_BYTE


class SolPostings(Struct, frozen=True, gc=False):
    """Lamports by kind of posting. `Effects` explains the three kinds."""

    fees: int
    rent: int
    sent: int


def is_rent(lamports: int) -> bool:
    """Exactly what some account's rent exemption takes. No round number of SOL is."""
    return lamports >= RENT_MIN and lamports % RENT_PER_BYTE == 0


def assumed_postings(balances: Balances) -> SolPostings:
    """Without looking at instructions: who pays the fee pays the rent and gets it back."""
    own = balances.own.values()
    return SolPostings(0, sum(rent for rent in own if rent < 0 or balances.paid), 0)


def attributed_postings(balances: Balances, flows: Iterable[Flow]) -> SolPostings:
    """What the `flows` say the wallet paid beside a trade."""
    wallet, own, change = balances.wallet, balances.own, balances.change
    fees = rent = 0
    transfers: list[Flow] = []
    allocated, foreign = set(), set()
    for flow in flows:
        kind, source, target = flow.kind, flow.source, flow.target
        if kind == "transfer":
            if source == wallet:
                transfers.append(flow)
        elif kind == "tokens":
            if flow.authority == wallet and target in balances.fee_tokens:
                fees += flow.raw
        elif kind == "allocate":
            allocated.add(target)
        elif kind == "create":
            if target in own:
                if source != wallet:
                    foreign.add(target)
            elif source == wallet and change(target) > 0:
                rent += flow.raw
        elif kind == "close":
            if source in own:
                if target != wallet:
                    foreign.add(source)
            elif target == wallet and is_rent(-change(source)):
                rent += change(source)
    loose = []
    for transfer in transfers:
        target, lamports = transfer.target, transfer.raw
        if target in FEE_ACCOUNTS:
            fees += lamports
        elif target in own or change(target) <= 0:
            continue  # Wrapped, or passed on.
        elif target in allocated:
            rent += lamports
        elif transfer.outer and target not in balances.token_accounts:
            loose.append(lamports)
    rent += sum(own.values()) - sum([own[address] for address in foreign])
    return _weighed(balances, fees, rent, loose)


def _weighed(balances: Balances, fees: int, rent: int, loose: list[int]) -> SolPostings:
    """Tell fees from payments, and both from what a trade's middle paid."""
    left = balances.native + balances.wrapped + balances.network_fee + rent
    limit = max(UNLISTED_FEE_MAX, abs(left + fees + sum(loose)) // UNLISTED_FEE_PART)
    sent = 0
    for lamports in loose:
        if lamports <= limit:
            fees += lamports
        else:
            sent += lamports
    if balances.crossed:
        # Token for token through SOL: what a hop paid out of that SOL never was the wallet's.
        fees = min(fees, max(0, -left))
        sent = min(sent, max(0, -left - fees))
    return SolPostings(fees, rent, sent)
