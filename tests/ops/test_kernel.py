"""The kernel settings are ones that a kernel takes, each with its reason."""

import re

import pytest
from machine import machine
from processes import ROOT

# What no network of its own has, and so no test sets.
WHOLE_MACHINE = {"net.ipv4.tcp_max_orphans", "net.netfilter.nf_conntrack_max"}
SETTINGS = ROOT / "conf/sysctl.d/60-wd-server.conf"


def test_each_has_a_reason_and_the_kernel_takes_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    blocks = SETTINGS.read_text().strip().split("\n\n")[1:]
    asked = {}
    for block in blocks:
        *reason, line = block.split("\n")
        assert reason
        assert all(each.startswith("# ") for each in reason)
        found = re.fullmatch(r"-?([a-z0-9_.]+) = (.+)", line)
        assert found is not None
        asked[found[1]] = found[2]
    with machine(tmp_path_factory.mktemp("machine"), {SETTINGS.parent: "/srv/sysctl.d"}) as booted:
        for name, value in asked.items():
            if name not in WHOLE_MACHINE:
                booted.run("sysctl", "-w", f"{name}={value}")
                assert booted.read("/proc/sys/" + name.replace(".", "/")).split() == value.split()
    assert asked.keys() > WHOLE_MACHINE
