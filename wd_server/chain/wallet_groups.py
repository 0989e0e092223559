"""Which wallets share a subscription, where one may have many. Pure.

To change a subscription is to make another and end the old one, so to add a wallet to one of
50,000 would send 2 MB. Newcomers get a subscription of their own, together with those that are no
larger: so there are few, and each wallet is sent again a few times only. A wallet that nobody
follows any more stays in its subscription, and is paid for, until half of that is waste, or until
somebody tidies up.
"""

from collections.abc import Iterable

# Wallets in a subscription by the upstream's rule.
WALLETS_MAX = 50_000


class WalletGroup:
    """`wallets` were asked for; those in `gone` are of no interest any more."""

    __slots__ = ("gone", "wallets")

    def __init__(self, wallets: Iterable[str]) -> None:
        self.wallets = frozenset(wallets)
        self.gone: set[str] = set()

    @property
    def wanted(self) -> frozenset[str]:
        return self.wallets - self.gone

    @property
    def is_waste(self) -> bool:
        """Half of its wallets, or more, are followed by nobody."""
        return len(self.gone) * 2 >= len(self.wallets)


def regrouped(
    groups: Iterable[WalletGroup], newcomers: Iterable[str], *, tidy: bool = False
) -> tuple[list[WalletGroup], list[WalletGroup]]:
    """Groups to be made, and the groups that they replace: to be ended when the new are there.
    `tidy`: no group is to be left with a wallet that is gone."""
    wanted = set(newcomers)
    replaced = []
    for group in sorted(groups, key=lambda each: len(each.wallets)):
        small = bool(wanted) and len(group.wallets) <= len(wanted)
        fits = len(wanted) + len(group.wanted) <= WALLETS_MAX
        if group.is_waste or (tidy and group.gone) or (small and fits):
            wanted |= group.wanted
            replaced.append(group)
    ordered = sorted(wanted)
    made = [
        WalletGroup(ordered[start : start + WALLETS_MAX])
        for start in range(0, len(ordered), WALLETS_MAX)
    ]
    return made, replaced
