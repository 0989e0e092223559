"""A wallet behind a scripted upstream: the methods that History needs, with their rules."""

from collections.abc import Callable
from typing import Any

from scripted_rpc import Reply

WALLET = "Wa11et"


def signed(name: str) -> str:
    """A signature, base58 of 64 bytes, that holds this name."""
    return "3" + name.replace("0", "z").rjust(87, "1")


def name_of(signature: str) -> str:
    """What it was made from."""
    return signature[1:].lstrip("1").replace("z", "0")


def transaction(slot: int, index: int, name: str, err: Any = None) -> dict[str, Any]:
    return {
        "slot": slot,
        "blockTime": slot,
        "transactionIndex": index,
        "version": 0,
        "transaction": {"signatures": [signed(name)], "message": {"accountKeys": [WALLET]}},
        "meta": {"err": err, "fee": 5000, "preBalances": [9000], "postBalances": [4000]},
    }


def chain(count: int, per_slot: int = 3) -> list[dict[str, Any]]:
    """`count` transactions, oldest first, `per_slot` in each block; every tenth failed."""
    return [
        transaction(100 + n // per_slot, n % per_slot, f"sig{n}", None if n % 10 else "failed")
        for n in range(count)
    ]


class ScriptedChain:
    """Set as `ScriptedRpc.otherwise`. `offers` are the methods, `nulls` how often a transaction of
    this name is answered with null; a `spoil` sees each request of one call first and may answer it
    instead."""

    def __init__(self, transactions: list[dict[str, Any]]) -> None:
        self.transactions = transactions
        self.offers = {
            "getTransactionsForAddress",
            "getSignaturesForAddress",
            "getTransaction",
            "getSignatureStatuses",
            "getSlot",
        }
        self.final_slot = 0
        self.page = 1000
        self.full_page = 1000
        self.batch = 100
        self.nulls: dict[str, int] = {}
        self.spoil: Callable[[dict[str, Any]], Any] = lambda request: None

    def __call__(self, request: Any) -> Any:
        if isinstance(request, list):
            if len(request) > self.batch:
                return Reply({"jsonrpc": "2.0", "error": {"code": -32600, "message": "batch"}})
            spoiled = self.spoil(request[0])
            return spoiled or Reply([self.answer(each) for each in request])
        return self.spoil(request) or Reply(self.answer(request))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        method = request["method"]
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        if method not in self.offers:
            return answer | {"error": {"code": -32601, "message": "Method not found"}}
        return answer | {"result": getattr(self, method)(*request["params"])}

    def getTransaction(self, signature: str, options: dict[str, Any]) -> Any:  # noqa: N802
        assert options["commitment"] == "confirmed"
        name = name_of(signature)
        if self.nulls.get(name, 0) > 0:
            self.nulls[name] -= 1
            return None
        for each in self.transactions:
            if signature_of(each) == signature:
                return {key: each[key] for key in each if key != "transactionIndex"}
        return None

    def getSlot(self, options: dict[str, Any]) -> int:  # noqa: N802
        assert options == {"commitment": "finalized"}
        return self.final_slot

    def getSignatureStatuses(self, signatures: list[str]) -> Any:  # noqa: N802
        assert len(signatures) <= 256
        here = {signature_of(each) for each in self.transactions}
        value = [{"confirmations": 1} if each in here else None for each in signatures]
        return {"context": {"slot": 1}, "value": value}

    def getSignaturesForAddress(self, _: str, options: dict[str, Any]) -> Any:  # noqa: N802
        newest_first = self.transactions[::-1]
        order = [signature_of(each) for each in newest_first]
        first = order.index(options["before"]) + 1 if "before" in options else 0
        until = options.get("until")
        last = order.index(until) if until in order else len(order)
        page = newest_first[first:last][: min(options["limit"], self.page)]
        return [{"signature": signature_of(each), "slot": each["slot"]} for each in page]

    def getTransactionsForAddress(self, _: str, options: dict[str, Any]) -> Any:  # noqa: N802
        assert options["commitment"] == "confirmed"
        assert options["filters"]["tokenAccounts"] == "balanceChanged"
        slots = options["filters"].get("slot", {})
        rows = [
            each
            for each in self.transactions
            if slots.get("gte", 0) <= each["slot"] <= slots.get("lte", 1e18)
        ]
        if options["sortOrder"] == "desc":
            rows.reverse()
        full = options["transactionDetails"] == "full"
        first = int(options.get("paginationToken", "0:0").partition(":")[2])
        last = first + min(options["limit"], self.full_page if full else self.page)
        data = rows[first:last]
        if not full:
            data = [
                {
                    "signature": signature_of(each),
                    "slot": each["slot"],
                    "transactionIndex": each["transactionIndex"],
                }
                for each in data
            ]
        return {"data": data, "paginationToken": f"0:{last}" if last < len(rows) else None}


def signature_of(transaction: dict[str, Any]) -> str:
    return transaction["transaction"]["signatures"][0]
