"""What the journal has Redis do in one step, and where it keeps a wallet.

Of a wallet Redis has two keys in one hash slot, and a channel of the same name:

*   `wd:{wallet}:log`, a stream: the entries of the current epoch, with `<epoch>-<seq>` as their
    ids. XADD refuses an id that isn't greater than the last, so no bug can number two entries
    alike. An entry's fields are `k` kind, `p` payload and `c` checksum (integrity.py); 0.1.0 had
    no `c`.
*   `wd:{wallet}`, a hash: `r` epoch, `s` seq and `k` kind of the newest entry; `c` checkpoint; `h`
    holder of the lease, `t` its token, `q` the last request it made; `f` the greatest epoch that is
    known to have been, where its entries were lost; `v` FORMAT of the newest entries.

A script may run twice when its answer was lost. Each can tell and does nothing the second time. The
first line refuses it whole when Redis has no memory left, so nothing is stored by half.
"""

from typing import Final

from wd_server.redis.lane import Script

# How entries are stored; `v` of the head. Grows with every change that an older server would take
# for damage: a node never gives up what a newer one wrote.
FORMAT: Final = 1
# What DISCARD answers of an epoch that a newer server wrote.
NEWER: Final = b"newer"

# What an announcement begins with: entries; something said on the topic; a lease that is free; the
# token before which all leases are over, since another has one or the entries were lost.
APPENDED: Final = b"a"
SAID: Final = b"n"
VACANT: Final = b"v"
OVER: Final = b"o"


def keys(wallet: str) -> tuple[str, str]:
    return f"wd:{{{wallet}}}", f"wd:{{{wallet}}}:log"


def wallet(channel: str) -> str:
    return channel[len("wd:{") : -len("}")]


# ARGV: holder, the holder it may take the lease from ('': none), the newest epoch and seq that
# anybody here was told of, seconds to keep. Returns whether it has it, and whoever has it; or its
# token and the head.
ACQUIRE: Final = Script("""#!lua
local head = redis.call('HMGET', KEYS[1], 'h', 't', 'r', 's', 'k', 'f')
local holder, run, seq, kind = head[1] or '', head[3], head[4], head[5]
if holder ~= ARGV[1] then
    if holder ~= '' and holder ~= ARGV[2] then return {0, holder} end
    local time = redis.call('TIME')
    local token = math.max(time[1] * 1000000 + time[2], tonumber(head[2] or 0) + 1)
    head[2] = string.format('%.0f', token)
    local told_run, told_seq = tonumber(ARGV[3]), tonumber(ARGV[4])
    local has = tonumber(run or 0)
    if has < told_run or (has == told_run and tonumber(seq or 0) < told_seq) then
        redis.call('UNLINK', KEYS[2])
        redis.call('HDEL', KEYS[1], 'r', 's', 'k', 'c')
        run = false
        if tonumber(head[6] or 0) < told_run then head[6] = ARGV[3] end
        redis.call('HSET', KEYS[1], 'f', head[6])
    end
    redis.call('HSET', KEYS[1], 'h', ARGV[1], 't', head[2], 'q', 0)
    redis.call('EXPIRE', KEYS[1], ARGV[5])
    redis.call('EXPIRE', KEYS[2], ARGV[5])
    if holder ~= '' then redis.call('SPUBLISH', KEYS[1], 'o' .. head[2]) end
end
if run then return {1, head[2], run, seq, kind, head[6] or '0'} end
return {1, head[2], '', '', '', head[6] or '0'}
""")

# ARGV: holder, seconds to keep. Returns whether it has the lease.
RENEW: Final = Script("""#!lua
if redis.call('HGET', KEYS[1], 'h') ~= ARGV[1] then return 0 end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
""")

# ARGV: holder.
RELEASE: Final = Script("""#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'h') == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'h')
    redis.call('SPUBLISH', KEYS[1], 'v')
end
return 1
""")

# ARGV: holder, epoch, seconds to keep, FORMAT. Returns the epoch that is the current one then, ''
# if the lease is lost.
BEGIN: Final = Script("""#!lua
local head = redis.call('HMGET', KEYS[1], 'h', 'r')
if head[1] ~= ARGV[1] then return '' end
if head[2] and tonumber(head[2]) >= tonumber(ARGV[2]) then return head[2] end
redis.call('UNLINK', KEYS[2])
redis.call('HDEL', KEYS[1], 'c')
redis.call('HSET', KEYS[1], 'r', ARGV[2], 's', 0, 'k', '', 'v', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return ARGV[2]
""")

