"""A network of its own for a program (a namespace), with links to this one that can fall silent."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.processes import PATIENCE

# A hardware address of nobody (locally administered, IEEE 802c).
NOBODY = "02:00:00:00:00:01"


class Link(NamedTuple):
    """A pair of interfaces: `near` is this side's address on `device`, `far` the other's."""

    device: str
    near: str
    network: str
    far_device: str
    far: str

    def cut(self) -> None:
        """What is sent from now on, from either side, goes to nobody, and nobody is told."""
        for side, device, other in self._sides():
            _ip(*side, "neighbour", "replace", other, "lladdr", NOBODY, "dev", device)

    def mend(self) -> None:
        for side, device, other in self._sides():
            _ip(*side, "neighbour", "delete", other, "dev", device)

    def _sides(self) -> tuple[tuple[Sequence[str], str, str], ...]:
        return (
            ((), self.device, self.far),
            (("-n", self.network), self.far_device, self.near),
        )


class Network(NamedTuple):
    """`name` is what `ip netns exec` takes."""

    name: str
    links: Sequence[Link]


@contextmanager
def another_network(links: int = 1) -> Iterator[Network]:
    """Takes root and iproute2; a test that hasn't got them is skipped."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a network to fall silent takes root and iproute2")
    name = f"wd{os.getpid()}"
    _ip("netns", "add", name)
    try:
        yield Network(name, [_linked(name, number) for number in range(links)])
    finally:
        _ip("netns", "delete", name)


def _linked(name: str, number: int) -> Link:
    # Of the range for measurements within a closed network (RFC 2544), and of no other process.
    subnet = f"198.18.{os.getpid() % 256}"
    near, far = f"{subnet}.{4 * number + 1}", f"{subnet}.{4 * number + 2}"
    link = Link(f"{name}-{number}", near, name, f"uplink{number}", far)
    pair = ("type", "veth", "peer", "name", link.far_device, "netns", name)
    _ip("link", "add", link.device, *pair)
    for side, device, address in (
        ((), link.device, near),
        (("-n", name), link.far_device, far),
    ):
        _ip(*side, "address", "add", f"{address}/30", "dev", device)
        _ip(*side, "link", "set", device, "up")
    return link


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=PATIENCE)
