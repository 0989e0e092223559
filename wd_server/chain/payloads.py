"""The upstream's messages, as Structs of just the fields that are read.

Fields that aren't named here are skipped by the decoder without becoming objects, which is most
of a transaction's bytes. Arrays that were seen as null may be null.

The types bound every value by what Solana itself allows, so that the code behind them meets no
other: whatever is beyond is refused with its transaction. Never less than that: a trade made from
some of a transaction's balances would be another trade.
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from wd_server import base58

# What a decoder raises for text that isn't what its type says.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# All SOL there is are 6 * 10^17 lamports, so an i64 holds any balance; a larger bound would not be
# checked by the decoder itself.
LAMPORTS_MAX: Final = 2**63 - 1
# SPL Token's amounts are u64 and have 20 digits at most; a change may have a sign before them.
AMOUNT_MAX: Final = 2**64 - 1
AMOUNT_DIGITS: Final = 20
# SPL Token's `Mint.decimals` is a u8.
DECIMALS_MAX: Final = 255
# What JSON's readers hold exactly (RFC 8259, section 6): at 2.5 slots a second enough for 10^8
# years.
SLOT_MAX: Final = 2**53 - 1
# Unix seconds: the year 2242. What is later can't be written as a date everywhere.
TIME_MAX: Final = 2**33
# Transactions of a block.
INDEX_MAX: Final = 2**31 - 1
# An index of an account is a u8.
ACCOUNTS_MAX: Final = 256
# Digits of an address in base58, and of a signature.
ADDRESS_CHARACTERS: Final = 44
SIGNATURE_CHARACTERS: Final = 88
# Digits that a program prints of a float, with some to spare, and the exponent of its least one.
FLOAT_DIGITS: Final = 60
FLOAT_EXPONENT_MIN: Final = -324
# Mints of which is remembered that they are addresses, 1 MB: a wallet trades some thousands.
MINTS_REMEMBERED: Final = 8192

T = TypeVar("T")

Lamports = Annotated[int, msgspec.Meta(ge=0, le=LAMPORTS_MAX)]
LamportsChange = Annotated[int, msgspec.Meta(ge=-LAMPORTS_MAX, le=LAMPORTS_MAX)]
Decimals = Annotated[int, msgspec.Meta(ge=0, le=DECIMALS_MAX)]
Slot = Annotated[int, msgspec.Meta(ge=0, le=SLOT_MAX)]
Time = Annotated[int, msgspec.Meta(ge=0, le=TIME_MAX)]
BlockIndex = Annotated[int, msgspec.Meta(ge=0, le=INDEX_MAX)]
AmountText = Annotated[str, msgspec.Meta(max_length=AMOUNT_DIGITS)]
ChangeText = Annotated[str, msgspec.Meta(max_length=AMOUNT_DIGITS + 1)]
# An account is compared and never shown, so that its length is all there is to bound.
Account = Annotated[str, msgspec.Meta(max_length=ADDRESS_CHARACTERS)]
Mint = Annotated[str, msgspec.Meta(max_length=ADDRESS_CHARACTERS)]
Signature = Annotated[str, msgspec.Meta(max_length=SIGNATURE_CHARACTERS)]
OfAccounts = msgspec.Meta(max_length=ACCOUNTS_MAX)


def readable(elements: Iterable[Raw], decoder: msgspec.json.Decoder[T]) -> list[T]:
    """The elements that can be read. One that can't is no reason to refuse the others."""
    found = []
    for element in elements:
        try:
            found.append(decoder.decode(element))
        except UNREADABLE:
            continue
    return found


def check_signature(text: str) -> None:
    """Raises ValueError, which a decoder makes its own."""
    if not base58.is_size(text, base58.SIGNATURE_BYTES):
        raise ValueError("a signature isn't base58 of 64 bytes")


@lru_cache(MINTS_REMEMBERED)
def _is_mint(text: str) -> bool:
    return base58.is_size(text, base58.ADDRESS_BYTES)


def check_mint(text: str) -> None:
    """Raises ValueError, as above."""
    if not _is_mint(text):
        raise ValueError("a mint isn't base58 of 32 bytes")


def u64(digits: str) -> int:
    """`digits` are bounded in their number. Raises ValueError, as above."""
    number = int(digits)
    if 0 <= number <= AMOUNT_MAX:
        return number
    raise ValueError("an amount isn't a u64")


class UiTokenAmount(Struct, gc=False):
    amount: AmountText
    decimals: Decimals


class TokenBalance(Struct, rename="camel", gc=False):
    account_index: int
    mint: Mint
    ui_token_amount: UiTokenAmount
    owner: Account | None = None


