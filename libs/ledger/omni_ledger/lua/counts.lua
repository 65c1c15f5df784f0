-- Allowances: what a limit lets its keys use of something other than money, or as many attempts as they have under way.
-- An attempt takes `fixed` and `per_token` for each token of output that it is granted: held as on a budget, and settled to
-- what it was. `asked` is {of, most, window, fixed, per_token, {percent…}, {limit's id, name, organisation}, refuses 1 or nothing}; `of` is
-- 'requests' (spent when they are let through), 'input', 'output', 'tokens' (both), 'usd' (nano) or 'concurrent'. With percents, though there be
-- none, it refuses nothing and clamps nothing but where it says so; where what is spent comes to one of them, a LimitEvent (events.v1) tells so,
-- once a window.
--
-- quota:{omni}:count:<of>:<owner>:<window>:<start> is a hash as a budget's. Of a window that rolls, without a start, it is
-- {<bucket>: spent, h<bucket>: held}, a bucket being when it begins (s). In both w<percent> is when that was told (s). All that is asked for in a bucket counts there, also
-- what becomes known later, until the whole bucket is a window ago: never more than the limit is let through in any such time.
-- Of 'concurrent' it is a set of attempts by when they are taken for gone, as in lanes.
-- A window {name, seconds} begins when something is first taken in it, and lasts so long: quota:{omni}:since:<owner>:<name>
-- is when that was (s), and goes when it ends.
local ROLLING = { minute = { 60, 1 }, ['5h'] = { 18000, 300 } } -- seconds: the window, a bucket
local COUNT_TTL = 86400000

local function count_rolled(count, span, width)
  local all, gone = call('HGETALL', count.key), {}
  count.rolls, count.finish, count.buckets = span + width, floor(now_s / width) * width, {}
  for i = 1, #all, 2 do
    local mark = string.sub(all[i], 1, 1)
    local held = mark == 'h'
    local bucket, amount = tonumber(held and string.sub(all[i], 2) or all[i]), tonumber(all[i + 1])
    if mark == 'w' then
      bucket = nil -- no bucket
    elseif bucket + count.rolls <= now_s then
      gone[#gone + 1] = all[i]
    else
      local what = held and 'held' or 'spent'
      count[what] = count[what] + amount
      count.buckets[#count.buckets + 1] = { bucket, amount }
    end
  end
  if #gone > 0 then
    call('HDEL', count.key, unpack(gone))
  end
  table.sort(count.buckets, function(a, b)
    return a[1] < b[1]
  end)
end

local function count_active(key)
  call('ZREMRANGEBYSCORE', key, '-inf', now)
  return call('ZCARD', key)
end

local function since_key(owner, name)
  return QUOTA .. 'since:' .. owner .. ':' .. name
end

-- Start and end (s) of a window that began with its first use, and whether none has begun. What begins in the future is of
-- a clock that was put back since.
local function count_since(owner, window)
  local start = tonumber(call('GET', since_key(owner, window[1])) or '-1')
  if start < 0 or start > now_s or start + window[2] <= now_s then
    return now_s, now_s + window[2], true
  end
  return start, start + window[2], false
end

local function count_begin(owner, window, start)
  call('SET', since_key(owner, window[1]), whole(start))
  call('EXPIREAT', since_key(owner, window[1]), start + window[2])
end

-- What stands of an allowance; `finish` is when its window ends, or which bucket is counted in.
local function count_read(owner, of, window)
  local count = { key = QUOTA .. 'count:' .. of .. ':' .. owner, of = of, spent = 0, held = 0, finish = 0 }
  local rolling = ROLLING[window]
  if of == 'concurrent' then
    count.held = count_active(count.key)
  elseif rolling then
    count.key = count.key .. ':' .. window
    count_rolled(count, rolling[1], rolling[2])
  else
    local start, finish
    if type(window) == 'table' and #window == 2 then
      start, finish, count.begins = count_since(owner, window)
      count.owner, count.window = owner, window
    else
      start, finish = bounds(window, now_s)
    end
    count.key, count.finish = count.key .. ':' .. window_name(window) .. ':' .. whole(start), finish
    count.spent, count.held, count.fresh = budget_read(count.key)
  end
  return count
end

-- Milliseconds until so much fits, 0 for never.
local function count_wait(count, most, need)
  if not count.rolls then
    return count.finish > 0 and max(1, count.finish * 1000 - now) or 0
  end
  local used = count.spent + count.held
  for _, each in ipairs(count.buckets) do
    used = used - each[2]
    if used + need <= most then
      return (each[1] + count.rolls) * 1000 - now
    end
  end
  return count.rolls * 1000
end

-- Returns the count to take of, or nil and the refusal.
local function count_look(owner, asked, wanted)
  local of, most, fixed, per_token = asked[1], asked[2], asked[4], asked[5]
  local count = count_read(owner, of, asked[3])
  if asked[6] and #asked[6] > 0 then
    count.warns = { most, asked[6], asked[7], window_name(asked[3]) }
  end
  if asked[6] and asked[8] ~= 1 then
    count.granted, count.fixed, count.per_token = wanted, fixed, per_token
    return count
  elseif of == 'concurrent' then
    if count.held < most then
      return count
    end
    return nil, { 'n', 'rate_limited', 1, '', of, 0, owner }
  end
  local granted, held = granted_under(most, count.spent, count.held, fixed, per_token, wanted, min(1, wanted))
  if not granted then
    local reason = 'rate_limited'
    if of ~= 'requests' then
      reason = (of == 'usd' and 'budget_' or 'tokens_') .. (held and 'held' or 'exhausted')
    end
    local wait = held and 1000 or count_wait(count, most, fixed + min(1, wanted) * per_token)
    return nil, recalled({ 'n', reason, wait / 1000, '', of, 0, owner }, held and slices_recall(count.key))
  end
  count.granted, count.fixed, count.per_token, count.money = granted, fixed, per_token, of == 'usd'
  return count
end

-- Adds the counts to take of. Of refusals that with the longest wait is kept; 0 is for ever.
local function counts_look(counts, refusal, level, wanted)
  for _, asked in ipairs(level[4]) do
    if asked[1] == 'concurrent' or asked[4] + min(1, wanted) * asked[5] > 0 then
      local count, other = count_look(level[1], asked, wanted)
      counts[#counts + 1] = count
      if other and not (refusal and (refusal[3] == 0 or (other[3] > 0 and refusal[3] >= other[3]))) then
        refusal = other
      end
    end
  end
  return refusal
end

-- One that refuses by money, with what is held of it.
local function counts_money(counts)
  for _, count in ipairs(counts) do
    if count.money then
      return count
    end
  end
end

-- What a hold keeps of them: {{key, window's end or bucket, amount, of, how long it rolls (s) or 0, {most, {percent…},
-- {limit's id, name, organisation}, window} or nothing}…}.
local function counts_kept(counts, granted)
  local kept = {}
  for i, count in ipairs(counts) do
    local amount = count.granted and count.fixed + granted * count.per_token or 0
    kept[i] = { count.key, count.finish, amount, count.of, count.rolls or 0, count.warns }
  end
  return kept
end

-- Whether one of what a hold keeps, if any, is of attempts at once.
local function counts_at_once(kept)
  for _, entry in ipairs(kept or {}) do
    if entry[4] == 'concurrent' then
      return true
    end
  end
  return false
end

local function count_spent(key, rolls)
  if rolls == 0 then
    return tonumber(call('HGET', key, 's') or '0')
  end
  local all, spent = call('HGETALL', key), 0
  for i = 1, #all, 2 do
    local bucket = tonumber(all[i]) -- nil for all but what is spent
    if bucket and bucket + rolls > now_s then
      spent = spent + tonumber(all[i + 1])
    end
  end
  return spent
end

local function limit_event(entry, percent, spent, window_at)
  local most, limit, window = entry[6][1], entry[6][3], entry[6][4]
  local id = table.concat({ limit[1], entry[4], window, whole(window_at), whole(percent) }, '/')
  local said = {
    field('\10', id), '\16' .. varint(now), '\24' .. varint(percent), '\32' .. varint(spent), field('\42', limit[1]),
    field('\50', limit[2]), field('\58', limit[3]), field('\66', entry[4]), field('\74', window), '\80' .. varint(most),
  }
  return field('\26', table.concat(said))
end

-- Tells what percents of it are spent now, each once a window, or once in as long as one that rolls.
local function count_warn(entry, router)
  local key, rolls, warns = entry[1], entry[5], entry[6]
  if not warns then
    return
  end
  local spent = count_spent(key, rolls)
  for _, percent in ipairs(warns[2]) do
    local mark = 'w' .. whole(percent)
    local told = tonumber(call('HGET', key, mark) or '0')
    if spent * 100 >= warns[1] * percent and (told == 0 or (rolls > 0 and told + rolls <= now_s)) then
      call('HSET', key, mark, whole(now_s))
      emit(router, { limit_event(entry, percent, spent, rolls > 0 and now_s or entry[2]) })
    end
  end
end

local function count_take(count, entry, attempt, expires, router)
  local held, amount = count.of ~= 'requests', entry[3]
  if count.begins then
    count_begin(count.owner, count.window, now_s)
  end
  if count.of == 'concurrent' then
    call('ZADD', count.key, min(expires, now + LEASE), attempt)
    call('PEXPIRE', count.key, COUNT_TTL)
  elseif count.rolls then
    call('HINCRBY', count.key, (held and 'h' or '') .. whole(count.finish), amount)
    call('EXPIRE', count.key, count.rolls)
  elseif held then
    budget_hold(count, amount)
  else
    call('HINCRBY', count.key, 's', amount)
    budget_expire(count.key, count.finish)
  end
  if not held then
    count_warn(entry, router)
  end
end

local function count_move(entry, held, spent)
  local key, finish = entry[1], entry[2]
  if entry[5] == 0 then
    budget_move(key, finish, held, spent)
    return
  end
  local bucket = whole(finish)
  if call('HEXISTS', key, held > 0 and 'h' .. bucket or bucket) == 1 then -- else it counts no more
    if held > 0 then
      call('HINCRBY', key, 'h' .. bucket, -held)
    end
    call('HINCRBY', key, bucket, spent)
  end
end

-- An attempt has ended, which was held or is reaped already. `used` is what it came to, nil for what was held.
local function counts_end(kept, attempt, router, held, used)
  for _, entry in ipairs(kept) do
    if entry[4] == 'concurrent' then
      call('ZREM', entry[1], attempt)
    elseif entry[4] ~= 'requests' then
      local amount = entry[3]
      local truth = used and used[entry[4]] or amount
      count_move(entry, held and amount or 0, held and truth or truth - amount)
      count_warn(entry, router)
    end
  end
end

local function counts_renew(kept, attempt)
  for _, entry in ipairs(kept) do
    if entry[4] == 'concurrent' then
      call('ZADD', entry[1], now + LEASE, attempt) -- also one that was taken for dead
      call('PEXPIRE', entry[1], COUNT_TTL)
    end
  end
end

-- {spent, held, when it begins anew, or when the first of a rolling window is free again (s), 0 for never}
local function count_shown(owner, of, window)
  local count = count_read(owner, of, window)
  local finish = count.begins and 0 or count.finish
  if count.rolls then
    finish = count.buckets[1] and count.buckets[1][1] + count.rolls or 0
  end
  return { count.spent, count.held, finish }
end
