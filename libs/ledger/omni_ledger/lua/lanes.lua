-- Lanes: what a provider takes in a time, of all that is asked there, of one account, of one account for one model. A
-- lane lets so many requests and tokens through in a minute, one not sooner than a gap after another, and so many at
-- once; 0 is any. Configuration says so with each admission; of an account's model the rest is learned from answers.
--
--   pace:{omni}:lane:<name>    {last let through (ms), learned requests, tokens and at once, "told" | "refused", learned
--                              when (ms), first refused when (ms), requests left, tokens left, until (ms), cooled
--                              down until (ms)}
--   pace:{omni}:active:<name>  attempts under way by when they are taken for gone: their router says every LEASE / 4 that
--                              it is at them
--   pace:{omni}:tokens:<name>  tokens by the second they were asked for in; pace:{omni}:refused:<name> refusals likewise
--   pace:{omni}:queue:<name>   tickets of who waits by when they came; pace:{omni}:leases:<name> by when they are gone
--   pace:{omni}:known          lanes that something is known of
-- Requests are counted as a key's are, in rate.lua. A ticket is "<router>/<what that calls it>".
--
-- Who comes goes behind all who wait: there must be room for them too. So a place in the queue is all it takes to be
-- next, whoever is woken first, and who does not come back for it loses it.
local PACE, LANE_TTL, TOKEN_SPAN = 'pace:{omni}:', 86400000, 60
local HERD_GAP, HERD_FOR, RECOVERS_AFTER, RECOVERY, TOKEN_KEEP = 20, 2000, 300000, 1.1, 62
local KNOWN_LANES = PACE .. 'known'

local function lane_record(name)
  local raw = call('GET', PACE .. 'lane:' .. name)
  return raw and unpack_value(raw)
end

local function lane_write(name, record)
  call('SET', PACE .. 'lane:' .. name, pack(record), 'PX', LANE_TTL)
  call('ZADD', KNOWN_LANES, now + LANE_TTL, name)
end

local function lane_new()
  return { 0, 0, 0, 0, '', 0, 0, 0, 0, 0, 0 }
end

-- What was learned from refusals is tried again after a while, a tenth more each minute, and one more at least; what a
-- provider told holds.
local function lane_recovered(record, learned)
  if learned == 0 or record[5] == 'told' then
    return learned
  end
  local minutes = floor(max(0, now - record[6] - RECOVERS_AFTER) / 60000)
  return max(learned + minutes, floor(learned * RECOVERY ^ min(minutes, 200)))
end

-- The lane as it stands, or nil where nothing bounds it. `said` is {name, requests, tokens, gap (ms), at once}.
local function lane_look(said, learns)
  local name, record, queued = said[1], nil, call('EXISTS', PACE .. 'queue:' .. said[1]) == 1
  if learns or queued or said[4] > 0 then
    record = lane_record(name)
  end
  local lane = { name = name, record = record, requests = said[2], tokens = said[3], gap = said[4], most = said[5], queued = queued }
  if learns and record then
    lane.learns = true
    lane.requests = lane.requests > 0 and lane.requests or lane_recovered(record, record[2])
    lane.tokens = lane.tokens > 0 and lane.tokens or lane_recovered(record, record[3])
    lane.most = lane.most > 0 and lane.most or lane_recovered(record, record[4])
  end
  if queued and record and now < (record[11] or 0) + HERD_FOR then -- they have all waited for that moment
    lane.gap = max(lane.gap, HERD_GAP)
  end
  if lane.learns or lane.requests + lane.tokens + lane.gap + lane.most > 0 then
    return lane
  end
end

local function lane_leave(name, ticket)
  call('ZREM', PACE .. 'queue:' .. name, ticket)
  call('ZREM', PACE .. 'leases:' .. name, ticket)
end

-- How many wait that came before.
local function lane_ahead(lane, came)
  if not lane.queued then
    return 0
  end
  for _, ticket in ipairs(call('ZRANGEBYSCORE', PACE .. 'leases:' .. lane.name, '-inf', now, 'LIMIT', 0, 100)) do
    lane_leave(lane.name, ticket)
  end
  return call('ZCOUNT', PACE .. 'queue:' .. lane.name, '-inf', came > 0 and '(' .. whole(came) or '+inf')
end

