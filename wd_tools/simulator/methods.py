"""The JSON-RPC methods, each from params to a result as ready bytes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec

from wd_tools.simulator import accounts, base58, history
from wd_tools.simulator.bill import Bill
from wd_tools.simulator.commitments import Commitment, Commitments
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.faults import Faults
from wd_tools.simulator.history import Bounds, HistoryConfig
from wd_tools.simulator.limits import PAGE
from wd_tools.simulator.market import Market
from wd_tools.simulator.mints import asset
from wd_tools.simulator.parsed import parsed

_encode = msgspec.json.encode
T = TypeVar("T")
Parts = list[bytes]
Method = Callable[[Any], Awaitable[Parts]]

LONGEST_ADDRESS: Final = 44  # base58 digits of 32 bytes
INVALID_PARAMS: Final = -32602
METHOD_NOT_FOUND: Final = -32601
UNSUPPORTED_VERSION: Final = -32015
SLOT_NOT_REACHED: Final = -32016
ASSET_NOT_FOUND: Final = -32000
MOST_STATUSES: Final = 256  # signatures of one getSignatureStatuses
RECENT_SLOTS: Final = 300  # that it looks through unless it is to search the history


class RpcError(Exception):
    """Goes out as a JSON-RPC error; `status` is the HTTP status where it isn't 200."""

    def __init__(self, code: int, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def json(self) -> dict[str, object]:
        return {"code": self.code, "message": self.message}


class TransactionConfig(msgspec.Struct, rename="camel"):
    """Of getTransaction."""

    encoding: Literal["json", "jsonParsed"] = "json"
    max_supported_transaction_version: int | None = None
    commitment: Commitment = "finalized"


class SlotConfig(msgspec.Struct):
    """Of getSlot."""

    commitment: Commitment = "finalized"


class AccountConfig(msgspec.Struct, rename="camel"):
    """Of what is asked about accounts: getBalance, getTokenAccountsByOwner."""

    encoding: accounts.Encoding = "base64"
    commitment: Commitment = "finalized"
    min_context_slot: int = 0


class AccountFilter(msgspec.Struct, rename="camel"):
    """Of getTokenAccountsByOwner."""

    mint: str | None = None
    program_id: str | None = None


class StatusesConfig(msgspec.Struct, rename="camel"):
    """Of getSignatureStatuses."""

    search_transaction_history: bool = False


class Methods:
    """What a Solana RPC answers about the market."""

    def __init__(
        self, market: Market, commitments: Commitments, faults: Faults, bill: Bill
    ) -> None:
        self._market = market
        self._commitments = commitments
        self._faults = faults
        self._bill = bill
        self.table: dict[str, Method] = {
            "getTransactionsForAddress": self.transactions_for_address,
            "getSignaturesForAddress": self.signatures_for_address,
            "getTransaction": self.transaction,
            "getAsset": self.asset,
            "getAssetBatch": self.asset_batch,
            "getSignatureStatuses": self.signature_statuses,
            "getSlot": self.slot,
            "getHealth": self.health,
            "getVersion": self.version,
            "getBalance": self.balance,
            "getTokenAccountsByOwner": self.token_accounts,
            "getMinimumBalanceForRentExemption": self.rent_exemption,
        }

    async def transactions_for_address(self, params: Any) -> Parts:
        address, config = _address(params), _config(params, HistoryConfig)
        filters = config.filters or history.Filters()
        wallet = await self._market.wallet(address)
        if wallet is None:
            return [b'{"data":[],"paginationToken":null}']
        every = filters.token_accounts != "none"
        bounds = await self._bounds(filters.signature) if filters.signature else Bounds()
        entries = wallet.entries if every else wallet.visible
        found, token = history.page(entries, config, self._settled(bounds, config.commitment))
        full = config.transaction_details == "full"
        self._bill.history(full=full, count=len(found))
        parts: Parts = [b'{"data":[']
        for entry in found:
            shown = self._shown(entry, config)
            parts += (b'{"transactionIndex":%d,' % entry.position, shown, b",")
        if found:
            parts.pop()
        parts.append(b'],"paginationToken":%b}' % _encode(token))
        return parts

    async def _bounds(self, asked: history.SignatureRange) -> Bounds:
        """Exclusive bounds: an inclusive one is widened by one position."""
        after = before = None
        for signature, wider in ((asked.gt, 0), (asked.gte, 1)):
            if signature is not None:
                slot, position = (await self._known(signature)).place
                after = (slot, position - wider)
        for signature, wider in ((asked.lt, 0), (asked.lte, 1)):
            if signature is not None:
                slot, position = (await self._known(signature)).place
                before = (slot, position + wider)
        return Bounds(after, before)

    async def _known(self, signature: str) -> Entry:
        entry = await self._market.entry(signature)
        if entry is None:
            raise RpcError(INVALID_PARAMS, "Invalid param: unknown signature")
        return entry

    async def signatures_for_address(self, params: Any) -> Parts:
        address, config = _address(params), _config(params, history.SignaturesConfig)
        limit = history.check_limit(config.limit)
        naming = await self._market.naming(address)
        before = await self._market.entry(config.before) if config.before else None
        until = await self._market.entry(config.until) if config.until else None
        if config.before and before is None:
            return [b"[]"]  # as Agave does for a signature that it doesn't find
        bounds = Bounds(until.place if until else None, before.place if before else None)
        found = history.older(naming, limit, self._settled(bounds, config.commitment))
        return [b"[", b",".join(b"{" + self._line(entry) for entry in found), b"]"]

    async def transaction(self, params: Any) -> Parts:
        signature, config = _first(params), _config(params, TransactionConfig)
        entry = await self._market.entry(signature)
        if entry is None or entry.slot > self._commitments.slot(config.commitment):
            return [b"null"]
        if config.max_supported_transaction_version is None and not entry.legacy:
            raise RpcError(
                UNSUPPORTED_VERSION,
                "Transaction version (0) is not supported by the requesting client. Please try "
                "the request again with the following configuration parameter: "
                '"maxSupportedTransactionVersion": 0',
            )
        body = self._timed(entry, entry.body)
        if config.encoding == "jsonParsed":
            return [parsed(b"{" + body)]
        return [b"{", body]

    async def signature_statuses(self, params: Any) -> Parts:
        asked = params[0] if isinstance(params, list) and params else None
        if not isinstance(asked, list) or not all(isinstance(one, str) for one in asked):
            raise RpcError(INVALID_PARAMS, "Invalid params: expected a list of signatures.")
        if len(asked) > MOST_STATUSES:
            raise RpcError(INVALID_PARAMS, f"Too many inputs provided; max {MOST_STATUSES}")
        tip = self._commitments.slot("processed")
        every = _config(params, StatusesConfig).search_transaction_history
        oldest = 0 if every else tip - RECENT_SLOTS
        statuses = []
        for signature in asked:
            entry = await self._market.entry(signature)
            here = entry is not None and oldest <= entry.slot <= tip
            statuses.append(self._status(entry, tip) if entry is not None and here else None)
        return [in_context(tip, statuses)]

    def _status(self, entry: Entry, tip: int) -> dict[str, Any]:
        level = self._commitments.level(entry.slot)
        return {
            "slot": entry.slot,
            "confirmations": None if level == "finalized" else tip - entry.slot,
            "err": entry.err,
            "status": {"Ok": None} if entry.err is None else {"Err": entry.err},
            "confirmationStatus": level,
        }

    async def asset(self, params: Any) -> Parts:
        mint = self._market.mints.by_address.get(_named(params, "id"))
        if mint is None or not mint.known:
            raise RpcError(ASSET_NOT_FOUND, "RecordNotFound Error: Asset Not Found")
        return [_encode(asset(mint))]

    async def asset_batch(self, params: Any) -> Parts:
        ids = _named(params, "ids")
        if not isinstance(ids, list) or len(ids) > PAGE:
            raise RpcError(INVALID_PARAMS, f"Invalid param: at most {PAGE} ids")
        mints = [self._market.mints.by_address.get(one) for one in ids]
        return [_encode([asset(mint) if mint and mint.known else None for mint in mints])]

    async def slot(self, params: Any) -> Parts:
        config = _config([None, *(params or [])], SlotConfig)
        return [_encode(self._commitments.slot(config.commitment))]

    async def health(self, params: Any) -> Parts:
        return [b'"ok"']

    async def version(self, params: Any) -> Parts:
        return [b'{"solana-core":"2.3.6","feature-set":3640012085}']

    async def balance(self, params: Any) -> Parts:
        wallet = await self._market.wallet(_address(params))
        slot = self._context(_config(params, AccountConfig))
        return [in_context(slot, wallet.at(slot).lamports if wallet else 0)]

    async def token_accounts(self, params: Any) -> Parts:
        owner = _address(params)
        asked = _config(params, AccountFilter)
        if (asked.mint is None) == (asked.program_id is None):
            raise RpcError(INVALID_PARAMS, "Invalid params: expected either mint or programId")
        config = _config(params, AccountConfig, 2)
        wallet = await self._market.wallet(owner)
        slot = self._context(config)
        held = wallet.at(slot).holdings.values() if wallet else ()
        found = [
            accounts.shown(one, owner, config.encoding)
            for one in held
            if asked.mint == one.mint.address or asked.program_id == one.mint.program
        ]
        return [in_context(slot, found)]

    async def rent_exemption(self, params: Any) -> Parts:
        space = params[0] if isinstance(params, list) and params else None
        if not isinstance(space, int) or space < 0:
            raise RpcError(INVALID_PARAMS, "Invalid params: expected a length in bytes.")
        return [_encode(self._market.rent.exemption(space, self._market.clock.now()))]

    def _context(self, config: AccountConfig) -> int:
        """The slot as of which accounts are shown."""
        slot = self._commitments.slot(config.commitment)
        if slot < config.min_context_slot:
            raise RpcError(SLOT_NOT_REACHED, "Minimum context slot has not been reached")
        return slot

    # What is shown of an entry, always without its opening brace

    def _settled(self, bounds: Bounds, level: Commitment) -> Bounds:
        """The bounds without what isn't settled enough."""
        if level == "processed":
            raise RpcError(INVALID_PARAMS, "Method does not support commitment below `confirmed`")
        end = (self._commitments.slot(level) + 1, 0)
        return Bounds(bounds.after, end if bounds.before is None else min(end, bounds.before))

    def _shown(self, entry: Entry, config: HistoryConfig) -> bytes:
        if config.transaction_details == "signatures":
            return self._line(entry)
        body = self._timed(entry, entry.body)
        return body if config.encoding == "json" else parsed(b"{" + body)[1:]

    def _line(self, entry: Entry) -> bytes:
        level = self._commitments.level(entry.slot).encode()
        return self._timed(entry, entry.listed) + b',"confirmationStatus":"%b"}' % level

    def _timed(self, entry: Entry, shown: bytes) -> bytes:
        """Without its block time while a fault holds that back."""
        fault = self._faults.lasting("block_time_missing")
        if fault is None or entry.slot <= self._market.clock.slot(fault.delay):
            return shown
        return shown.replace(b'"blockTime":%d' % entry.block_time, b'"blockTime":null', 1)


def in_context(slot: int, value: Any) -> bytes:
    return _encode({"context": {"slot": slot}, "value": value})


def _first(params: Any) -> str:
    if not isinstance(params, list) or not params or not isinstance(params[0], str):
        raise RpcError(INVALID_PARAMS, "`params` should have at least 1 argument(s)")
    return params[0]


def _address(params: Any) -> str:
    return check_address(_first(params))


def check_address(address: Any, message: str | None = None) -> str:
    """Raises RpcError, with `message` if one is given."""
    invalid = RpcError(INVALID_PARAMS, message or "Invalid param: Invalid")
    wrong_size = RpcError(INVALID_PARAMS, message or "Invalid param: WrongSize")
    if not isinstance(address, str):
        raise invalid
    if len(address) > LONGEST_ADDRESS:
        raise wrong_size
    try:
        size = len(base58.decode(address))
    except ValueError:
        raise invalid from None
    if size != base58.ADDRESS_BYTES:
        raise wrong_size
    return address


def _config(params: Sequence[Any], shape: type[T], place: int = 1) -> T:
    """The param at `place` in the shape of a method's options."""
    given = params[place] if len(params) > place and params[place] is not None else {}
    try:
        return msgspec.convert(given, shape)
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {error}.") from None


def _named(params: Any, name: str) -> Any:
    if not isinstance(params, dict) or name not in params:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {name} is missing.")
    return params[name]
