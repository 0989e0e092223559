"""What is spent on a day, in Redis: a hash of the day's total and of each process' share, for all
and for each account."""

from datetime import date
from typing import Final

from wd_server.chain.budget import LIVES_MAX
from wd_server.chain.credits import Share
from wd_server.redis.link import RedisLink, Script

# After the last change of a day; who was cut off until then has nothing more to say of it.
KEPT_SECONDS = 2 * 86_400

# ARGV: process, its share's `spent`, `counted` and `total`, processes at most, seconds to keep. The
# same arithmetic as Share.total_with, so a second run changes nothing.
_COUNT: Final = Script("""
local spent, counted, known = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local stored = redis.call('HMGET', KEYS[1], 'total', ARGV[1])
local before = tonumber(stored[1] or 0)
counted = math.max(tonumber(stored[2] or 0), counted)
local total = math.max(before, known) + math.max(spent - counted, 0)
if total > before then
    if not stored[2] and redis.call('HLEN', KEYS[1]) > tonumber(ARGV[5]) then
        redis.call('DEL', KEYS[1])
    end
    redis.call('HSET', KEYS[1], 'total', total, ARGV[1], math.max(spent, counted))
    redis.call('EXPIRE', KEYS[1], ARGV[6])
end
return total
""")


class RedisBudgetStore:
    """`link` is open before the first call, and closed after the last."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def count(self, life: str, share: Share) -> int:
        amounts = (share.spent, share.counted, share.total)
        total: int = await self._link.run(
            _COUNT, [_key(share)], (life, *amounts, LIVES_MAX, KEPT_SECONDS)
        )
        return total


def _key(share: Share) -> str:
    """With the date and the account, for whoever looks at Redis."""
    day = date.fromordinal(date(1970, 1, 1).toordinal() + share.day)
    return f"wd:{{credits}}:{day}" + (f":{share.account}" if share.account else "")
