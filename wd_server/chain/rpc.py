"""JSON-RPC over HTTP to a Solana RPC: pacing, retries, and its errors as four of ours.

The upstream's key may be anywhere in its URL, so the URL stays in here: Tornado, which logs and
keeps the URL of a request, is given the origin only, and no text of the upstream is repeated.
"""

import asyncio
import itertools
import math
import random as chance
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
import pycurl
from tornado.curl_httpclient import CurlAsyncHTTPClient, CurlError
from tornado.httpclient import HTTPRequest, HTTPResponse

from wd_server import __version__
from wd_server.chain import faults
from wd_server.chain.call_limiter import CallLimiter
from wd_server.chain.credits import CREDITS, DEFAULT_CREDITS, Credits
from wd_server.chain.faults import BatchRefused, Fault, KeyRefused
from wd_server.chain.http_transfer import HttpTransfer
from wd_server.chain.pacing import BACKOFF_CAP, CircuitBreaker, TokenBucket, backoff
from wd_server.chain.payloads import UNREADABLE
from wd_server.chain.turns import SERVER, Tenant, Turn
from wd_server.errors import (
    UpstreamError,
    UpstreamQuota,
    UpstreamRateLimit,
    UpstreamRejected,
    UpstreamUnavailable,
)
from wd_server.tasks import Tasks

# Connections at a time: above what pages and batches of a few sync passes keep busy, below any
# plan's requests a second but the free one's, which the bucket guards.
MAX_CONNECTIONS = 16
# Decompressed bytes of one answer: 100 transactions of the largest seen (about 100 KB with logs)
# six times over. More is a broken or hostile upstream.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
CONNECT_TIMEOUT = 5.0  # seconds, TLS included; a healthy upstream takes well under 1
REQUEST_TIMEOUT = 20.0  # seconds for a whole answer; a full page takes 1 to 3
# Seconds from a call's first attempt after which no retry begins. Long enough to sit out a restart
# of the upstream or a minute's rate limit, short enough for somebody who watches a progress bar.
RETRY_SECONDS = 60.0
# Seconds of the rate that may be sent at once. More would exceed what the upstream counts in its
# own second.
BURST_SECONDS = 0.2
QUOTA_PROBE_SECONDS = 60.0  # beyond the longest single request with its wait for a connection

# The upstream's rate groups: these count against the smaller one.
DAS_METHODS = frozenset({"getAsset", "getAssetBatch"})

T = TypeVar("T")
Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class RpcStatistics(msgspec.Struct, frozen=True):
    """`calls` by (method, outcome): HTTP requests by how they ended (`ok, rate_limited,
    unavailable, rejected, quota`), and `retried` for those that were a further attempt. `failing`:
    the last one found no usable upstream."""

    calls: dict[tuple[str, str], int]
    credits: dict[str, int]
    quota_exhausted: bool
    failing: bool


class _Answer(msgspec.Struct, Generic[T]):
    id: object = None
    result: T | msgspec.UnsetType = msgspec.UNSET
    error: Fault | None = None

    @property
    def is_none(self) -> bool:
        return self.result is msgspec.UNSET and self.error is None


_REFUSAL = msgspec.json.Decoder(_Answer[msgspec.Raw])


class _Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def upstream_http_client() -> CurlAsyncHTTPClient:
    """A client with connections of its own and answers bounded in number and size."""
    return CurlAsyncHTTPClient(
        force_instance=True, max_clients=MAX_CONNECTIONS, max_body_size=MAX_RESPONSE_BYTES
    )


