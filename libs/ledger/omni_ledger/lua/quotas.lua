-- What providers say of accounts' quotas, and who asks them. Never in the way of a request: what an account has used of its
-- own windows is counted as allowances are (counts.lua), for the owner account:<account>, or account:<account> <window>.
--
--   quota:{omni}:told:<account>   {plan, message, when it was fetched (ms; 0 never), {window…}}, a window being
--     {name, of, used, total (0 not known), ends (ms; 0 not known), unlimited 0|1, {model pattern…}, when (ms), how, what
--      was counted then or -1, {{when (ms), used}…} of the last days}; `how` is "header" or "fetched"
--   quota:{omni}:fetch:<account>  {fence, lease until (ms), due (ms), begun (ms), failures in a row, reason}
--   quota:{omni}:cut:<circuit>    until when (ms) its breaker was opened because a quota is used up
--   quota:{omni}:cuts             those circuits, by the same
--   quota:{omni}:left             what is left of each circuit's quota, in millionths, as of the last look at all of them
--
-- Amounts are whole numbers. All times are by Redis' clock: a provider's are told as how long they are away. What lies in
-- the future that cannot is of a clock that was put back, and counts as nothing.
local TOLD_TTL, FETCH_LATEST, CUT_STEP = 2678400000, 86400000, 30000
local DAY, DAYS = 86400000, 7
local LEFT, LEFT_TTL = QUOTA .. 'left', 60000 -- a dozen looks

local function told_read(account)
  local raw = call('GET', QUOTA .. 'told:' .. account)
  return raw and unpack_value(raw) or { '', '', 0, {} }
end

local function fetch_read(account)
  local raw = call('GET', QUOTA .. 'fetch:' .. account)
  return raw and unpack_value(raw) or { 0, 0, 0, 0, 0, '' }
end

local function fetch_write(account, record)
  call('SET', QUOTA .. 'fetch:' .. account, pack(record), 'PX', TOLD_TTL)
end

-- What is counted in the window that a told one is of: `counts` is {owner, of, window} or nothing. A window that begins with
-- its first use is put where its provider has it.
local function told_counted(counts, ends_in)
  if not counts then
    return -1
  end
  local owner, window = counts[1], counts[3]
  if type(window) == 'table' and #window == 2 and ends_in > 0 then
    local start = min(now_s, floor((now + ends_in) / 1000) - window[2])
    local known, _, fresh = count_since(owner, window)
    if start + window[2] > now_s and (fresh or math.abs(known - start) > 60) then
      count_begin(owner, window, start)
    end
  end
  return count_read(owner, counts[2], window).spent
end

-- What was used of what has no end, one a day, from the first: anew where there is less of it used than there was, as
-- that is somebody's payment.
local function told_days(said, old)
  if said[5] > 0 then
    return {}
  end
  local days = old and old[11] or {}
  local last = days[#days]
  if last and (last[1] > now or last[2] > said[3]) then
    days, last = {}, nil
  end
  if not last or now - last[1] >= DAY then
    days[#days + 1] = { now, said[3] }
  end
  if #days > DAYS then
    table.remove(days, 1)
  end
  return days
end

-- `said` is {name, of, used, total, ends in (ms; -1 not told), unlimited, {pattern…}, counts or 0}.
local function told_window(said, how, at, old)
  local counts = type(said[8]) == 'table' and said[8] or nil
  local counted = told_counted(counts, said[5])
  local ends = said[5] > 0 and now + said[5] or 0
  return { said[1], said[2], said[3], said[4], ends, said[6], said[7], at, how, counted, told_days(said, old) }
end

-- Puts what was said into the record. What was said later, of what was asked for before, stands; what was fetched is all
-- that there is, but for what headers alone tell.
local function told_take(account, how, at, plan, message, said)
  local record, windows, named = told_read(account), {}, {}
  local known = {}
  for _, window in ipairs(record[4]) do
    known[window[1]] = window
  end
  for _, each in ipairs(said) do
    local old = known[each[1]]
    named[each[1]] = true
    windows[#windows + 1] = old and old[8] > at and old[8] <= now and old or told_window(each, how, at, old)
  end
  for _, window in ipairs(record[4]) do
    if not named[window[1]] and (how == 'header' or window[9] == 'header') then
      windows[#windows + 1] = window
    end
  end
  if how == 'fetched' then
    record[1], record[2], record[3] = plan, message, now
  end
  record[4] = windows
  call('SET', QUOTA .. 'told:' .. account, pack(record), 'PX', TOLD_TTL)
end

-- Who asks may do so for `lease` ms: {fence, failures}, or {0, ms to wait}. One by itself waits until it is due; one that
-- was asked for (`gap` >= 0) until so long after the last.
local function fetch_claim(account, lease, gap)
  local record = fetch_read(account)
  local busy = record[2] > now and record[2] <= now + lease and record[2] or 0
  local free = gap < 0 and record[3] or (record[4] <= now and record[4] + gap or 0)
  if free > now + FETCH_LATEST then
    free = 0
  end
  local from = max(busy, free)
  if from > now then
    return { 0, from - now }
  end
  record[1], record[2], record[4] = record[1] + 1, now + lease, now
  fetch_write(account, record)
  return { record[1], record[5] }
end

-- The record of who has the fence, and no other's.
local function fetch_mine(account, fence)
  local record = fetch_read(account)
  return record[1] == fence and record[2] > 0 and record or nil
end

-- In the place of what was left as of the look before.
local function left_write(shares)
  call('DEL', LEFT)
  for _, each in ipairs(shares) do
    call('HSET', LEFT, each[1], each[2])
  end
  call('PEXPIRE', LEFT, LEFT_TTL)
end

-- Of each circuit in millionths, -1 where nobody knows.
local function left_read(circuits)
  local found = {}
  for i, share in ipairs(call('HMGET', LEFT, unpack(circuits))) do
    found[i] = tonumber(share) or -1
  end
  return found
end

-- Leaves a circuit alone for so long (ms), 0 for no longer; what opened it for another reason is let be.
local CUTS = QUOTA .. 'cuts'

local function cut_set(circuit, wait)
  local key, breaker = QUOTA .. 'cut:' .. circuit, breaker_read(circuit)
  local mine = tonumber(call('GET', key) or '0')
  local open = breaker and breaker[2] > now
  if wait <= 0 then
    call('DEL', key)
    call('ZREM', CUTS, circuit)
    if mine > 0 and breaker and breaker[2] == mine then
      breaker_close(circuit)
      return 1
    end
    return 0
  end
  if open and breaker[2] + CUT_STEP >= now + wait and breaker[2] <= now + wait + CUT_STEP then
    return 0
  elseif open and breaker[2] > now + wait and breaker[2] ~= mine then
    return 0
  end
  breaker = breaker or { 0, 0, '', {}, 0 }
  breaker_open(circuit, breaker, wait, 'quota', true, '')
  breaker[1] = 1 -- however often it is told, it is one wait
  breaker_write(circuit, breaker, 0)
  call('SET', key, whole(breaker[2]), 'PX', wait + KEEP)
  call('ZADD', CUTS, breaker[2], circuit)
  return 1
end
