"""A transaction while it is being made: accounts, balances, instructions, and its JSON.

Lamports only ever move from one account to another, and the fee is taken once, so every draft
conserves them by construction.
"""

import random
from typing import Any, Final

import msgspec
from msgspec import Struct

from wd_tools.simulator import base58
from wd_tools.simulator.mints import SOL, Mint
from wd_tools.simulator.programs import SYSTEM

SIGNER: Final = 1
WRITABLE: Final = 2
STATIC: Final = 4

# What mainnet's program accounts hold, and the builtin ones.
PROGRAM_LAMPORTS: Final = 1_141_440
BUILTIN_LAMPORTS: Final = 1
MINT_LAMPORTS: Final = 1_461_600  # the rent of a mint's 82 bytes

# One lookup table stands for all; nobody resolves it, loadedAddresses is what counts.
LOOKUP_TABLE: Final = "4QHABYqrbhcj3EtknQ3dYewAmjuqU9Pstuo7kcCcz3FM"

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class TokenAccount(Struct, gc=False):
    """An account that holds a token. Amounts are None where the account doesn't exist."""

    mint: Mint
    owner: str
    before: int | None
    now: int | None


class Stamp(Struct, frozen=True, gc=False):
    """Where in the chain a transaction is. `block_time` in unix seconds."""

    slot: int
    position: int
    block_time: int