class RpcClient:
    """Calls one Solana RPC. Every call ends in a result or one of the four upstream errors.

    `rpc_per_second` and `das_per_second` are HTTP requests a second in the upstream's two groups.
    `account`: what calls cost is counted in it, and nothing is called beyond its budget. `clock` is
    monotonic seconds, `random` gives [0, 1).
    """

    def __init__(
        self,
        url: str,
        http_client: CurlAsyncHTTPClient,
        *,
        rpc_per_second: float,
        das_per_second: float,
        account: Credits | None = None,
        clock: Clock = time.monotonic,
        random: Callable[[], float] = chance.random,
        sleep: Sleep = asyncio.sleep,
        request_timeout: float = REQUEST_TIMEOUT,
        tasks: Tasks | None = None,
    ) -> None:
        self._url = url
        self._origin = _origin(url)
        self._http = http_client
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._request_timeout = request_timeout
        self._tasks = tasks or Tasks()
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self._rpc_limiter = self._limiter(rpc_per_second)
        self._das_limiter = self._limiter(das_per_second)
        self._servers_turn = Turn(SERVER)
        self._quota = CircuitBreaker(faults.QUOTA_SECONDS, QUOTA_PROBE_SECONDS)
        self._decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
        # No two requests have the same, so that an answer that is late, or another's, is none.
        self._numbers = itertools.count(1)
        self._calls: Counter[tuple[str, str]] = Counter()
        self._failing = False
        self._account = account or Credits(0, clock)

    def __repr__(self) -> str:
        return "RpcClient(***)"

    def _limiter(self, rate: float) -> CallLimiter:
        bucket = TokenBucket(rate, max(1.0, rate * BURST_SECONDS))
        return CallLimiter(bucket, self._connections, self._clock, self._sleep, self._tasks)

    def statistics(self) -> RpcStatistics:
        exhausted = not self._quota.is_closed
        return RpcStatistics(dict(self._calls), self._account.spent, exhausted, self._failing)

    @property
    def room(self) -> int:
        """Requests that could be sent now without making others wait."""
        return self._rpc_limiter.room

    async def call(
        self,
        method: str,
        params: object,
        result_type: type[T],
        *,
        cost: Callable[[T], int] | None = None,
        turn: Turn | None = None,
    ) -> T:
        """One call's result. `cost` reads the credits it took from the result, where the method
        alone doesn't tell; `turn` None: the server asks for all. Raises the four upstream errors,
        MethodUnavailable and CreditsSpent among them."""
        decoder = self._decoder(result_type, batch=False)

        async def attempt(payer: Tenant) -> T:
            number = next(self._numbers)
            request = msgspec.json.encode(_request(number, method, params))
            answer: _Answer[T] = _decode(await self._post(request), decoder, method)
            if not _is_for(answer, number):
                raise faults.unavailable("an answer to another request")
            result = _result(answer, method)
            price = cost(result) if cost else CREDITS.get(method, DEFAULT_CREDITS)
            self._account.spend(method, price, payer)
            return result

        return await self._persist(method, turn or self._servers_turn, attempt)

    async def batch(
        self,
        method: str,
        params: Sequence[object],
        result_type: type[T],
        *,
        turn: Turn | None = None,
    ) -> list[T]:
        """The results of several calls in one request, in the order of `params`. A call that fails
        for a while is repeated without the others.

        Raises BatchRefused when the batch as a whole was refused, else as `call`."""
        answered: dict[int, T] = {}
        decoder = self._decoder(result_type, batch=True)

        async def attempt(payer: Tenant) -> None:
            missing = [each for each in range(len(params)) if each not in answered]
            numbers = {next(self._numbers): each for each in missing}
            request = msgspec.json.encode(
                [_request(number, method, params[each]) for number, each in numbers.items()]
            )
            answers = _decode_batch(await self._post(request), decoder, method)
            trouble: UpstreamRateLimit | UpstreamUnavailable = faults.unavailable(
                "incomplete answer"
            )
            for number, answer in _by_number(answers).items():
                if number not in numbers:
                    continue
                try:
                    answered[numbers[number]] = _result(answer, method)
                except (UpstreamRateLimit, UpstreamUnavailable) as error:
                    trouble = error
            cost = CREDITS.get(method, DEFAULT_CREDITS)
            spent = cost * sum(each in answered for each in missing)
            self._account.spend(method, spent, payer)
            if len(answered) < len(params):
                raise trouble

        await self._persist(method, turn or self._servers_turn, attempt)
        return [answered[each] for each in range(len(params))]

    async def _persist(
        self, method: str, turn: Turn, attempt: Callable[[Tenant], Awaitable[T]]
    ) -> T:
        """Attempt until there is a result, a final error or no time left. An attempt gets the
        tenant that pays: the one in whose turn it is."""
        limiter = self._das_limiter if method in DAS_METHODS else self._rpc_limiter
        deadline = math.inf
        for number in itertools.count():
            self._account.check(turn.tenants if turn.first else ())
            payer = await self._enter(limiter, turn)
            deadline = min(deadline, self._clock() + RETRY_SECONDS)
            if number:
                self._calls[method, "retried"] += 1
            try:
                result = await attempt(payer)
            except UpstreamError as error:
                self._learn(method, error, limiter.bucket)
                wait = backoff(number, self._random(), error.retry_after)
                if isinstance(error, UpstreamQuota | UpstreamRejected):
                    raise
                if self._clock() + wait > deadline:
                    error.retry_after = max(error.retry_after or 0.0, BACKOFF_CAP)
                    raise
            else:
                self._calls[method, "ok"] += 1
                self._failing = False
                self._quota.reset()
                return result
            await self._sleep(wait)
        raise AssertionError("the loop above has no other end")

    async def _enter(self, limiter: CallLimiter, turn: Turn) -> Tenant:
        """Wait for the limiter. Returns the tenant that pays; `_post` releases the connection."""
        shut = self._quota.remaining(self._clock())
        if shut:
            raise faults.quota_exhausted(shut)
        payer = await limiter.acquire(turn)
        now = self._clock()
        if not self._quota.admit(now):
            limiter.give_back()
            raise faults.quota_exhausted(self._quota.remaining(now))
        return payer

    def _learn(self, method: str, error: UpstreamError, bucket: TokenBucket) -> None:
        self._calls[method, faults.outcome(error)] += 1
        self._failing = isinstance(error, UpstreamUnavailable | UpstreamQuota | KeyRefused)
        now = self._clock()
        if isinstance(error, UpstreamRateLimit):
            bucket.drain(now)
        elif isinstance(error, UpstreamQuota):
            self._quota.trip(now)
        elif isinstance(error, UpstreamRejected):
            self._quota.reset()

    async def _post(self, request: bytes) -> _Reply:
        """One HTTP exchange on a connection that the caller has. A caller that is cancelled takes
        the transfer with it."""
        transfer = HttpTransfer(self._url)
        future = self._http.fetch(
            HTTPRequest(
                self._origin,
                method="POST",
                headers={"Content-Type": "application/json"},
                body=request,
                connect_timeout=min(CONNECT_TIMEOUT, self._request_timeout),
                request_timeout=2 * self._request_timeout,  # ours comes first
                follow_redirects=False,
                user_agent=f"wd-server/{__version__}",
                prepare_curl_callback=transfer.prepare,
            ),
            raise_error=False,
        )
        future.add_done_callback(self._transfer_ended)
        try:
            # Not the future itself: cancelling that wouldn't end the transfer.
            await asyncio.wait([future], timeout=self._request_timeout)
        finally:
            if not future.done():
                transfer.abandon()
        if not future.done():
            raise faults.unavailable("no answer in time")
        return _reply(future)

    def _transfer_ended(self, future: asyncio.Future[HTTPResponse]) -> None:
        self._connections.release()
        future.exception()  # looked at here, since a cancelled caller won't

    def _decoder(self, result_type: Any, *, batch: bool) -> msgspec.json.Decoder[Any]:
        # As many as there are result types in the code.
        if (result_type, batch) not in self._decoders:
            answer: Any = _Answer[result_type]
            if batch:
                answer = list[answer] | answer
            self._decoders[result_type, batch] = msgspec.json.Decoder(answer)
        return self._decoders[result_type, batch]


