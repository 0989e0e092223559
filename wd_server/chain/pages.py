"""Requests for pages of a wallet's transactions, and what comes back.

`getTransactionsForAddress` gives signatures or full transactions; the latter stay undecoded.
"""

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

# Not finalized: 13 s fresher, and what leaves the chain is retracted by who follows it live.
COMMITMENT = "confirmed"
# With 0 newer transactions would be left out of a page without a word; an upstream that knows
# only legacy and 0 takes 1 as well.
MAX_TRANSACTION_VERSION = 1

# It is sent back as it came: a slot and an index.
TOKEN_CHARACTERS = 256

TRANSACTION_OPTIONS = {
    "encoding": "json",
    "maxSupportedTransactionVersion": MAX_TRANSACTION_VERSION,
    "commitment": COMMITMENT,
}


PageToken = Annotated[str, msgspec.Meta(max_length=TOKEN_CHARACTERS)]


class SignaturePage(Struct, rename="camel"):
    """`data`: a ListedSignature each, which are decoded one by one."""

    data: list[msgspec.Raw]
    pagination_token: PageToken | None


class TransactionPage(Struct, rename="camel"):
    data: list[msgspec.Raw]
    pagination_token: PageToken | None


def page_options(
    details: Literal["signatures", "full"],
    order: Literal["asc", "desc"],
    limit: int,
    token: str | None,
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "transactionDetails": details,
        "sortOrder": order,
        "limit": limit,
        "commitment": COMMITMENT,
        "filters": {"tokenAccounts": "balanceChanged"},
    }
    if details == "full":
        options |= TRANSACTION_OPTIONS
    if token is not None:
        options["paginationToken"] = token
    return options


def cost_of(page: TransactionPage) -> int:
    """Credits: 10 per 100 transactions begun, and at least 10."""
    return 10 * max(1, math.ceil(len(page.data) / 100))
