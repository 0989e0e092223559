"""What a simulated transaction did for the wallet, known because it was made so."""

from typing import Literal

from msgspec import Struct

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
]
TRADES = frozenset[Kind](("buy", "sell", "swap"))


class Truth(Struct, frozen=True, rename="camel"):
    """One transaction, seen from one wallet. Amounts are raw integers.

    `deltas` says how much of each mint the wallet gained or lost, gross: native and wrapped SOL
    together under the wrapped SOL mint, without `network_fee`, `tips`, `platform_fees` and
    `rent` (lamports the wallet paid for token accounts; negative when they came back). So the
    wallet's native change plus its wrapped SOL change is
    `deltas[SOL] - network_fee - tips - platform_fees - rent`.

    Platform fees are what left the wallet's own accounts for a fee account. What a pool kept or
    paid to a fee account out of what the wallet was to get was never the wallet's and is nowhere.

    `sold_*` and `bought_*` are the two legs of a trade and None for everything else. A buy gives
    SOL or a stable coin for a token, a sell the reverse; between SOL and a stable coin the
    stable coin is the token. `visible`: the wallet itself is among the account keys, so
    getSignaturesForAddress lists it.
    """

    signature: str
    slot: int
    position: int
    block_time: int
    kind: Kind
    dex: str | None
    deltas: dict[str, int]
    sold_mint: str | None
    sold_raw: int | None
    bought_mint: str | None
    bought_raw: int | None
    network_fee: int
    tips: int
    platform_fees: int
    rent: int
    visible: bool

    @property
    def fees(self) -> int:
        """Lamports of network fee, tips and platform fees together."""
        return self.network_fee + self.tips + self.platform_fees
