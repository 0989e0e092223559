"""What the accounts of a wallet hold now, and which transactions touched one of them.

A wallet's listing names the transactions that name the wallet. Somebody who sends tokens to an
account that it has names the account only, so on an upstream that has no better method such a
transaction is in no listing but the account's own.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
from msgspec import Raw, Struct

from wd_server.chain.faults import MethodUnavailable
from wd_server.chain.listing import ListedSignature
from wd_server.chain.pages import COMMITMENT
from wd_server.chain.payloads import (
    Account,
    Lamports,
    Mint,
    Slot,
    Transaction,
    UiTokenAmount,
    check_mint,
    readable,
    u64,
)
from wd_server.chain.rpc import RpcClient
from wd_server.chain.transactions import MODE_SECONDS, Transactions
from wd_server.chain.turns import Turn

# The programs whose accounts hold tokens: Token and Token-2022.
TOKEN_PROGRAMS: Final = (
    "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
)
# Transactions of an account that are looked at for one step, a credit each: an account that is
# touched by more between two transactions of its wallet is a pool's or a bot's.
TOUCHING_MAX: Final = 25
# Token accounts decoded in one go, in about a millisecond.
SLICE: Final = 200

_log = structlog.get_logger("upstream")


class HeldTokens(Struct, frozen=True, gc=False):
    """What a token account holds, `raw` in the smallest unit."""

    account: str
    mint: str
    decimals: int
    raw: int


class AccountsAnswer(Struct, frozen=True):
    """What accounts held when `slot` was over. `lamports`: the wallet's native SOL, in the answer
    that has it. `tokens`: its accounts of one token program, in the answers for these."""

    slot: int
    lamports: int | None
    tokens: tuple[HeldTokens, ...] = ()


class _Context(Struct):
    slot: Slot


class _Lamports(Struct):
    context: _Context
    value: Lamports


class _TokenAccounts(Struct):
    context: _Context
    value: list[Raw]


class _Info(Struct, rename="camel"):
    mint: Mint
    token_amount: UiTokenAmount

    def __post_init__(self) -> None:
        check_mint(self.mint)
        u64(self.token_amount.amount)


class _ParsedAccount(Struct):
    info: _Info


class _Data(Struct):
    parsed: _ParsedAccount


class _AccountState(Struct):
    data: _Data


class _TokenAccount(Struct):
    pubkey: Account
    account: _AccountState


class Accounts:
    """Asks one upstream, and leaves it alone for MODE_SECONDS where it lacks a method."""

    def __init__(
        self,
        rpc: RpcClient,
        transactions: Transactions,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rpc = rpc
        self._transactions = transactions
        self._clock = clock
        self._refused_until = -math.inf
        self._listed_signature = msgspec.json.Decoder(ListedSignature)
        self._token_account = msgspec.json.Decoder(_TokenAccount)

    async def held(self, wallet: str, turn: Turn | None = None) -> list[AccountsAnswer]:
        """Three answers, each as of its own slot: native SOL, and the accounts of both token
        programs. Raises the four upstream errors, MethodUnavailable among them."""
        if self._clock() < self._refused_until:
            raise MethodUnavailable("The Solana RPC doesn't tell what accounts hold.")
        try:
            options: dict[str, Any] = {"commitment": COMMITMENT}
            native = await self._rpc.call("getBalance", [wallet, options], _Lamports, turn=turn)
            answers = [AccountsAnswer(native.context.slot, native.value)]
            options = {"commitment": COMMITMENT, "encoding": "jsonParsed"}
            for program in TOKEN_PROGRAMS:
                params = [wallet, {"programId": program}, options]
                answer = await self._rpc.call(
                    "getTokenAccountsByOwner", params, _TokenAccounts, turn=turn
                )
                tokens = await self._tokens(answer.value)
                answers.append(AccountsAnswer(answer.context.slot, None, tokens))
        except MethodUnavailable:
            self._refused_until = self._clock() + MODE_SECONDS
            raise
        return answers

    async def touching(
        self, account: str, before: str | None, after: int, turn: Turn | None = None
    ) -> list[Transaction]:
        """The last transactions that touched the account in slots beyond `after` and before the one
        with the signature `before`, oldest first; at most TOUCHING_MAX. Raises the four upstream
        errors."""
        options: dict[str, Any] = {"limit": TOUCHING_MAX, "commitment": COMMITMENT}
        if before is not None:
            options["before"] = before
        params = [account, options]
        data = await self._rpc.call("getSignaturesForAddress", params, list[Raw], turn=turn)
        listed = [each for each in readable(data, self._listed_signature) if each.slot > after]
        return await self._transactions.by_signature(listed[::-1], turn)

    async def _tokens(self, accounts: list[Raw]) -> tuple[HeldTokens, ...]:
        held: list[HeldTokens] = []
        for start in range(0, len(accounts), SLICE):
            part = accounts[start : start + SLICE]
            decoded = readable(part, self._token_account)
            if len(decoded) < len(part):
                count = len(part) - len(decoded)
                _log.warning("token accounts of a wallet can't be read", count=count)
            for each in decoded:
                info = each.account.data.parsed.info
                amount = info.token_amount
                raw = int(amount.amount)
                held.append(HeldTokens(each.pubkey, info.mint, amount.decimals, raw))
            await asyncio.sleep(0)
        return tuple(held)
