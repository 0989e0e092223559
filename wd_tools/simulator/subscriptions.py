"""WebSocket subscriptions: what their params mean, and which of them a transaction concerns.

Errors read as Agave's and Helius' do.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from wd_tools.simulator.commitments import Commitment
from wd_tools.simulator.methods import INVALID_PARAMS, RpcError, check_address
from wd_tools.simulator.notifications import Details, Encoding, Subject

LARGEST_INCLUDE: Final = 50_000  # accounts of one transactionSubscribe, Helius' limit

Kind = Literal["transaction", "logs", "account", "slot"]
KINDS: Final[tuple[Kind, ...]] = ("transaction", "logs", "account", "slot")
T = TypeVar("T")


class TransactionFilter(Struct, rename="camel"):
    """Of transactionSubscribe. `failed` None: also failed ones."""

    account_include: list[str] = []
    account_exclude: list[str] = []
    account_required: list[str] = []
    vote: bool | None = None
    failed: bool | None = None
    signature: str | None = None
    token_accounts: Literal["none", "balanceChanged", "all"] = "none"


class TransactionOptions(Struct, rename="camel"):
    commitment: Commitment = "finalized"
    encoding: Encoding = "json"
    transaction_details: Details = "full"
    show_rewards: bool = False
    max_supported_transaction_version: int | None = None


class LogsFilter(Struct):
    mentions: list[str]


class Options(Struct):
    """Of logsSubscribe and accountSubscribe."""

    commitment: Commitment = "finalized"
    encoding: str = "jsonParsed"


class Subscription:
    """`addresses` None: any. `result` makes what is notified; None: this transaction isn't."""

    def __init__(
        self,
        kind: Kind,
        level: Commitment,
        addresses: frozenset[str] | None,
        result: Callable[[Subject], bytes | None],
    ) -> None:
        self.kind = kind
        self.level = level
        self.addresses = addresses
        self.result = result


def subscription(kind: Kind, params: Any) -> Subscription:
    """What `<kind>Subscribe` asks for. Raises RpcError."""
    if kind == "slot":
        return Subscription(kind, "processed", frozenset(), lambda subject: None)
    if not isinstance(params, list) or not params:
        raise RpcError(INVALID_PARAMS, "`params` should have at least 1 argument(s)")
    second = params[1] if len(params) > 1 and params[1] is not None else {}
    if kind == "transaction":
        wanted = _converted(params[0], TransactionFilter)
        return _transactions(wanted, _converted(second, TransactionOptions))
    level = _converted(second, Options).commitment
    if kind == "logs":
        return _logs(params[0], level)
    address = check_address(params[0], "Invalid Request: Invalid pubkey provided")
    return Subscription(
        kind,
        level,
        frozenset((address,)),
        lambda subject: subject.account(address) if address in subject.moved else None,
    )


def _transactions(wanted: TransactionFilter, options: TransactionOptions) -> Subscription:
    include, exclude = frozenset(wanted.account_include), frozenset(wanted.account_exclude)
    required = frozenset(wanted.account_required)
    if max(len(include), len(exclude), len(required)) > LARGEST_INCLUDE:
        raise RpcError(INVALID_PARAMS, f"Invalid params: more than {LARGEST_INCLUDE} accounts")
    for address in include | exclude | required:
        check_address(address, "Invalid params: Invalid pubkey")
    newest = options.max_supported_transaction_version
    if options.transaction_details == "full" and newest is None:
        raise RpcError(INVALID_PARAMS, "Invalid params: maxSupportedTransactionVersion is required")

    def result(subject: Subject) -> bytes | None:
        entry, named = subject.entry, subject.named
        if wanted.token_accounts == "all":
            named = named | subject.owners
        elif wanted.token_accounts == "balanceChanged":
            named = named | subject.changed
        if (
            (include and include.isdisjoint(named))
            or not exclude.isdisjoint(named)
            or not required <= named
            or (wanted.failed is False and entry.err is not None)
            or wanted.signature not in (None, entry.signature)
        ):
            return None
        return subject.transaction(options.encoding, options.transaction_details)

    return Subscription("transaction", options.commitment, include or None, result)


def _logs(given: Any, level: Commitment) -> Subscription:
    if given in ("all", "allWithVotes"):
        return Subscription("logs", level, None, Subject.logs)
    mentions = _converted(given, LogsFilter).mentions
    if len(mentions) != 1:
        raise RpcError(INVALID_PARAMS, "Invalid Request: Only 1 address supported")
    address = check_address(mentions[0], "Invalid Request: Invalid mentions provided")
    return Subscription(
        "logs",
        level,
        frozenset(mentions),
        lambda subject: subject.logs() if address in subject.named else None,
    )


def _converted(given: Any, shape: type[T]) -> T:
    try:
        return msgspec.convert(given, shape)
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {error}.") from None


class SubscriptionIndex:
    """The subscriptions of one commitment, by the addresses that they ask for, so that a
    transaction costs what it names and not how many listen."""

    def __init__(self) -> None:
        self._by_address: dict[str, dict[int, Subscription]] = defaultdict(dict)
        self._of_everything: dict[int, Subscription] = {}

    def __bool__(self) -> bool:
        return bool(self._by_address or self._of_everything)

    def add(self, number: int, one: Subscription) -> None:
        if one.addresses is None:
            self._of_everything[number] = one
        for address in one.addresses or ():
            self._by_address[address][number] = one

    def remove(self, number: int, one: Subscription) -> None:
        self._of_everything.pop(number, None)
        for address in one.addresses or ():
            of_address = self._by_address[address]
            of_address.pop(number, None)
            if not of_address:
                del self._by_address[address]

    def concerned(self, subject: Subject) -> Iterator[tuple[int, Subscription, bytes]]:
        """Number, subscription and result, oldest subscription first."""
        found = dict(self._of_everything)
        for address in subject.named | subject.owners:
            found |= self._by_address.get(address, {})
        for number, one in sorted(found.items()):
            result = one.result(subject)
            if result is not None:
                yield number, one, result
