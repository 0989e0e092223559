"""What a WebSocket subscriber is sent about a transaction, byte for byte in the shape of Helius
and Agave. A transaction comes without its block time: that is known later."""

from typing import Final, Literal

import msgspec
from msgspec import Struct

from wd_tools.simulator.entry import Entry
from wd_tools.simulator.methods import in_context
from wd_tools.simulator.parsed import parsed
from wd_tools.simulator.programs import SYSTEM

Encoding = Literal["json", "jsonParsed"]
Details = Literal["full", "signatures"]

_encode = msgspec.json.encode
# Where a body's slot and block time end, and what is notified begins.
_META: Final = b'"meta":'
_NO_REWARDS: Final = (b'"rewards":[]', b'"rewards":null')


class _Message(Struct, rename="camel", gc=False):
    account_keys: list[str]


class _Signed(Struct, gc=False):
    message: _Message


class _Amount(Struct, gc=False):
    amount: str


class _Held(Struct, rename="camel", gc=False):
    account_index: int
    mint: str
    owner: str
    ui_token_amount: _Amount


class _Loaded(Struct, gc=False):
    writable: list[str]
    readonly: list[str]


class _Meta(Struct, rename="camel", gc=False):
    loaded_addresses: _Loaded
    log_messages: list[str]
    pre_balances: list[int]
    post_balances: list[int]
    pre_token_balances: list[_Held]
    post_token_balances: list[_Held]


class _Body(Struct, gc=False):
    transaction: _Signed
    meta: _Meta


_decoder = msgspec.json.Decoder(_Body)


class Subject:
    """One transaction as what subscriptions ask about. Owners are those of token accounts."""

    def __init__(self, entry: Entry) -> None:
        body = _decoder.decode(b"{" + entry.body)
        meta, loaded = body.meta, body.meta.loaded_addresses
        keys = body.transaction.message.account_keys + loaded.writable + loaded.readonly
        before, after = _amounts(meta.pre_token_balances), _amounts(meta.post_token_balances)
        self.entry = entry
        self.named = frozenset(keys)
        self.owners = frozenset(owner for _, owner in before.keys() | after.keys())
        self.changed = frozenset(owner for (_, owner), _ in before.items() ^ after.items())
        self.moved = {
            key: now
            for key, was, now in zip(keys, meta.pre_balances, meta.post_balances, strict=True)
            if was != now
        }
        self._logs = meta.log_messages
        self._shown: dict[tuple[Encoding, Details], bytes] = {}

    def transaction(self, encoding: Encoding, details: Details) -> bytes:
        """Encoded once, for however many subscribers."""
        key = (encoding, details)
        if key not in self._shown:
            self._shown[key] = self._transaction(encoding, details)
        return self._shown[key]

    def _transaction(self, encoding: Encoding, details: Details) -> bytes:
        entry = self.entry
        ending = b'"signature":"%b","slot":%d}' % (entry.signature.encode(), entry.slot)
        if details == "signatures":
            return b"{" + ending
        body = entry.body if encoding == "json" else parsed(b"{" + entry.body)[1:]
        body = body[body.index(_META) :].replace(*_NO_REWARDS, 1)
        return b'{"transaction":{%b,%b' % (body, ending)

    def logs(self) -> bytes:
        entry = self.entry
        value = {"signature": entry.signature, "err": entry.err, "logs": self._logs}
        return in_context(entry.slot, value)

    def account(self, address: str) -> bytes:
        """The account after the transaction. Only of accounts without data."""
        value = {
            "lamports": self.moved[address],
            "data": ["", "base64"],
            "owner": SYSTEM,
            "executable": False,
            "rentEpoch": 2**64 - 1,
            "space": 0,
        }
        return in_context(self.entry.slot, value)


def slot_result(slot: int, root: int) -> bytes:
    return _encode({"slot": slot, "parent": slot - 1, "root": root})


def notification(method: str, subscription: int, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","method":"%b","params":{"subscription":%d,"result":%b}}' % (
        method.encode(),
        subscription,
        result,
    )


def _amounts(held: list[_Held]) -> dict[tuple[int, str], str]:
    return {(one.account_index, one.owner): one.ui_token_amount.amount for one in held}