-- What a hash by seconds has of the last minute, and the seconds that have some.
local function lane_sum(key)
  local all, used, seconds, gone = call('HGETALL', key), 0, {}, {}
  for i = 1, #all, 2 do
    local second, count = tonumber(all[i]), tonumber(all[i + 1])
    if second + TOKEN_SPAN > now_s then
      used = used + count
      seconds[#seconds + 1] = { second, count }
    else
      gone[#gone + 1] = all[i]
    end
  end
  if #gone > 0 then
    call('HDEL', key, unpack(gone))
  end
  return used, seconds
end

-- Milliseconds until `need` tokens more fit under `limit`. What never fits waits until there is nothing else.
local function lane_tokens_wait(name, limit, need)
  local used, seconds = lane_sum(PACE .. 'tokens:' .. name)
  if used <= 0 or used + need <= limit then
    return 0
  end
  table.sort(seconds, function(a, b)
    return a[1] < b[1]
  end)
  for _, each in ipairs(seconds) do
    used = used - each[2]
    if used <= 0 or used + need <= limit then
      return (each[1] + TOKEN_SPAN) * 1000 - now
    end
  end
  return TOKEN_SPAN * 1000
end

local function lane_requests_wait(lane, ahead)
  local rate = rate_look('lane:' .. lane.name)
  lane.rate = rate
  if rate.used + ahead < lane.requests then
    return 0
  end
  local rounds = floor(ahead / lane.requests) * SPAN
  if rate.fresh then
    return rounds
  end
  return rate_wait(rate, min(rate.used, lane.requests - ahead % lane.requests)) + rounds
end

-- How many are under way; the reservations of those that have ended without a word have ended too.
local function lane_active(name)
  call('ZREMRANGEBYSCORE', PACE .. 'active:' .. name, '-inf', now)
  return call('ZCARD', PACE .. 'active:' .. name)
end

-- Milliseconds until it lets a request of so many tokens through, as far as that can be said.
local function lane_wait(lane, tokens, came)
  local ahead, wait, record = lane_ahead(lane, came), 0, lane.record
  lane.ahead = ahead
  if lane.gap > 0 and record then
    wait = max(0, record[1] + lane.gap - now)
  end
  wait = wait + ahead * lane.gap
  if lane.requests > 0 then
    wait = max(wait, lane_requests_wait(lane, ahead))
  end
  if lane.tokens > 0 then
    wait = max(wait, lane_tokens_wait(lane.name, lane.tokens, tokens * (ahead + 1)))
  end
  if lane.most > 0 and lane_active(lane.name) + ahead >= lane.most then
    wait = max(wait, 250 + 100 * ahead) -- nobody knows; whoever ends rings
  end
  if record and record[10] > now and (record[8] <= ahead or record[9] < tokens * (ahead + 1)) then
    wait = max(wait, record[10] - now)
  end
  return wait
end

local function lane_join(name, ticket, came, lease)
  local queue, leases = PACE .. 'queue:' .. name, PACE .. 'leases:' .. name
  call('ZADD', queue, 'NX', came, ticket)
  call('ZADD', leases, now + lease, ticket)
  call('PEXPIRE', queue, 600000)
  call('PEXPIRE', leases, 600000)
  call('ZADD', KNOWN_LANES, now + 600000, name)
end

-- `asked` is {tokens, learns 0|1, ticket or '', came (ms) or 0, lease (ms), {lane…}}; the last lane is that which
-- learns. Returns the lanes to go through, or nil and the refusal. With a ticket, who is refused waits.
local function lanes_look(asked, dry)
  local lanes, slowest, longest = {}, nil, 0
  local tokens, ticket, came = asked[1], asked[3], asked[4]
  for i, said in ipairs(asked[6]) do
    local lane = lane_look(said, asked[2] == 1 and i == #asked[6])
    if lane then
      lanes[#lanes + 1] = lane
      lane.wait = lane_wait(lane, tokens, came)
      if lane.wait > longest then
        slowest, longest = lane, lane.wait
      end
    end
  end
  if not slowest then
    return lanes
  end
  if ticket ~= '' and not dry then
    came = came > 0 and came or now
    for _, lane in ipairs(lanes) do -- in one queue: who waits for one model is in nobody's way at its provider
      if lane == slowest then
        lane_join(lane.name, ticket, came, asked[5])
      elseif lane.queued then
        lane_leave(lane.name, ticket)
      end
    end
  end
  return nil, { 'n', 'paced', longest / 1000, slowest.name, 'paced', 0, '', came, slowest.ahead }
end

-- Who waits for a circuit's time to be up, waits in its lane as well: they shall not come back all at once.
local function lanes_await(asked, refusal)
  local ticket, lanes = asked[3], asked[6]
  if ticket == '' or refusal[5] ~= 'rate_limit' or #lanes == 0 then
    return refusal
  end
  local came, name = asked[4] > 0 and asked[4] or now, lanes[#lanes][1]
  local record = lane_record(name) or lane_new()
  record[11] = now + floor(refusal[3] * 1000)
  lane_write(name, record)
  lane_join(name, ticket, came, asked[5])
  refusal[7], refusal[8], refusal[9] = '', came, 0
  return refusal
end

local function lane_take(lane, tokens, attempt, expires, ticket)
  local name, record = lane.name, lane.record
  if lane.requests > 0 or lane.learns then
    rate_count(lane.rate or rate_look('lane:' .. name))
  end
  if lane.tokens > 0 or lane.learns then
    call('HINCRBY', PACE .. 'tokens:' .. name, whole(now_s), tokens)
    call('EXPIRE', PACE .. 'tokens:' .. name, TOKEN_KEEP)
  end
  if lane.gap > 0 or (record and record[10] > now) then
    record = record or lane_new()
    record[1] = now
    record[8], record[9] = max(0, record[8] - 1), max(0, record[9] - tokens)
    lane_write(name, record)
  end
  if lane.most > 0 or lane.learns then
    call('ZADD', PACE .. 'active:' .. name, min(expires, now + LEASE), attempt)
    call('PEXPIRE', PACE .. 'active:' .. name, LANE_TTL)
  end
  if lane.queued and ticket ~= '' then
    lane_leave(name, ticket)
  end
  call('ZADD', KNOWN_LANES, now + LANE_TTL, name)
end

-- Goes through all of them; returns what a hold keeps of that.
local function lanes_take(lanes, asked, attempt, expires)
  local names = {}
  for i, lane in ipairs(lanes) do
    lane_take(lane, asked[1], attempt, expires, asked[3])
    names[i] = lane.name
  end
  return { asked[1], now_s, names }
end

-- One of those who wait may look again.
local function lane_ring(name)
  local first = call('ZRANGE', PACE .. 'queue:' .. name, 0, 0)[1]
  if first then
    local slash = string.find(first, '/', 1, true)
    call('PUBLISH', 'pace:bell:' .. string.sub(first, 1, slash - 1), string.sub(first, slash + 1))
  end
end

-- An attempt has ended; `used` is how many tokens it took, -1 where nobody knows.
local function lanes_free(taken, attempt, used)
  local more = used >= 0 and used - taken[1] or 0
  for _, name in ipairs(taken[3]) do
    call('ZREM', PACE .. 'active:' .. name, attempt)
    local tokens = PACE .. 'tokens:' .. name
    if more ~= 0 and call('HEXISTS', tokens, whole(taken[2])) == 1 then
      call('HINCRBY', tokens, whole(taken[2]), more)
    end
    lane_ring(name)
  end
end

local function lanes_renew(taken, attempt)
  for _, name in ipairs(taken[3]) do
    call('ZADD', PACE .. 'active:' .. name, now + LEASE, attempt)
    call('PEXPIRE', PACE .. 'active:' .. name, LANE_TTL)
  end
end

-- `told` is {lane, requests a minute, tokens a minute, requests left or -1, tokens left or -1, until when (ms from now),
-- 0 | 1 refused for coming too often | 2 for too many at once}; 0 is not told.
local function lane_learn(told)
  local name, refused = told[1], told[7]
  local record = lane_record(name) or lane_new()
  if told[2] + told[3] > 0 then
    record[2], record[3], record[5], record[6] = told[2], told[3], 'told', now
  end
  local away = lane_active(name)
  if told[6] > 0 then
    record[8] = told[4] >= 0 and max(0, told[4] - away) or 1e9
    record[9], record[10] = told[5] >= 0 and told[5] or 1e15, now + told[6]
  end
  if refused > 0 and record[7] == 0 then -- from now on its requests are counted
    record[7] = now
  elseif refused == 2 then
    if record[7] + SPAN <= now then
      record[4], record[5], record[6] = max(1, away), 'refused', now
    end
  elseif refused == 1 and record[5] ~= 'told' then
    local refusals = PACE .. 'refused:' .. name
    call('HINCRBY', refusals, whole(now_s), 1)
    call('EXPIRE', refusals, TOKEN_KEEP)
    local through = rate_look('lane:' .. name).used - lane_sum(refusals)
    if record[7] + SPAN <= now and record[6] + SPAN <= now and through > 0 then
      record[2], record[5], record[6] = max(1, floor(through * 0.9)), 'refused', now
    end
  end
  lane_write(name, record)
end

-- {name, learned requests, tokens and at once, 'told' | 'refused' | '', requests and tokens of the last minute, under
-- way, waiting}
local function lane_shown(name)
  local record = lane_record(name) or lane_new()
  return {
    name, lane_recovered(record, record[2]), lane_recovered(record, record[3]), lane_recovered(record, record[4]),
    record[5], rate_look('lane:' .. name).used, (lane_sum(PACE .. 'tokens:' .. name)), lane_active(name),
    call('ZCARD', PACE .. 'queue:' .. name),
  }
end

local function lanes_known()
  call('ZREMRANGEBYSCORE', KNOWN_LANES, '-inf', now)
  local names = call('ZRANGE', KNOWN_LANES, 0, -1)
  table.sort(names)
  return names
end

-- Forgets what was learned of it, and counts anew.
local function lane_forget(name)
  call('ZREM', KNOWN_LANES, name)
  return call('DEL', PACE .. 'lane:' .. name, PACE .. 'tokens:' .. name, PACE .. 'refused:' .. name, QUOTA .. 'rpm:lane:' .. name)
end