class LoadedAddresses(Struct, gc=False):
    writable: Annotated[list[Account], OfAccounts] = []
    readonly: Annotated[list[Account], OfAccounts] = []


class Instruction(Struct, rename="camel", gc=False):
    """One call of a program, as one of the encodings gives it.

    `json`: `program_id_index`, and `accounts` as indexes. `jsonParsed` and enhanced objects:
    `program_id`, and `accounts` as addresses; where the RPC knows the program, `parsed` instead
    of `accounts` and `data`. `stack_height`: 1 for the transaction's own, one more with each
    call; older nodes and enhanced objects don't tell it.
    """

    program_id_index: int = -1
    program_id: str | None = None
    accounts: list[int | str] = []
    data: str = ""
    parsed: Raw = Raw()
    stack_height: int | None = None


class InnerInstructions(Struct, gc=False):
    """What one of the message's instructions called. `index` says which."""

    index: int
    instructions: list[Instruction]


class Meta(Struct, rename="camel", gc=False):
    err: object
    fee: Lamports
    pre_balances: Annotated[list[Lamports], OfAccounts]
    post_balances: Annotated[list[Lamports], OfAccounts]
    pre_token_balances: Annotated[list[TokenBalance], OfAccounts] | None = None
    post_token_balances: Annotated[list[TokenBalance], OfAccounts] | None = None
    loaded_addresses: LoadedAddresses | None = None
    inner_instructions: list[InnerInstructions] | None = None

    def __post_init__(self) -> None:
        count = len(self.post_balances)
        if len(self.pre_balances) != count:
            raise ValueError("there are more balances before than after, or fewer")
        # Here for all of them and without further calls, which would cost three times as much.
        for balances in (self.pre_token_balances, self.post_token_balances):
            for held in balances or ():
                if not (
                    0 <= held.account_index < count
                    and _is_mint(held.mint)
                    and 0 <= int(held.ui_token_amount.amount) <= AMOUNT_MAX
                ):
                    raise ValueError("a token balance has what can't be")


class AccountKey(Struct, gc=False):
    pubkey: Account


class Message(Struct, rename="camel", gc=False):
    """`account_keys` are all of one kind: objects if the encoding is `jsonParsed`."""

    account_keys: Annotated[list[Account | AccountKey], OfAccounts]
    instructions: list[Instruction] = []

    @property
    def addresses(self) -> list[str]:
        keys = self.account_keys
        if keys and isinstance(keys[0], AccountKey):
            return [key.pubkey for key in keys]  # type: ignore[union-attr]
        return keys  # type: ignore[return-value]


class SignedTransaction(Struct, gc=False):
    signatures: Annotated[list[Signature], msgspec.Meta(min_length=1)]
    message: Message

    def __post_init__(self) -> None:
        check_signature(self.signatures[0])
        if len(set(map(type, self.message.account_keys))) > 1:
            raise ValueError("account keys are of two kinds")


def _check_accounts(signed: SignedTransaction, meta: Meta) -> None:
    """Raises ValueError if accounts are missing: their balances would be nobody's."""
    count, loaded = len(signed.message.account_keys), meta.loaded_addresses
    if loaded is not None and count < len(meta.post_balances):
        count += len(loaded.writable) + len(loaded.readonly)
    if count != len(meta.post_balances):
        raise ValueError("there are more accounts than balances, or fewer")


class Transaction(Struct, rename="camel", gc=False):
    """One element of `getTransactionsForAddress` (full), the result of `getTransaction`, or one
    element of a raw webhook, in `json` or `jsonParsed` encoding."""

    slot: Slot
    transaction: SignedTransaction
    meta: Meta
    block_time: Time | None = None
    transaction_index: BlockIndex | None = None

    def __post_init__(self) -> None:
        _check_accounts(self.transaction, self.meta)

    @property
    def signature(self) -> str:
        return self.transaction.signatures[0]

    @property
    def time(self) -> int | None:
        return self.block_time

    @property
    def addresses(self) -> list[str]:
        """All its accounts in the order that balances and instructions count them: jsonParsed lists
        them all, json those of the message, and the ones from lookup tables apart."""
        keys, loaded = self.transaction.message.addresses, self.meta.loaded_addresses
        if loaded is not None and len(keys) < len(self.meta.post_balances):
            return [*keys, *loaded.writable, *loaded.readonly]
        return keys

    def parties(self) -> set[str]:
        """All its accounts, and the owners of its token accounts."""
        meta = self.meta
        found = set(self.addresses)
        for balances in (meta.pre_token_balances, meta.post_token_balances):
            found.update(each.owner for each in balances or () if each.owner is not None)
        return found


class NotifiedTransaction(Struct, gc=False):
    transaction: SignedTransaction
    meta: Meta

    def __post_init__(self) -> None:
        _check_accounts(self.transaction, self.meta)


