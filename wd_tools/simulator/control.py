"""Methods that no Solana RPC has: the truth, more transactions, faults, statistics."""

from typing import Any, Final

import msgspec

from wd_tools.simulator import mix
from wd_tools.simulator.bill import Bill
from wd_tools.simulator.faults import Fault, Faults
from wd_tools.simulator.forks import Forks
from wd_tools.simulator.hub import Hub
from wd_tools.simulator.market import Market
from wd_tools.simulator.methods import INVALID_PARAMS, Method, Parts, RpcError
from wd_tools.simulator.result import result_of
from wd_tools.simulator.rpc import Rpc
from wd_tools.simulator.webhooks import Webhooks

PREFIX: Final = "sim"
MOST_APPENDED: Final = 10_000  # transactions a call: a second or two of work

_encode = msgspec.json.encode


class Control:
    """Neither limits nor faults apply to these, and they aren't counted."""

    def __init__(
        self,
        market: Market,
        forks: Forks,
        faults: Faults,
        rpc: Rpc,
        hub: Hub,
        webhooks: Webhooks,
        bill: Bill,
    ) -> None:
        self._forks = forks
        self._hub = hub
        self._webhooks = webhooks
        self._bill = bill
        self._market = market
        self._faults = faults
        self._rpc = rpc
        self.rate_limited = 0
        self.table: dict[str, Method] = {
            "simTruth": self.truth,
            "simResult": self.result,
            "simAppend": self.append,
            "simDisconnect": self.disconnect,
            "simFault": self.fault,
            "simFork": self.fork,
            "simReset": self.reset,
            "simStatistics": self.show_statistics,
            "simWallets": self.wallets,
        }

    async def truth(self, params: Any) -> Parts:
        """[address] -> the Truth of every transaction, oldest first."""
        (address,) = _arguments(params, str)
        return [_encode(await self._market.truth(address))]

    async def result(self, params: Any) -> Parts:
        """[address] -> the WalletResult of all its transactions."""
        (address,) = _arguments(params, str)
        return [_encode(result_of(await self._market.truth(address)))]

    async def append(self, params: Any) -> Parts:
        """[address, n] -> the signatures of n new transactions. [address, n, action]: which all
        do that, and are fewer if the wallet can't any more."""
        action = None
        if isinstance(params, list) and len(params) > 2:
            *params, name = params
            action = mix.ACTIONS.get(name) if isinstance(name, str) else None
            if action is None:
                raise RpcError(INVALID_PARAMS, f"Actions are: {', '.join(mix.ACTIONS)}")
        address, count = _arguments(params, str, int)
        if not 0 < count <= MOST_APPENDED:
            raise RpcError(INVALID_PARAMS, f"Between 1 and {MOST_APPENDED} at once")
        try:
            entries = await self._market.append(address, count, action=action)
        except KeyError:
            raise RpcError(INVALID_PARAMS, "No such wallet in this simulation") from None
        return [_encode([entry.signature for entry in entries])]

    async def fault(self, params: Any) -> Parts:
        """[fault, ...] or one fault -> how many faults are on order now."""
        try:
            given = params if isinstance(params, list) else [params]
            faults = msgspec.convert(given, list[Fault])
        except msgspec.ValidationError as error:
            raise RpcError(INVALID_PARAMS, f"Invalid fault: {error}") from None
        for fault in faults:
            self._faults.add(fault)
        return [_encode(self._faults.pending)]

    async def disconnect(self, params: Any) -> Parts:
        """[] -> how many WebSockets were open and are dropped now."""
        return [_encode(self._hub.drop_all())]

    async def fork(self, params: Any) -> Parts:
        """[depth] -> the signatures of what landed again, and of what is lost."""
        (depth,) = _arguments(params, int)
        return [_encode(self._forks.fork(depth)._asdict())]

    async def reset(self, params: Any) -> Parts:
        """Clears faults and counters; the market stays."""
        self._faults.clear()
        self._faults.strikes.clear()
        self._rpc.requests.clear()
        self._hub.clear()
        self._forks.count = 0
        self._webhooks.counts.clear()
        self._bill.clear()
        self.rate_limited = 0
        return [b"null"]

    async def show_statistics(self, params: Any) -> Parts:
        return [_encode(self.statistics())]

    async def wallets(self, params: Any) -> Parts:
        """[] -> address and size of every wallet."""
        return [_encode([wallet._asdict() for wallet in self._market.wallets])]

    def statistics(self) -> dict[str, Any]:
        """Calls by method (each of a batch's), refusals for the rate, faults by kind, forks;
        notifications by method, WebSockets, webhooks by outcome; credits by cause."""
        return {
            "requests": dict(self._rpc.requests),
            "rate_limited": self.rate_limited,
            "faults": dict(self._faults.strikes),
            "forks": self._forks.count,
            "notifications": dict(self._hub.sent),
            "websockets": self._hub.statistics(),
            "webhooks": dict(self._webhooks.counts),
            "credits": self._bill.spent(),
        }


def _arguments(params: Any, *types: type) -> list[Any]:
    if not isinstance(params, list) or len(params) != len(types):
        raise RpcError(INVALID_PARAMS, f"{len(types)} params expected")
    if not all(isinstance(given, kind) for given, kind in zip(params, types, strict=True)):
        raise RpcError(INVALID_PARAMS, "A param has the wrong type")
    return params
