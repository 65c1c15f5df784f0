-- Puts one entry into the vault, and keeps what its principal has there within bounds: the oldest give way.
-- KEYS: the entry, the principal's index (call -> when, as "<call>:<bytes>"). They share a hash tag, as all it holds do.
-- ARGV: the entry's bytes, its call, seconds to live, most entries, most bytes, how full the store may be, key prefix.
-- Returns 1, or 0 where the store is too full.
local value, call, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most, bytes, full_at, prefix = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]

local info = redis.pcall('INFO', 'memory')
if type(info) == 'string' then
  local used = tonumber(string.match(info, 'used_memory:(%d+)'))
  local all = tonumber(string.match(info, 'maxmemory:(%d+)'))
  if used and all and all > 0 and used > all * full_at then
    return 0
  end
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('SET', KEYS[1], value, 'EX', ttl)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ttl * 1000)

local others, sizes, total = {}, {}, #value
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local name, size = string.match(member, '^(.*):(%d+)$')
  if name == call then
    redis.call('ZREM', KEYS[2], member)
  else
    others[#others + 1] = name
    sizes[#sizes + 1] = tonumber(size)
    total = total + tonumber(size)
  end
end
local at = 1
while at <= #others and (#others - at + 2 > most or total > bytes) do
  redis.call('DEL', prefix .. others[at])
  redis.call('ZREM', KEYS[2], others[at] .. ':' .. string.format('%d', sizes[at]))
  total = total - sizes[at]
  at = at + 1
end
redis.call('ZADD', KEYS[2], now, call .. ':' .. string.format('%d', #value))
redis.call('EXPIRE', KEYS[2], ttl)
return 1
