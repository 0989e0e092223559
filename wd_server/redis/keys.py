"""The key store on Redis. All of it has one hash tag, so that a change is one step."""

from collections.abc import Sequence
from typing import Any, Final

from wd_server.access.store import (
    CHANGES_KEPT,
    KEYS_MAX,
    REVOKED_TOKENS_MAX,
    Changes,
    Exchange,
    Snapshot,
    decode,
    decode_all,
    encode,
)
from wd_server.errors import StoreFull
from wd_server.redis.link import RedisLink, Script

# keys: id -> row. tokens: jti by the time until which it is remembered. generation: a number.
# changes: `k<id>` or `t<jti>` by the generation of its last change.
_KEYS: Final = tuple(
    f"wd:{{access}}:{name}" for name in ("keys", "tokens", "generation", "changes")
)

# A store that lost its data counts on from the clock (microseconds, 51 bits), so that its
# generations are greater than all it ever had.
_NEXT = """
local function changed(member, kept)
    if redis.call('EXISTS', KEYS[3]) == 0 then
        local now = redis.call('TIME')
        redis.call('SET', KEYS[3], string.format('%.0f', now[1] * 1000000 + now[2]))
    end
    local generation = redis.call('INCR', KEYS[3])
    redis.call('ZADD', KEYS[4], string.format('%.0f', generation), member)
    redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -kept - 1)
end
"""
_SNAPSHOT: Final = Script("""
return {redis.call('GET', KEYS[3]) or '0', redis.call('HGETALL', KEYS[1]),
    redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')}
""")
# A member that changed again has moved to the end, so the oldest kept tells from where on changes
# are known. ARGV: after, how many are kept.
_CHANGES: Final = Script("""
local generation = tonumber(redis.call('GET', KEYS[3]) or '0')
local after = tonumber(ARGV[1])
local text = string.format('%.0f', generation)
if generation == after then return {text, {}} end
if after > generation or generation - after > tonumber(ARGV[2]) then return false end
local found = {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[4], '(' .. ARGV[1], '+inf', 'BYSCORE')) do
    local id = string.sub(member, 2)
    local what = string.sub(member, 1, 1)
    local value = what == 'k' and redis.call('HGET', KEYS[1], id) or
        what == 't' and redis.call('ZSCORE', KEYS[2], id)
    table.insert(found, {member, value})
end
return {text, found}
""")
_ROWS: Final = Script("return redis.call('HMGET', KEYS[1], unpack(ARGV))")
# ARGV: keys at most, changes kept, then of each exchange: id, row before, row after ('': none). A
# second run would find its own change and say that somebody else made it.
_EXCHANGE: Final = Script(
    _NEXT
    + """
local most, kept, new = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for i = 3, #ARGV, 3 do
    if (redis.call('HGET', KEYS[1], ARGV[i]) or '') ~= ARGV[i + 1] then return 0 end
    if ARGV[i + 1] == '' then new = new + 1 end
    if ARGV[i + 2] == '' then new = new - 1 end
end
if new > 0 and redis.call('HLEN', KEYS[1]) + new > most then return -1 end
for i = 3, #ARGV, 3 do
    if ARGV[i + 2] == '' then
        redis.call('HDEL', KEYS[1], ARGV[i])
    else
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    end
    changed('k' .. ARGV[i], kept)
end
return 1
""",
    once=True,
)
# ARGV: jti, until, now, tokens at most, changes kept.
_REVOKE_TOKEN: Final = Script(
    _NEXT
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[3])
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then return -1 end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
changed('t' .. ARGV[1], tonumber(ARGV[5]))
return 1
"""
)


class RedisKeyStore:
    """`link` is open before the first call, and closed after the last."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def snapshot(self) -> Snapshot:
        generation, rows, tokens = await self._link.run(_SNAPSHOT, _KEYS, ())
        ids = (each.decode(errors="replace") for each in rows[::2])
        keys, unreadable = decode_all(zip(ids, rows[1::2], strict=True))
        return Snapshot(int(generation), keys, _by_member(tokens), unreadable)

    async def changes(self, after: int) -> Changes | None:
        answer = await self._link.run(_CHANGES, _KEYS, (after, CHANGES_KEPT))
        if answer is None:
            return None
        rows, forgotten, tokens = [], [], {}
        for member, value in answer[1]:
            what, name = member[:1], member[1:].decode()
            if what == b"k" and value is not None:
                rows.append((name, value))
            elif what == b"k":
                forgotten.append(name)
            elif value is not None:
                tokens[name] = float(value)
        keys, unreadable = decode_all(rows)
        return Changes(int(answer[0]), keys, tuple(forgotten), tokens, unreadable)

    async def exchange(self, exchanges: Sequence[Exchange]) -> bool:
        if not exchanges:
            return True
        # Compared as what they mean: another version may have written the same key differently.
        ids = [exchange.id for exchange in exchanges]
        rows = await self._link.run(_ROWS, _KEYS, ids)
        arguments: list[Any] = []
        for exchange, row in zip(exchanges, rows, strict=True):
            if (None if row is None else decode(row)) != exchange.before:
                return False
            after = b"" if exchange.after is None else encode(exchange.after)
            arguments += (exchange.id, row or b"", after)
        done = await self._link.run(_EXCHANGE, _KEYS, (KEYS_MAX, CHANGES_KEPT, *arguments))
        if done == -1:
            raise StoreFull(f"There are {KEYS_MAX} keys, as many as there may be. Forget some.")
        return bool(done)

    async def revoke_token(self, jti: str, until: float, now: float) -> None:
        done = await self._link.run(
            _REVOKE_TOKEN, _KEYS, (jti, until, now, REVOKED_TOKENS_MAX, CHANGES_KEPT)
        )
        if done == -1:
            raise StoreFull(
                f"{REVOKED_TOKENS_MAX} tokens are revoked, as many as there may be. "
                "Revoke the key that they came from."
            )


def _by_member(scored: Sequence[bytes]) -> dict[str, float]:
    pairs = zip(scored[::2], scored[1::2], strict=True)
    return {member.decode(): float(score) for member, score in pairs}
