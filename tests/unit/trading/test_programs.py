"""The table of programs, in which a typing error would go unnoticed until somebody trades there."""

from collections import Counter

from wd_server.trading import programs
from wd_server.trading.wallet import WalletAddress


def test_each_address_is_one_of_solanas() -> None:
    for address in programs.PROGRAMS:
        assert WalletAddress.parse(address) == address


def test_each_address_stands_once_in_the_table() -> None:
    """A second one would silently take the place of the first."""
    counts = Counter(
        address
        for names in programs.PROGRAM_ADDRESSES.values()
        for addresses in names.values()
        for address in addresses
    )
    assert not {address for address, count in counts.items() if count > 1}
