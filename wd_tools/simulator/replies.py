"""HTTP replies: of refusals, and of faults that need no real answer."""

from typing import Any, Final

from msgspec import Struct

from wd_tools.simulator import rpc
from wd_tools.simulator.faults import Fault
from wd_tools.simulator.methods import RpcError

RATE_LIMITED: Final = -32429
BAD_KEY: Final = -32401
QUOTA_TEXT: Final = b"max usage reached"
GARBAGE: Final = b"<html>\0\xff not what you asked for"


class Reply(Struct, frozen=True):
    """`wire`: how much of it arrives."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    retry_after: float | None = None
    wire: str = "whole"


def refused(call_id: Any, error: RpcError, retry_after: float | None = None) -> Reply:
    return Reply(rpc.refusal(call_id, error), error.status, retry_after=retry_after)


def faulty(fault: Fault, request: rpc.RpcRequest) -> Reply:
    """The reply of a fault that needs no real answer."""
    call_id = None if request.batch else request.calls[0].id
    if fault.kind == "quota":
        return Reply(QUOTA_TEXT, content_type="text/plain")
    if fault.kind == "garbage":
        return Reply(GARBAGE)
    if fault.kind in ("hang", "disconnect"):
        return Reply(b"", wire=fault.kind)
    if fault.kind == "bad_key":
        return refused(call_id, RpcError(BAD_KEY, fault.message or "Invalid API key", 401))
    if fault.kind == "rpc_error":
        error = RpcError(fault.code, fault.message or "Internal error")
        each = [rpc.refusal(call.id, error) for call in request.calls]
        return Reply(b"[" + b",".join(each) + b"]" if request.batch else each[0])
    if fault.kind == "429":
        error = RpcError(RATE_LIMITED, fault.message or "rate limited", 429)
        return refused(call_id, error, fault.retry_after)
    text = (fault.message or "Service unavailable").encode()
    return Reply(text, int(fault.kind), "text/plain", fault.retry_after)
