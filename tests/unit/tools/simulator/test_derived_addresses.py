"""Associated token addresses are those of the chain, which anybody can derive."""

import json
import random
from pathlib import Path

import pytest

from wd_tools.simulator import base58
from wd_tools.simulator.derivation import associated_token_address, on_curve
from wd_tools.simulator.mints import USDC
from wd_tools.simulator.programs import TOKEN, TOKEN_2022

RECORDED = Path(__file__).parents[5] / "shared" / "recordings" / "raw"
# The base point of ed25519 (RFC 8032, section 5.1): y is 4/5.
BASE_POINT = bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666")


def test_points_of_the_curve_are_told_from_other_bytes() -> None:
    assert on_curve(BASE_POINT)
    assert on_curve(b"\x01" + bytes(31))  # the neutral element
    assert not on_curve(b"\x02" + bytes(31))
    rng = random.Random(1)
    share = sum(on_curve(rng.randbytes(32)) for _ in range(400)) / 400
    assert 0.4 < share < 0.6


def test_a_derived_address_is_nobody_s_key_and_follows_from_owner_mint_and_program() -> None:
    rng = random.Random(2)
    seen = set()
    for _ in range(20):
        owner = base58.random_address(rng)
        for program in (TOKEN, TOKEN_2022):
            address = associated_token_address(owner, USDC.address, program)
            assert not on_curve(base58.decode(address))
            seen.add(address)
    assert len(seen) == 40


@pytest.mark.recordings
def test_most_token_accounts_of_real_transactions_are_where_they_are_derived() -> None:
    derived = held = 0
    for path in sorted(RECORDED.glob("*.json")):
        body = json.loads(path.read_text())
        body = body.get("result", body) if isinstance(body, dict) else {}
        if not body.get("meta"):
            continue
        loaded = body["meta"].get("loadedAddresses") or {}
        static = body["transaction"]["message"]["accountKeys"]
        keys = [one["pubkey"] if isinstance(one, dict) else one for one in static]
        keys += loaded.get("writable", []) + loaded.get("readonly", [])
        for one in body["meta"].get("postTokenBalances") or ():
            if one.get("owner") and one.get("programId"):
                address = associated_token_address(one["owner"], one["mint"], one["programId"])
                derived += address == keys[one["accountIndex"]]
                held += 1
    assert held > 100
    assert derived > held / 2