# ARGV: holder, epoch, the seq it has to go on from ('': any), request, seconds to keep ('': as
# before), what to announce ('': nothing), checkpoint, FORMAT, then kind, payload and checksum of
# each entry. Returns the newest seq and whether it was stored before; -1: the lease is lost, -2:
# the epoch is over or entries are missing.
APPEND: Final = Script("""#!lua
local head = redis.call('HMGET', KEYS[1], 'h', 'r', 's', 'q')
if head[1] ~= ARGV[1] then return {-1, 0} end
local seq = tonumber(head[3] or 0)
if head[2] and tonumber(head[4]) >= tonumber(ARGV[4]) then return {seq, 1} end
if head[2] ~= ARGV[2] or (ARGV[3] ~= '' and seq ~= tonumber(ARGV[3])) then return {-2, 0} end
for i = 9, #ARGV, 3 do
    seq = seq + 1
    local id = ARGV[2] .. '-' .. seq
    redis.call('XADD', KEYS[2], id, 'k', ARGV[i], 'p', ARGV[i + 1], 'c', ARGV[i + 2])
end
if #ARGV > 8 then
    local kind = ARGV[#ARGV - 2]
    redis.call('HSET', KEYS[1], 's', seq, 'k', kind, 'c', ARGV[7], 'q', ARGV[4], 'v', ARGV[8])
    redis.call('SPUBLISH', KEYS[1], 'a' .. ARGV[2] .. ' ' .. seq .. ' ' .. ARGV[6])
else
    redis.call('HSET', KEYS[1], 'c', ARGV[7], 'q', ARGV[4])
end
if ARGV[5] ~= '' then
    redis.call('EXPIRE', KEYS[1], ARGV[5])
    redis.call('EXPIRE', KEYS[2], ARGV[5])
end
return {seq, 0}
""")

# Forget an epoch whose entries were lost or altered: leases before `token` are over, and the next
# epoch is greater than `forgotten`.
_FORGET: Final = """
local function forget(forgotten, token, keep)
    local time = redis.call('TIME')
    token = math.max(time[1] * 1000000 + time[2], tonumber(token or 0) + 1)
    token = string.format('%.0f', token)
    redis.call('UNLINK', KEYS[2])
    redis.call('HDEL', KEYS[1], 'h', 'r', 's', 'k', 'c', 'v')
    redis.call('HSET', KEYS[1], 'f', forgotten, 't', token)
    redis.call('EXPIRE', KEYS[1], keep)
    redis.call('SPUBLISH', KEYS[1], 'o' .. token)
    return token
end
"""

# ARGV: the epoch and seq that were told last, seconds to keep. Returns the head and, if it is
# another, its entry: id and fields. A wallet that has less than was told has lost entries, and is
# forgotten, once: then this returns '' and the token before which all leases are over.
CATCH_UP: Final = Script(
    "#!lua flags=allow-oom"
    + _FORGET
    + """
local head = redis.call('HMGET', KEYS[1], 'r', 's', 'k', 't', 'f')
local run, seq, token = head[1] or '', head[2] or '', head[4]
local has, told = tonumber(run) or 0, tonumber(ARGV[1])
if has < told or (has == told and (tonumber(seq) or 0) < tonumber(ARGV[2])) then
    if run ~= '' or (tonumber(head[5]) or 0) < told then
        token = forget(ARGV[1], token, ARGV[3])
    end
    return {'', token or '0', ''}
end
if seq == '' or seq == '0' or (run == ARGV[1] and seq == ARGV[2]) then
    return {run, seq, head[3] or ''}
end
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if not newest[1] then return {run, seq, head[3], '', {}} end
return {run, seq, head[3], newest[1][1], newest[1][2]}
"""
)

# ARGV: epoch, seconds to keep, FORMAT. Forgets this epoch if it is the current one. Returns the
# token before which all leases are over then, '' if it isn't, 'newer' if a newer server wrote it.
DISCARD: Final = Script(
    "#!lua flags=allow-oom"
    + _FORGET
    + """
local head = redis.call('HMGET', KEYS[1], 'r', 't', 'v')
if head[1] ~= ARGV[1] then return '' end
if tonumber(head[3] or 0) > tonumber(ARGV[3]) then return 'newer' end
return forget(ARGV[1], head[2], ARGV[2])
"""
)
