"""JSON-RPC 2.0: what is asked, in one call or a batch, and the envelope of the answer."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from wd_tools.simulator.bill import GTFA, Bill
from wd_tools.simulator.history import BadParameter
from wd_tools.simulator.limits import largest_batch
from wd_tools.simulator.methods import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Method,
    Parts,
    RpcError,
)

Refusal = Literal["403", "method-not-found"]
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
PLAN_REFUSED: Final = -32403


class Call(Struct, frozen=True):
    method: str
    params: Any
    id: Any


class RpcRequest(Struct, frozen=True):
    """One HTTP request's calls, which are all of the first one's kind as far as limits and
    faults go."""

    calls: tuple[Call, ...]
    batch: bool

    @property
    def method(self) -> str:
        return self.calls[0].method


def parse(body: bytes) -> RpcRequest:
    """Raises RpcError."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise RpcError(PARSE_ERROR, "Parse error", 400) from None
    batch = isinstance(decoded, list)
    items = decoded if isinstance(decoded, list) else [decoded]
    if not items:
        raise RpcError(INVALID_REQUEST, "Invalid request", 400)
    return RpcRequest(tuple(_call(item) for item in items), batch)


def _call(item: Any) -> Call:
    if not isinstance(item, dict) or not isinstance(item.get("method"), str):
        raise RpcError(INVALID_REQUEST, "Invalid request", 400)
    return Call(item["method"], item.get("params"), item.get("id"))


def envelope(call_id: Any, result: Sequence[bytes]) -> Parts:
    return [b'{"jsonrpc":"2.0","result":', *result, b',"id":%b}' % msgspec.json.encode(call_id)]


def refusal(call_id: Any, error: RpcError) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "error": error.json(), "id": call_id})


class Rpc:
    """Dispatches calls. `no_gtfa`: how getTransactionsForAddress is refused, if it is."""

    def __init__(self, table: dict[str, Method], no_gtfa: Refusal | None, bill: Bill) -> None:
        self._table = table
        self._bill = bill
        self._no_gtfa = no_gtfa
        self.requests: Counter[str] = Counter()

    async def answer(self, request: RpcRequest, nulls: frozenset[int] = frozenset()) -> list[Parts]:
        """The answers in the order asked; `nulls` are the indexes answered with a null result.
        Raises RpcError where the HTTP request as a whole is refused."""
        self._check(request)
        return [
            await self._one(call, null=index in nulls) for index, call in enumerate(request.calls)
        ]

    def count(self, request: RpcRequest) -> None:
        for call in request.calls:
            known = call.method in self._table
            self.requests[call.method if known else "unknown"] += 1

    def _check(self, request: RpcRequest) -> None:
        if any(call.method == GTFA for call in request.calls) and self._no_gtfa == "403":
            raise RpcError(PLAN_REFUSED, f"{GTFA} is not available on your plan", 403)
        most = min(largest_batch(call.method) for call in request.calls)
        if len(request.calls) > most:
            raise RpcError(INVALID_REQUEST, f"Batch size exceeds the maximum of {most}", 400)

    async def _one(self, call: Call, *, null: bool) -> Parts:
        if null:
            return envelope(call.id, [b"null"])
        method = self._table.get(call.method)
        try:
            if method is None or (call.method == GTFA and self._no_gtfa):
                raise RpcError(METHOD_NOT_FOUND, "Method not found")
            result = await method(call.params)
        except BadParameter as error:
            return [refusal(call.id, RpcError(INVALID_PARAMS, str(error)))]
        except RpcError as error:
            return [refusal(call.id, error)]
        self._bill.call(call.method)
        return envelope(call.id, result)
