"""Token accounts as the RPC shows them, in `jsonParsed` and in bytes."""

import base64
import struct
from typing import Any, Final, Literal

from wd_tools.simulator import base58
from wd_tools.simulator.draft import ui_amount
from wd_tools.simulator.mints import SOL
from wd_tools.simulator.programs import TOKEN
from wd_tools.simulator.scene import Holding

Encoding = Literal["jsonParsed", "base64"]

NEVER: Final = 2**64 - 1  # the rent epoch of an account that pays no rent
# Mint, owner, amount, no delegate, initialized, whether native and its rent, nothing delegated, no
# authority to close.
_LAYOUT: Final = struct.Struct("<32s32sQ36xBIQ8x36x")
_INITIALIZED: Final = 1
# After the plain bytes of a Token-2022 account: that it is a token account, then its extensions
# as type, length and value.
_TOKEN_ACCOUNT: Final = b"\x02"
_IMMUTABLE_OWNER: Final = struct.pack("<HH", 7, 0)
_WITHHELD_FEES: Final = struct.pack("<HHQ", 2, 8, 0)


def shown(holding: Holding, owner: str, encoding: Encoding) -> dict[str, Any]:
    """One item of `getTokenAccountsByOwner`."""
    mint = holding.mint
    native = mint is SOL
    return {
        "pubkey": holding.account,
        "account": {
            "data": _parsed(holding, owner)
            if encoding == "jsonParsed"
            else [base64.b64encode(data(holding, owner)).decode(), "base64"],
            "executable": False,
            "lamports": holding.rent + (holding.amount if native else 0),
            "owner": mint.program,
            "rentEpoch": NEVER,
            "space": mint.space,
        },
    }


def data(holding: Holding, owner: str) -> bytes:
    """The account's bytes, as the Token programs lay them out."""
    mint = holding.mint
    native = mint is SOL
    plain = _LAYOUT.pack(
        base58.decode(mint.address),
        base58.decode(owner),
        holding.amount,
        _INITIALIZED,
        native,
        holding.rent if native else 0,
    )
    if mint.program == TOKEN:
        return plain
    withheld = _WITHHELD_FEES if mint.fee_bps else b""
    return plain + _TOKEN_ACCOUNT + _IMMUTABLE_OWNER + withheld


def _parsed(holding: Holding, owner: str) -> dict[str, Any]:
    mint = holding.mint
    info = {
        "isNative": mint is SOL,
        "mint": mint.address,
        "owner": owner,
        "state": "initialized",
        "tokenAmount": _amount(holding.amount, mint.decimals),
    }
    if mint is SOL:
        info["rentExemptReserve"] = _amount(holding.rent, mint.decimals)
    return {
        "parsed": {"info": info, "type": "account"},
        "program": "spl-token" if mint.program == TOKEN else "spl-token-2022",
        "space": mint.space,
    }


def _amount(raw: int, decimals: int) -> dict[str, Any]:
    return {
        "amount": str(raw),
        "decimals": decimals,
        "uiAmount": raw / 10**decimals,
        "uiAmountString": ui_amount(raw, decimals),
    }
