"""What a simulated transaction did for the wallet, known because it was made so.

It is told as double entry: for every asset the postings add up to the change of the wallet's own
balance, native and wrapped SOL together under the wrapped SOL mint. Trades are the view of them
that a trader has.
"""

from collections import Counter
from typing import Final, Literal

from msgspec import Struct

from wd_tools.simulator.mints import SOL

Kind = Literal[
    "buy",
    "sell",
    "swap",
    "failed",
    "transfer_in",
    "transfer_out",
    "airdrop",
    "spam",
    "wrap",
    "unwrap",
    "lp_add",
    "lp_remove",
    "stake",
    "unstake",
    "stake_native",
    "unstake_native",
    "limit_place",
    "limit_fill",
    "limit_cancel",
    "dca_open",
    "dca_fill",
    "dca_close",
    "dca_collect",
    "lend",
    "withdraw",
    "burn",
    "round_trip",
    "excess",
]
Action = Literal["buy", "sell", "swap", "burn"]
PostingKind = Literal[
    "network_fee",  # base fee, where the wallet paid it
    "priority_fee",  # what it offered beside
    "tip",  # the transaction's own payment to who includes it in a block
    "platform_fee",  # what left the wallet's own accounts for a venue, bot or front end
    "rent_locked",  # deposit for an account that gives it back to the wallet
    "rent_returned",
    "rent_paid",  # deposit for somebody else's account
    "sold",
    "bought",
    "sent",
    "received",
    "custody_out",  # to a program that keeps it for the wallet
    "custody_in",
    "minted",
    "burned",
    "reward",  # beyond what went into custody; an incentive, a claim
    "leftover",  # what a route left of a token in its middle
]
FEES: Final = frozenset[PostingKind](("network_fee", "priority_fee", "tip", "platform_fee"))


class Posting(Struct, frozen=True, rename="camel"):
    """`raw` is less than 0 for what left the wallet. `place` is a custodian's name,
    `counterparty` the address that something came from or went to. `part`: of the trade whose leg
    it is."""

    kind: PostingKind
    mint: str
    raw: int
    place: str = ""
    counterparty: str = ""
    part: int = 0


class TradeTruth(Struct, frozen=True, rename="camel"):
    """One trade of a transaction: its two legs, gross. A buy gives SOL or a stable coin for a
    token, a sell the reverse; between SOL and a stable coin the stable coin is the token. What is
    burned is sold for no SOL at all."""

    part: int
    action: Action
    sold_mint: str
    sold_raw: int
    bought_mint: str
    bought_raw: int


class Truth(Struct, frozen=True, rename="camel"):
    """One transaction, seen from one wallet. Amounts are raw integers.

    What a pool kept or paid to a fee account out of what the wallet was to get was never the
    wallet's and is nowhere. `visible`: the wallet itself is among the account keys, so
    getSignaturesForAddress lists it.
    """

    signature: str
    slot: int
    position: int
    block_time: int
    kind: Kind
    dex: str | None
    trades: tuple[TradeTruth, ...]
    postings: tuple[Posting, ...]
    visible: bool

    def total(self, *kinds: PostingKind) -> int:
        """Lamports of these kinds of posting, as a change of the wallet's SOL."""
        return sum(
            one.raw for one in self.postings if one.kind in kinds and one.mint == SOL.address
        )

    @property
    def fees(self) -> int:
        """Lamports of network fee, priority fee, tips and platform fees together."""
        return -self.total(*FEES)

    @property
    def changes(self) -> dict[str, int]:
        """How much more of each mint the wallet has."""
        sums = Counter[str]()
        for posting in self.postings:
            sums[posting.mint] += posting.raw
        return {mint: raw for mint, raw in sums.items() if raw}