class Draft:
    def __init__(self, rng: random.Random, *, legacy: bool = False, owners: bool = True) -> None:
        """`owners` False: as blocks of before November 2021 are, which don't say who owns a token
        account, nor by which program."""
        self._rng = rng
        self.legacy = legacy
        self._owners = owners
        self._flags: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self.lamports: dict[str, int] = {}
        self.tokens: dict[str, TokenAccount] = {}
        self._top: list[tuple[str, list[str], str]] = []
        self._inner: dict[int, list[tuple[str, list[str], str, int]]] = {}
        self._logs: list[str] = []
        self.fee = 0
        self.err: Json | None = None

    # Accounts

    def account(self, address: str, lamports: int, flags: int = WRITABLE) -> None:
        """Name an account and what it held before; the first to name it says how much."""
        known = self._flags.get(address)
        if known is None:
            self._before[address] = self.lamports[address] = lamports
            self._flags[address] = flags
        elif known | flags != known:
            self._flags[address] = known | flags

    def program(self, address: str, flags: int = 0) -> None:
        builtin = address == SYSTEM or address.startswith("ComputeBudget")
        self.account(address, BUILTIN_LAMPORTS if builtin else PROGRAM_LAMPORTS, flags)

    def token_account(
        self,
        address: str,
        mint: Mint,
        owner: str,
        amount: int | None,
        rent: int,
        flags: int = WRITABLE,
    ) -> None:
        """`amount` None: it doesn't exist before this transaction, which then holds no `rent`
        (lamports) either."""
        if address in self.tokens:
            return
        held = 0 if amount is None else rent + (amount if mint is SOL else 0)
        self.account(address, held, flags)
        self.tokens[address] = TokenAccount(mint, owner, amount, amount)

    # Balances

    def charge(self, payer: str, fee: int) -> None:
        self.fee = fee
        self.lamports[payer] -= fee

    def move(self, source: str, target: str, lamports: int) -> None:
        self.lamports[source] -= lamports
        self.lamports[target] += lamports

    def move_token(self, source: str, target: str, sent: int, received: int | None = None) -> None:
        """`received` less than `sent`: a Token-2022 fee stays withheld at the target."""
        give, take = self.tokens[source], self.tokens[target]
        assert give.now is not None
        assert take.now is not None
        give.now -= sent
        take.now += sent if received is None else received
        if give.mint is SOL:
            self.move(source, target, sent)

    def issue(self, address: str, amount: int) -> None:
        """Tokens that come from nowhere (minted, wrapped); negative: burnt."""
        account = self.tokens[address]
        assert account.now is not None
        account.now += amount

    def deposit(self, address: str) -> int:
        """Lamports of a token account that aren't wrapped SOL."""
        account = self.tokens[address]
        wrapped = account.now or 0 if account.mint is SOL else 0
        return self.lamports[address] - wrapped

    def open(self, address: str) -> None:
        self.tokens[address].now = 0

    def close(self, address: str, refund_to: str) -> None:
        account = self.tokens[address]
        account.now = None
        self.move(address, refund_to, self.lamports[address])

    def fail(self, instruction: int, code: int) -> None:
        """Nothing happened but the fee."""
        self.err = {"InstructionError": [instruction, {"Custom": code}]}
        payer = next(iter(self._flags))
        self.lamports = dict(self._before)
        self.lamports[payer] -= self.fee
        for account in self.tokens.values():
            account.now = account.before
        self._inner = {i: inner for i, inner in self._inner.items() if i <= instruction}
        self._logs = self._logs[: 4 + 4 * instruction]
        self._logs.append(f"Program {self._top[instruction][0]} failed: custom program error")

    # Instructions

    def call(self, program: str, accounts: list[str], data: str, name: str = "") -> None:
        """A top-level instruction."""
        self.program(program, STATIC)
        self._name(accounts)
        self._top.append((program, accounts, data))
        self._log(program, name, 1)

    def inner(
        self, program: str, accounts: list[str], data: str, name: str = "", height: int = 2
    ) -> None:
        """An instruction that the last top-level one made."""
        self.program(program)
        self._name(accounts)
        self._inner.setdefault(len(self._top) - 1, []).append((program, accounts, data, height))
        self._log(program, name, height)

    def _name(self, accounts: list[str]) -> None:
        """Accounts that nothing else names (mints, authorities) are only read."""
        for address in accounts:
            if address not in self._flags:
                self.account(address, MINT_LAMPORTS, 0)

    def _log(self, program: str, name: str, height: int) -> None:
        self._logs.append(f"Program {program} invoke [{height}]")
        if name:
            self._logs.append(f"Program log: Instruction: {name}")
        self._logs.append(f"Program {program} success")

    @property
    def calls(self) -> int:
        return len(self._top)

    # JSON

    def _ordered(self) -> tuple[list[str], list[str], list[str], list[str], list[str]]:
        """Addresses as signers, static writable, static readonly, loaded writable, loaded
        readonly: the order that gives balances and instructions their indexes."""
        kinds: tuple[list[str], ...] = ([], [], [], [], [])
        for address, flags in self._flags.items():
            if flags & SIGNER:
                kinds[0].append(address)
            elif flags & STATIC or self.legacy:
                kinds[1 if flags & WRITABLE else 2].append(address)
            else:
                kinds[3 if flags & WRITABLE else 4].append(address)
        return kinds[0], kinds[1], kinds[2], kinds[3], kinds[4]

    def finish(self, stamp: Stamp) -> tuple[str, bytes]:
        """The signature and the transaction's JSON as `getTransaction` gives it."""
        signers, writable, readonly, loaded_writable, loaded_readonly = self._ordered()
        static = signers + writable + readonly
        index = {key: i for i, key in enumerate(static + loaded_writable + loaded_readonly)}
        signatures = [base58.random_signature(self._rng) for _ in signers]
        message: Json = {
            "accountKeys": static,
            "header": {
                "numReadonlySignedAccounts": 0,
                "numReadonlyUnsignedAccounts": len(readonly),
                "numRequiredSignatures": len(signers),
            },
            "instructions": [
                _instruction(index, program, accounts, data, None if self.legacy else 1)
                for program, accounts, data in self._top
            ],
            "recentBlockhash": base58.random_address(self._rng),
        }
        if not self.legacy:
            message["addressTableLookups"] = _lookups(len(loaded_writable), len(loaded_readonly))
        raw = {
            "slot": stamp.slot,
            "blockTime": stamp.block_time,
            "meta": self._meta(index, loaded_writable, loaded_readonly),
            "transaction": {"message": message, "signatures": signatures},
            "version": "legacy" if self.legacy else 0,
        }
        return signatures[0], _encode(raw)

    def _meta(self, index: dict[str, int], writable: list[str], readonly: list[str]) -> Json:
        return {
            "computeUnitsConsumed": self._rng.randint(3_000, 240_000),
            "err": self.err,
            "fee": self.fee,
            "innerInstructions": [
                {"index": i, "instructions": [_instruction(index, *one) for one in inner]}
                for i, inner in sorted(self._inner.items())
            ],
            "loadedAddresses": {"readonly": readonly, "writable": writable},
            "logMessages": self._logs,
            "postBalances": [self.lamports[key] for key in index],
            "postTokenBalances": [
                self._token_balance(index[key], one, one.now)
                for key, one in self.tokens.items()
                if one.now is not None
            ],
            "preBalances": [self._before[key] for key in index],
            "preTokenBalances": [
                self._token_balance(index[key], one, one.before)
                for key, one in self.tokens.items()
                if one.before is not None
            ],
            "rewards": [],
            "status": {"Ok": None} if self.err is None else {"Err": self.err},
        }

    def _token_balance(self, account: int, held: TokenAccount, amount: int) -> Json:
        mint = held.mint
        owned = {"owner": held.owner, "programId": mint.program} if self._owners else {}
        return {
            "accountIndex": account,
            "mint": mint.address,
            **owned,
            "uiTokenAmount": {
                "amount": str(amount),
                "decimals": mint.decimals,
                "uiAmount": amount / 10**mint.decimals if amount else None,
                "uiAmountString": ui_amount(amount, mint.decimals),
            },
        }


def _lookups(writable: int, readonly: int) -> list[Json]:
    if not writable + readonly:
        return []
    table = {
        "accountKey": LOOKUP_TABLE,
        "readonlyIndexes": list(range(writable, writable + readonly)),
        "writableIndexes": list(range(writable)),
    }
    return [table]


def _instruction(
    index: dict[str, int], program: str, accounts: list[str], data: str, height: int | None
) -> Json:
    return {
        "accounts": [index[key] for key in accounts],
        "data": data,
        "programIdIndex": index[program],
        "stackHeight": height,
    }


def ui_amount(amount: int, decimals: int) -> str:
    """The amount in whole tokens, exactly, without trailing zeros."""
    if not decimals:
        return str(amount)
    digits = str(amount).rjust(decimals + 1, "0")
    whole, part = digits[:-decimals], digits[-decimals:].rstrip("0")
    return f"{whole}.{part}" if part else whole