class NotificationResult(Struct, rename="camel", gc=False):
    slot: Slot
    transaction: NotifiedTransaction
    transaction_index: BlockIndex | None = None


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
    signature: Signature
    err: object = None

    def __post_init__(self) -> None:
        check_signature(self.signature)


class LogsContext(Struct, gc=False):
    slot: Slot


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

    amount: Lamports
    from_user_account: Account | None = None
    to_user_account: Account | None = None


class TokenTransfer(Struct, rename="camel", gc=False):
    """`token_amount` is in whole tokens, as printed by a program that computes with floats."""

    mint: Mint
    token_amount: Decimal
    from_user_account: Account | None = None
    to_user_account: Account | None = None

    def __post_init__(self) -> None:
        check_mint(self.mint)
        amount = self.token_amount
        if not (amount.is_finite() and 0 <= amount <= AMOUNT_MAX):
            raise ValueError("an amount of tokens isn't in the range of a u64")
        if len(amount.as_tuple().digits) > FLOAT_DIGITS or amount.adjusted() < FLOAT_EXPONENT_MIN:
            raise ValueError("an amount of tokens isn't a float")


class RawTokenAmount(Struct, rename="camel", gc=False):
    """`token_amount` is a signed integer."""

    token_amount: ChangeText
    decimals: Decimals


class TokenBalanceChange(Struct, rename="camel", gc=False):
    token_account: Account
    mint: Mint
    raw_token_amount: RawTokenAmount
    user_account: Account | None = None

    def __post_init__(self) -> None:
        check_mint(self.mint)
        u64(self.raw_token_amount.token_amount.removeprefix("-"))


class AccountData(Struct, rename="camel", gc=False):
    account: Account
    native_balance_change: LamportsChange = 0
    token_balance_changes: Annotated[list[TokenBalanceChange], OfAccounts] | None = None


class EnhancedInstruction(Instruction, rename="camel", gc=False):
    inner_instructions: list[Instruction] | None = None


class EnhancedTransaction(Struct, rename="camel", gc=False):
    """A Helius enhanced transaction: one element of a webhook or of the history endpoint. What
    is None or empty here was left out by who published it; a list of instructions may be cut
    down to program ids."""

    signature: Signature
    slot: Slot = 0
    timestamp: Time | None = None
    fee: Lamports | None = None
    fee_payer: Account | None = None
    source: str = ""
    transaction_error: object = None
    account_data: Annotated[list[AccountData], OfAccounts] | None = None
    native_transfers: list[NativeTransfer] | None = None
    token_transfers: list[TokenTransfer] | None = None
    instructions: list[EnhancedInstruction | str] | None = None

    def __post_init__(self) -> None:
        check_signature(self.signature)
        accounts = self.account_data or ()
        held = sum([len(account.token_balance_changes or ()) for account in accounts])
        if max(held, len(self._moving())) > ACCOUNTS_MAX:
            raise ValueError("more accounts moved something than a transaction has")

    def _moving(self) -> set[tuple[str, str]]:
        """Whose accounts the transfers name, each with its mint; those of SOL without one."""
        found = set()
        for native in self.native_transfers or ():
            parties = native.from_user_account, native.to_user_account
            found |= {(party, "") for party in parties if party}
        for moved in self.token_transfers or ():
            parties = moved.from_user_account, moved.to_user_account
            found |= {(party, moved.mint) for party in parties if party}
        return found

    @property
    def time(self) -> int | None:
        return self.timestamp

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


class UnreadableTransaction(Struct, gc=False):
    """A transaction that a listing names and whose answer can't be read.

    signature, slot, transaction_index, time: as it was listed, `time` in unix seconds
    reason: what is wrong with the answer
    balances: the transaction without its instructions, if that much can be read
    """

    signature: str
    slot: int
    reason: str
    transaction_index: int | None = None
    balances: Transaction | None = None
    time: int | None = None


def without_instructions(answer: Raw, signature: str) -> Transaction | None:
    """What an answer that can't be read as a whole tells of balances; None if that can't be read
    either, or is of another transaction."""
    try:
        item = msgspec.json.decode(answer)
        item["meta"].pop("innerInstructions", None)
        item["transaction"]["message"].pop("instructions", None)
        transaction = msgspec.convert(item, Transaction)
    except (*UNREADABLE, TypeError, AttributeError, KeyError):
        return None
    return transaction if transaction.signature == signature else None


ListedTransaction = Transaction | UnreadableTransaction
PushedTransaction = Transaction | EnhancedTransaction
AnyTransaction = Transaction | EnhancedTransaction | UnreadableTransaction
