"""Whom the token accounts of a transaction belong to, in blocks that don't say it.

Nodes tell a token balance's owner since November 2021. Before that the transaction itself may show
it, in this order:

1. its instructions: those that open the account, give it to somebody else, approve a delegate or
   close it name the owner;
2. its address, if it is the one that the Associated Token Account program derives from an owner
   and the mint;
3. who signs for what it gives: the owner or a delegate, and which of them isn't known if the
   delegate was approved earlier.

An account that shows none of that has no owner here: it only got something, and isn't the wallet's
associated account.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from msgspec import Struct

from wd_server import base58
from wd_server.chain.payloads import TokenBalance, Transaction
from wd_server.trading.instructions import TOKEN_PROGRAMS, Flow, FlowKind, calls_of, flows_of
from wd_server.trading.programs import TOKEN

ASSOCIATED_TOKEN: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
# Bumps that are tried, from 255 down. A derived address has the first that gives no point of the
# curve: 255 in half of all cases, one of so many in all but one of 65,536. Which it is needs no
# look at the curve, since no other account can have that address.
BUMPS: Final = 16
# For others than the wallet, whose accounts count for less: all but one of 16 are found.
OTHERS_BUMPS: Final = 4
# Accounts that may own others: a transaction of 1,232 bytes has no more, and the blocks that this
# is for knew no lookup tables.
CANDIDATES_MAX: Final = 40
ADDRESSES_REMEMBERED: Final = 1_024
# What the owner of a token account has to sign, and what a delegate may sign as well.
SIGNED_BY_OWNER: Final = frozenset[FlowKind](("approve", "close"))
SIGNED_BY_DELEGATES: Final = frozenset[FlowKind](("tokens", "burn"))


@lru_cache(ADDRESSES_REMEMBERED)
def _bytes_of(address: str) -> bytes:
    """Empty for what is no address, so that nothing is derived from it that an account has."""
    return base58.decode(address) if base58.is_size(address, base58.ADDRESS_BYTES) else b""


class Owners(Struct, gc=False):
    """Owners by token account, `before` and `after` the transaction."""

    before: dict[str, str] = {}
    after: dict[str, str] = {}

    def add(self, account: str, owner: str) -> None:
        """The owner was seen; whoever was seen before stays."""
        self.before.setdefault(account, owner)
        self.after.setdefault(account, owner)


def owners_of(transaction: Transaction, keys: Sequence[str], wallet: str) -> Owners:
    """The owners that token balances don't tell. `keys`: the transaction's accounts."""
    owners = Owners()
    mints = dict(_without_owner(transaction, keys))
    if not mints:
        return owners
    flows = [flow for call in calls_of(transaction, keys) for flow in flows_of(call, keys)]
    _add_named(owners, flows)
    _add_associated(owners, mints, keys, wallet)
    _add_signers(owners, flows)
    return owners


def _without_owner(transaction: Transaction, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    meta = transaction.meta
    balances: Iterable[TokenBalance]
    for balances in (meta.pre_token_balances or (), meta.post_token_balances or ()):
        for each in balances:
            if not each.owner and 0 <= each.account_index < len(keys):
                yield keys[each.account_index], each.mint


def _add_named(owners: Owners, flows: Iterable[Flow]) -> None:
    for flow in flows:
        if flow.kind == "open":
            owners.after[flow.target] = flow.owner
        elif flow.kind == "set_owner":
            owners.before.setdefault(flow.target, flow.authority)
            owners.after[flow.target] = flow.owner
        elif flow.kind in SIGNED_BY_OWNER:
            owners.add(flow.source, flow.authority)


def _add_signers(owners: Owners, flows: Iterable[Flow]) -> None:
    for flow in flows:
        if flow.kind in SIGNED_BY_DELEGATES:
            owners.add(flow.source, flow.authority)


def _add_associated(
    owners: Owners, mints: Mapping[str, str], keys: Sequence[str], wallet: str
) -> None:
    unknown: dict[str, dict[bytes, str]] = {}
    for account, mint in mints.items():
        if account not in owners.after:
            unknown.setdefault(mint, {})[_bytes_of(account)] = account
    others = [key for key in keys if key not in mints and key != wallet][:CANDIDATES_MAX]
    programs = [program for program in TOKEN_PROGRAMS if program in keys] or [TOKEN]
    for mint, accounts in unknown.items():
        for program in programs:
            for candidate in (wallet, *others):
                bumps = BUMPS if candidate == wallet else OTHERS_BUMPS
                for address in associated_addresses(candidate, mint, program, bumps):
                    if address in accounts:
                        owners.add(accounts[address], candidate)
                        break


def associated_addresses(owner: str, mint: str, program: str, bumps: int) -> Iterator[bytes]:
    """What may be the address of the owner's associated account, the likeliest first."""
    seeds = sha256(_bytes_of(owner) + _bytes_of(program) + _bytes_of(mint))
    for bump in range(255, 255 - bumps, -1):
        derived = seeds.copy()
        derived.update(bytes((bump,)) + _bytes_of(ASSOCIATED_TOKEN) + b"ProgramDerivedAddress")
        yield derived.digest()
