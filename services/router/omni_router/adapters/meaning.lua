-- One operation upon one bucket: vectors of what was asked, of those that may be compared with one another.
-- KEYS[1] is a sorted set of names by when each ends (ms). Beside it, under <bucket>:vectors, is a hash: s:<name> a sketch
-- and v:<name> a vector. Both live as long as the one of them that lives longest.
-- ARGV: operation, and what it takes.
local key, op = KEYS[1], ARGV[1]
local vectors = key .. ':vectors'

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function drop(names)
  for _, name in ipairs(names) do
    redis.call('ZREM', key, name)
    redis.call('HDEL', vectors, 's:' .. name, 'v:' .. name)
  end
end

-- What the hash has of names, by the letter before them; '' for one that is gone.
local function held(letter, names)
  local fields = {}
  for at, name in ipairs(names) do
    fields[at] = letter .. name
  end
  local found = #fields > 0 and redis.call('HMGET', vectors, unpack(fields)) or {}
  for at = 1, #fields do
    found[at] = found[at] or ''
  end
  return found
end

-- → {name…, sketch…}
if op == 'sketches' then
  local names = redis.call('ZRANGEBYSCORE', key, now, '+inf')
  for _, sketch in ipairs(held('s:', names)) do
    names[#names + 1] = sketch
  end
  return names
end

-- name… → {vector…}
if op == 'vectors' then
  return held('v:', { unpack(ARGV, 2) })
end

-- name, ms to live, how many there may be, sketch, vector
if op == 'add' then
  local name, ms, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
  drop(redis.call('ZRANGEBYSCORE', key, '-inf', now))
  redis.call('ZADD', key, string.format('%.0f', now + ms), name)
  redis.call('HSET', vectors, 's:' .. name, ARGV[5], 'v:' .. name, ARGV[6])
  local over = redis.call('ZCARD', key) - most
  if over > 0 then
    drop(redis.call('ZRANGE', key, 0, over - 1))
  end
  for _, each in ipairs({ key, vectors }) do
    if redis.call('PTTL', each) < ms then
      redis.call('PEXPIRE', each, ms)
    end
  end
  return {}
end

-- name
if op == 'drop' then
  drop({ ARGV[2] })
  return {}
end

return redis.error_reply('unknown operation')
