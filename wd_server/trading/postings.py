"""Postings: what a transaction moved in and out of a wallet, as double entry.

Interpreting a transaction gives a list of them. For every asset the postings of a transaction add
up to the change of the wallet's own balance, to the unit: native SOL and its token accounts, with
native and wrapped SOL as one asset under the wrapped SOL mint.

A purchase for 1 SOL that opens a token account, seen from the buyer:

    kind          asset   raw             meaning
    network_fee   SOL         -5,000      base fee
    priority_fee  SOL        -20,000      what the wallet offered to be served sooner
    tip           SOL     -1,000,000      the transaction's own payment to a block builder
    platform_fee  SOL    -10,000,000      what the front end took
    rent_locked   SOL     -2,039,280      deposit for the token account
    sold          SOL -1,000,000,000
    bought        token  +42,000,000
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

PostingKind = Literal[
    "network_fee",  # base fee, where this wallet paid it
    "priority_fee",  # the rest of what the chain took
    "tip",  # the transaction's own payment to who includes it in a block
    "platform_fee",  # what a bot, front end or venue took out of the wallet's SOL
    "rent_locked",  # deposit for an account that the wallet can close
    "rent_returned",  # such a deposit that came back
    "rent_paid",  # deposit for an account that others close; it may come back all the same
    "sold",  # given in a trade or round trip
    "bought",  # got in a trade or round trip
    "sent",  # to somebody else, for nothing that this transaction shows
    "received",  # from somebody else, likewise
    "custody_out",  # to a program that keeps it for the wallet: `place` says which
    "custody_in",  # back from it
    "minted",  # made for the wallet: a share of a pool, a liquid staking token
    "burned",
    "reward",  # beyond what went into custody; an incentive, a claim
    "leftover",  # what a route left of a token in its middle; costs nothing
    "unexplained",  # the balance changed by this, and nothing in the transaction says why
]

FEE_KINDS: Final = frozenset[PostingKind](("network_fee", "priority_fee", "tip", "platform_fee"))


class Posting(Struct, frozen=True, array_like=True, gc=False):
    """One movement of one asset in or out of the wallet.

    kind: what it was
    mint: the asset; SOL stands under the wrapped SOL mint
    raw: in the asset's smallest unit, less than 0 if it left the wallet
    decimals: of the asset
    counterparty: address it came from or went to, where the transaction shows one
    place: the custodian's name, of `custody_*`, `minted`, `burned` and `reward`
    part: number of the trade whose leg it is, for `sold`, `bought` and a realized `burned`
    """

    kind: PostingKind
    mint: str
    raw: int
    decimals: int
    counterparty: str = ""
    place: str = ""
    part: int = 0


def balance_changes(postings: Iterable[Posting]) -> dict[str, int]:
    """What the postings add up to, by mint; sums of 0 are left out."""
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.mint] = sums.get(posting.mint, 0) + posting.raw
    return {mint: raw for mint, raw in sums.items() if raw}
