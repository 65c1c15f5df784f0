-- One operation upon one recording: an answer as a client got it, for those who ask the same again.
-- KEYS[1] is its claim, a hash: print (of the request), state ('running', 'done' or 'unkept'), token (of who makes it),
-- owner (the request that it is made for), and a:<router> = until when (ms) that router follows it. Beside it, under
-- <claim>:<token>, is the list of its entries. While it is made both live for a lease that the maker renews; so a maker
-- that dies leaves nothing behind, and one that was taken for dead has a token that counts no more.
-- ARGV: operation, token, router, and what the operation takes. Returns {state, ms left, attached 0|1, token, entry…}.
local key, op, token, router = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local BELL = 'idem:bell:'

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local held = redis.call('HMGET', key, 'token', 'state', 'print', 'owner')

local function entries_of(name)
  return key .. ':' .. name
end

-- Routers that follow now.
local function followers()
  local found, all = {}, redis.call('HGETALL', key)
  for at = 1, #all, 2 do
    if string.sub(all[at], 1, 2) == 'a:' and tonumber(all[at + 1]) > now then
      found[#found + 1] = string.sub(all[at], 3)
    end
  end
  return found
end

local function ring()
  for _, name in ipairs(followers()) do
    redis.call('PUBLISH', BELL .. name, key)
  end
end

local function answer(state, entries)
  local left = redis.call('PTTL', key)
  local reply = { state, left > 0 and left or 0, #followers() > 0 and 1 or 0, held[1] or '' }
  for at, entry in ipairs(entries or {}) do
    reply[at + 4] = entry
  end
  return reply
end

local function follow(ms)
  redis.call('HSET', key, 'a:' .. router, string.format('%.0f', now + ms))
end

local function forget()
  ring()
  redis.call('DEL', key)
end

local function unkeep(ms)
  redis.call('HSET', key, 'state', 'unkept')
  redis.call('PEXPIRE', key, ms)
  ring()
  redis.call('DEL', entries_of(token))
end

-- What is in ARGV from `first` on, after `seen` earlier ones; some of it may be there already.
local function append(made, seen, first)
  for at = first + redis.call('LLEN', made) - seen, #ARGV do
    redis.call('RPUSH', made, ARGV[at])
  end
end

local function full(share)
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then
    return false
  end
  local used = tonumber(string.match(info, 'used_memory:(%d+)'))
  local all = tonumber(string.match(info, 'maxmemory:(%d+)'))
  return used and all and all > 0 and used > all * share
end

-- print, owner, lease ms, ms to follow, '1' to make it again → 'held' (the caller makes it now), 'other' (another request has this name), or
-- its state and all entries so far
if op == 'claim' then
  local print, owner, lease, ms = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
  local made = held[1] and entries_of(held[1])
  local lost = held[2] == 'done' and redis.call('EXISTS', made) == 0
  -- The same request once more is an edge's next try: whoever made it then is gone.
  local again = held[2] == 'running' and held[4] == owner or held[2] ~= 'running' and ARGV[8] == '1'
  if held[1] and held[1] ~= token and held[3] ~= print then
    return answer('other')
  elseif held[1] and held[1] ~= token and not lost and not again then
    if held[2] == 'running' then
      follow(ms)
    end
    return answer(held[2], held[2] ~= 'unkept' and redis.call('LRANGE', made, 0, -1))
  end
  redis.call('HSET', key, 'print', print, 'state', 'running', 'token', token, 'owner', owner)
  redis.call('HDEL', key, 'a:' .. router)
  redis.call('PEXPIRE', key, lease)
  ring()
  return answer('held')
end

if op == 'read' then
  local entries = held[2] == 'done' and redis.call('LRANGE', entries_of(held[1]), 0, -1) or {}
  return answer(#entries > 0 and 'done' or 'gone', entries)
end

if held[1] ~= token then
  -- A recording that failed is forgotten at once, but whoever followed it may still read how.
  return answer('gone', op == 'look' and redis.call('LRANGE', entries_of(token), tonumber(ARGV[4]), -1))
end

-- from which entry on, ms to follow
if op == 'look' then
  follow(tonumber(ARGV[5]))
  return answer(held[2], redis.call('LRANGE', entries_of(token), tonumber(ARGV[4]), -1))
end

-- 'running' or 'done', ms to live, how full the store may be, how many entries came before, entry…
if op == 'write' then
  local state, ms, made = ARGV[4], tonumber(ARGV[5]), entries_of(token)
  if held[2] == 'unkept' or (#ARGV > 7 and full(tonumber(ARGV[6]))) then
    unkeep(ms)
    return answer('unkept')
  end
  append(made, tonumber(ARGV[7]), 8)
  redis.call('HSET', key, 'state', state)
  redis.call('PEXPIRE', key, ms)
  redis.call('PEXPIRE', made, ms)
  if #ARGV > 7 then
    ring()
  end
  return answer(state)
end

-- ms to live: larger than may be kept
if op == 'unkeep' then
  unkeep(tonumber(ARGV[4]))
  return answer('unkept')
end

-- ms to live, how many entries came before, entry…: the last says how
if op == 'fail' then
  local made = entries_of(token)
  append(made, tonumber(ARGV[5]), 6)
  redis.call('PEXPIRE', made, tonumber(ARGV[4]))
  forget()
  return answer('gone')
end

-- '1': nobody here wants it any more, so it goes on only for others that follow; '0': it ends here in any case
if op == 'leave' then
  if ARGV[4] == '1' and held[2] == 'running' and #followers() > 0 then
    return answer('running')
  end
  forget()
  redis.call('DEL', entries_of(token))
  return answer('gone')
end

return redis.error_reply('unknown operation')
