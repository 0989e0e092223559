"""What the upstream sends, as Structs of just the fields that are read.

Fields that aren't named here are skipped by the decoder without becoming objects, which is most
of a transaction's bytes. Arrays that were seen as null may be null.
"""

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Raw, Struct


class UiTokenAmount(Struct, gc=False):
    amount: str
    decimals: int


class TokenBalance(Struct, rename="camel", gc=False):
    account_index: int
    mint: str
    ui_token_amount: UiTokenAmount
    owner: str | None = None


class LoadedAddresses(Struct, gc=False):
    writable: list[str] = []
    readonly: list[str] = []


class Instruction(Struct, rename="camel", gc=False):
    """One call of a program, as one of the encodings gives it.

    `json`: `program_id_index`, and `accounts` as indexes. `jsonParsed` and enhanced objects:
    `program_id`, and `accounts` as addresses; where the RPC knows the program, `parsed` instead
    of `accounts` and `data`.
    """

    program_id_index: int = -1
    program_id: str | None = None
    accounts: list[int | str] = []
    data: str = ""
    parsed: Raw = Raw()


class InnerInstructions(Struct, gc=False):
    """What one of the message's instructions called. `index` says which."""

    index: int
    instructions: list[Instruction]


class Meta(Struct, rename="camel", gc=False):
    err: object
    fee: int
    pre_balances: list[int]
    post_balances: list[int]
    pre_token_balances: list[TokenBalance] | None = None
    post_token_balances: list[TokenBalance] | None = None
    loaded_addresses: LoadedAddresses | None = None
    inner_instructions: list[InnerInstructions] | None = None


class AccountKey(Struct, gc=False):
    pubkey: str


class Message(Struct, rename="camel", gc=False):
    """`account_keys` are all of one kind: objects if the encoding is `jsonParsed`."""

    account_keys: list[str | AccountKey]
    instructions: list[Instruction] = []

    @property
    def addresses(self) -> list[str]:
        keys = self.account_keys
        if keys and isinstance(keys[0], AccountKey):
            return [key.pubkey for key in keys]  # type: ignore[union-attr]
        return keys  # type: ignore[return-value]


class SignedTransaction(Struct, gc=False):
    signatures: Annotated[list[str], msgspec.Meta(min_length=1)]
    message: Message


class Transaction(Struct, rename="camel", gc=False):
    """One element of `getTransactionsForAddress` (full), the result of `getTransaction`, or one
    element of a raw webhook, in `json` or `jsonParsed` encoding."""

    slot: int
    transaction: SignedTransaction
    meta: Meta
    block_time: int | None = None
    transaction_index: int | None = None

    @property
    def signature(self) -> str:
        return self.transaction.signatures[0]

    def parties(self) -> set[str]:
        """All its accounts, and the owners of its token accounts."""
        meta = self.meta
        found = set(self.transaction.message.addresses)
        if meta.loaded_addresses is not None:
            found.update(meta.loaded_addresses.writable, meta.loaded_addresses.readonly)
        for balances in (meta.pre_token_balances, meta.post_token_balances):
            found.update(each.owner for each in balances or () if each.owner is not None)
        return found


class NotifiedTransaction(Struct, gc=False):
    transaction: SignedTransaction
    meta: Meta


class NotificationResult(Struct, rename="camel", gc=False):
    slot: int
    transaction: NotifiedTransaction
    transaction_index: int | None = None


class NotificationParams(Struct, gc=False):
    subscription: int
    result: NotificationResult


class TransactionNotification(Struct, gc=False):
    """A message of `transactionSubscribe` (full). It has no block time."""

    params: NotificationParams

    @property
    def transaction(self) -> Transaction:
        result = self.params.result
        inner = result.transaction
        return Transaction(
            slot=result.slot,
            transaction=inner.transaction,
            meta=inner.meta,
            transaction_index=result.transaction_index,
        )


class LogsValue(Struct, gc=False):
    signature: str
    err: object = None


class LogsContext(Struct, gc=False):
    slot: int


class LogsResult(Struct, gc=False):
    context: LogsContext
    value: LogsValue


class LogsParams(Struct, gc=False):
    result: LogsResult


class LogsNotification(Struct, gc=False):
    """A message of `logsSubscribe`, without the logs."""

    params: LogsParams


class NativeTransfer(Struct, rename="camel", gc=False):
    """`amount` is in lamports."""

    amount: int
    from_user_account: str | None = None
    to_user_account: str | None = None


class TokenTransfer(Struct, rename="camel", gc=False):
    """`token_amount` is in whole tokens, as printed by a program that computes with floats."""

    mint: str
    token_amount: Decimal
    from_user_account: str | None = None
    to_user_account: str | None = None


class RawTokenAmount(Struct, rename="camel", gc=False):
    """`token_amount` is a signed integer."""

    token_amount: str
    decimals: int


class TokenBalanceChange(Struct, rename="camel", gc=False):
    token_account: str
    mint: str
    raw_token_amount: RawTokenAmount
    user_account: str | None = None


class AccountData(Struct, rename="camel", gc=False):
    account: str
    native_balance_change: int = 0
    token_balance_changes: list[TokenBalanceChange] | None = None


class EnhancedInstruction(Instruction, rename="camel", gc=False):
    inner_instructions: list[Instruction] | None = None


class EnhancedTransaction(Struct, rename="camel", gc=False):
    """A Helius enhanced transaction: one element of a webhook or of the history endpoint. What
    is None or empty here was left out by who published it; a list of instructions may be cut
    down to program ids."""

    signature: str
    slot: int = 0
    timestamp: int | None = None
    fee: int | None = None
    fee_payer: str | None = None
    source: str = ""
    transaction_error: object = None
    account_data: list[AccountData] | None = None
    native_transfers: list[NativeTransfer] | None = None
    token_transfers: list[TokenTransfer] | None = None
    instructions: list[EnhancedInstruction | str] | None = None

    def parties(self) -> set[str]:
        """All its accounts, and the owners of its token accounts."""
        found = set()
        for account in self.account_data or ():
            found.add(account.account)
            for change in account.token_balance_changes or ():
                if change.user_account is not None:
                    found.add(change.user_account)
        for moved in (*(self.native_transfers or ()), *(self.token_transfers or ())):
            found.update(each for each in (moved.from_user_account, moved.to_user_account) if each)
        return found


AnyTransaction = Transaction | EnhancedTransaction
