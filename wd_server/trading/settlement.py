"""One currency's side of a trade: what its units cost, and what they brought."""

from msgspec import Struct


class Given(Struct, frozen=True, gc=False):
    """Units that a trade gave, in one currency: all but the `unmatched` and `unpriced` ones cost
    `cost`."""

    units: int
    unmatched: int
    unpriced: int
    cost: int

    @property
    def is_known(self) -> bool:
        """Whether any of it has a known cost. Rounding may leave some to the last unit."""
        return self.units > self.unmatched + self.unpriced or self.cost > 0


class Settlement(Struct, frozen=True, gc=False):
    """What that side comes to.

    gain: what the trade realized
    matched: value of the units with a known cost
    unmatched, deposited: value of the units without a known purchase, and of those that were
    bought for something of unknown worth
    cost: of what was bought
    bought_unmatched, bought_unpriced: units bought that have no known cost, for those reasons
    """

    gain: int
    matched: int
    unmatched: int
    deposited: int
    cost: int
    bought_unmatched: int = 0
    bought_unpriced: int = 0


def settle(given: Given, value: int | None, bought: int, is_buy: bool) -> Settlement:
    """The units `given` went for `bought` other units, all together worth `value`."""
    units, unmatched, unpriced = given.units, given.unmatched, given.unpriced
    if value is None:
        if not (unmatched or unpriced):
            return Settlement(0, 0, 0, 0, given.cost)
        return Settlement(
            0, 0, 0, 0, given.cost, bought * unmatched // units, bought * unpriced // units
        )
    if not (unmatched or unpriced):
        matched, unknown, deposited = value, 0, 0
    else:
        matched = value * (units - unmatched - unpriced) // units
        unknown = value - matched
        deposited = value * unpriced // units if unmatched else unknown
    if is_buy:
        return Settlement(0, 0, unknown - deposited, deposited, given.cost + unknown)
    return Settlement(matched - given.cost, matched, unknown - deposited, deposited, value)
