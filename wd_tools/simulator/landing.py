"""A transaction that left the chain with its block and may land in another one.

It does again what it did: the changes are the same, the wallet's balances around them may not be.
Where its accounts don't allow that, it is lost.
"""

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from wd_tools.simulator.draft import Stamp, ui_amount
from wd_tools.simulator.entry import Entry, entry
from wd_tools.simulator.mints import SOL
from wd_tools.simulator.scene import Holding, WalletState, World

Json = dict[str, Any]
_SIDES: Final = (("preBalances", "preTokenBalances"), ("postBalances", "postTokenBalances"))


class _Tokens(NamedTuple):
    """What a token account of the wallet holds; None: it doesn't exist. Its rent is the lamports
    that keep it alive."""

    mint: str
    before: int | None
    after: int | None
    rent_before: int
    rent_after: int


class Footprint(Struct, frozen=True):
    """What a transaction found and left of a wallet. `native` None: the wallet isn't named."""

    body: Json
    keys: list[str]
    native: tuple[int, int] | None
    tokens: dict[str, _Tokens]


def footprint(made: Entry, wallet: str) -> Footprint:
    body: Json = msgspec.json.decode(b"{" + made.body)
    meta, loaded = body["meta"], body["meta"]["loadedAddresses"]
    keys = body["transaction"]["message"]["accountKeys"] + loaded["writable"] + loaded["readonly"]
    native = None
    if wallet in keys:
        index = keys.index(wallet)
        native = meta["preBalances"][index], meta["postBalances"][index]
    before, after = (_side(meta, keys, wallet, *side) for side in _SIDES)
    nothing = (None, 0)
    tokens = {}
    for account in before | after:
        mint = (before.get(account) or after[account])[0]
        amount, rent = before[account][1:] if account in before else nothing
        left, rent_left = after[account][1:] if account in after else nothing
        tokens[account] = _Tokens(mint, amount, left, rent, rent_left)
    return Footprint(body, keys, native, tokens)


def _side(
    meta: Json, keys: list[str], wallet: str, balances: str, token_balances: str
) -> dict[str, tuple[str, int, int]]:
    """The wallet's token accounts before or after: mint, amount and rent of each."""
    found = {}
    for held in meta[token_balances]:
        if held["owner"] == wallet:
            index, raw = held["accountIndex"], int(held["uiTokenAmount"]["amount"])
            rent = meta[balances][index] - (raw if held["mint"] == SOL.address else 0)
            found[keys[index]] = held["mint"], raw, rent
    return found


def undo(wallet: WalletState, left: Footprint, world: World) -> None:
    """Give the wallet back what it had before its last transaction."""
    if left.native is not None:
        wallet.lamports = left.native[0]
    for account, held in left.tokens.items():
        _hold(wallet, world, account, held.mint, held.before, held.rent_before)


def land(abandoned: Entry, wallet: WalletState, stamp: Stamp, world: World) -> Entry | None:
    """Do it again with what the wallet has now; None if that isn't possible."""
    left = footprint(abandoned, wallet.address)
    moved = _moved(wallet, left)
    if moved is None:
        return None
    if left.native is not None:
        wallet.lamports = left.native[1] + moved[wallet.address]
    for account, held in left.tokens.items():
        amount = None if held.after is None else held.after + moved.get(account, 0)
        _hold(wallet, world, account, held.mint, amount, held.rent_after)
    _shift(left, wallet.address, moved)
    left.body["slot"], left.body["blockTime"] = stamp.slot, stamp.block_time
    return entry(
        abandoned.signature,
        stamp,
        msgspec.json.encode(left.body),
        err=abandoned.err,
        visible=abandoned.visible,
        legacy=abandoned.legacy,
    )


def _hold(
    wallet: WalletState, world: World, account: str, mint: str, amount: int | None, rent: int
) -> None:
    if amount is None:
        wallet.holdings.pop(mint, None)
    else:
        wallet.holdings[mint] = Holding(world.mints.at(mint), account, amount, rent)


def _moved(wallet: WalletState, left: Footprint) -> dict[str, int] | None:
    """How much more each account has than the first time; None if that won't do."""
    moved: dict[str, int] = {}
    if left.native is not None:
        moved[wallet.address] = wallet.lamports - left.native[0]
        if left.native[1] + moved[wallet.address] < 0:
            return None
    held = {one.account: one for one in wallet.holdings.values()}
    if any(account in held and account not in left.tokens for account in left.keys):
        return None  # it would open what is there already
    for account, (_, before, after, rent, _) in left.tokens.items():
        now = held.get(account)
        if before is None or now is None:
            if before is not None or now is not None:
                return None
            continue
        if now.rent != rent:
            return None  # it was closed and opened again at another price
        moved[account] = now.amount - before
        # Only an empty account can be closed; one of wrapped SOL would give other lamports back.
        if moved[account] if after is None else after + moved[account] < 0:
            return None
    return moved


def _shift(left: Footprint, wallet: str, moved: dict[str, int]) -> None:
    meta = left.body["meta"]
    for balances, token_balances in _SIDES:
        if wallet in moved:
            meta[balances][left.keys.index(wallet)] += moved[wallet]
        for held in meta[token_balances]:
            index = held["accountIndex"]
            by = moved.get(left.keys[index], 0)
            if held["owner"] == wallet and by:
                _raise(held["uiTokenAmount"], by)
                if held["mint"] == SOL.address:
                    meta[balances][index] += by


def _raise(amount: Json, by: int) -> None:
    raw, decimals = int(amount["amount"]) + by, amount["decimals"]
    amount["amount"] = str(raw)
    amount["uiAmount"] = raw / 10**decimals if raw else None
    amount["uiAmountString"] = ui_amount(raw, decimals)