def _origin(url: str) -> str:
    """Scheme, host and port: what may be logged."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


def _request(number: int, method: str, params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _reply(future: asyncio.Future[HTTPResponse]) -> _Reply:
    error = future.exception()
    if error is None:
        response = future.result()
        return _Reply(response.code, response.headers, response.body)
    timed_out = isinstance(error, CurlError) and error.errno == pycurl.E_OPERATION_TIMEDOUT
    raise faults.unavailable("no answer in time" if timed_out else "no connection")


def _decode(reply: _Reply, decoder: msgspec.json.Decoder[Any], method: str) -> Any:
    """The decoded body of a good answer; anything else is raised."""
    if reply.status == HTTPStatus.OK:
        decoded = _try_decode(reply.body, decoder)
        if isinstance(decoded, list) or not (decoded is None or decoded.is_none):
            return decoded
    refusal = reply.body if len(reply.body) <= faults.MAX_REFUSAL_BYTES else b""
    if faults.says_quota(refusal.decode(errors="replace")):
        raise faults.quota_exhausted()
    if reply.status == HTTPStatus.OK:
        raise faults.unavailable("broken answer")
    answer: _Answer[msgspec.Raw] | None = _try_decode(refusal, _REFUSAL)
    fault = None if answer is None else answer.error
    raise faults.status_failure(reply.status, reply.headers, fault, method)


def _decode_batch(
    reply: _Reply, decoder: msgspec.json.Decoder[Any], method: str
) -> list[_Answer[Any]]:
    try:
        answers: list[_Answer[Any]] | _Answer[Any] = _decode(reply, decoder, method)
        if isinstance(answers, list):
            return answers
        _result(answers, method)
    except KeyRefused:
        raise
    except UpstreamRejected as error:
        refused = BatchRefused(error.message)
    else:
        refused = BatchRefused("The Solana RPC answered a batch with a single result.")
    raise refused


def _is_for(answer: _Answer[T], number: int) -> bool:
    """An error has no id if the request's couldn't be read (JSON-RPC 2.0, section 5)."""
    if answer.id is None:
        return answer.error is not None
    return type(answer.id) is int and answer.id == number


def _by_number(answers: Sequence[_Answer[T]]) -> dict[int, _Answer[T]]:
    """Answers by the request that they are for. Two for the same are none: nobody can tell which
    is right."""
    numbered = [(each.id, each) for each in answers if type(each.id) is int]
    counts = Counter(number for number, _ in numbered)
    return {number: each for number, each in numbered if counts[number] == 1}


def _try_decode(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        return decoder.decode(body)
    except UNREADABLE:
        return None


def _result(answer: _Answer[T], method: str) -> T:
    if answer.error is not None:
        raise faults.failure(answer.error, method)
    if answer.result is msgspec.UNSET:
        raise faults.unavailable("broken answer")
    return answer.result
