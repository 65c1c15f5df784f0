-- Requests per minute: an exact sliding window, O(1) amortised.
--
-- A list of buckets 100 ms wide, oldest first, each "<end in ms> <requests counted up to it, ever>"; the first one is
-- already out of the window and only says where to count from. A request counts until its bucket's end is 60 s ago, so
-- never more than the limit fall in any 60 s, and a slot comes back at most 100 ms late.
local SPAN, WIDTH = 60000, 100

local function bucket(entry)
  local gap = string.find(entry, ' ', 1, true)
  return tonumber(string.sub(entry, 1, gap - 1)), tonumber(string.sub(entry, gap + 1))
end

local function rate_look(key_id)
  local key = QUOTA .. 'rpm:' .. key_id
  local rate = { key = key, used = 0, base = 0, total = 0, last = 0, fresh = true }
  local newest = call('LINDEX', key, -1)
  if not newest then
    return rate
  end
  local last, total = bucket(newest)
  if last + SPAN <= now then
    call('DEL', key)
    return rate
  end
  local head = call('LRANGE', key, 0, 1)
  while bucket(head[2]) + SPAN <= now do
    call('LPOP', key)
    head = call('LRANGE', key, 0, 1)
  end
  local _, base = bucket(head[1])
  rate.base, rate.total, rate.last, rate.fresh = base, total, last, false
  rate.used, rate.oldest = total - base, head[2]
  return rate
end

-- Milliseconds until a request fits under `limit`, which is used up.
local function rate_wait(rate, limit)
  local need = rate.base + rate.used - limit + 1
  local ending, count = bucket(rate.oldest)
  if count < need then -- the limit was lowered: more than one bucket has to go
    for _, entry in ipairs(call('LRANGE', rate.key, 1, -1)) do
      ending, count = bucket(entry)
      if count >= need then
        break
      end
    end
  end
  return ending + SPAN - now
end

-- Counts `more` requests in the bucket that ends at `ending`, or gives them back where it is negative and the bucket is
-- still there.
local function rate_shift(key, ending, more)
  local at, entries = -1, {}
  local entry = call('LINDEX', key, at)
  while entry do
    local bucket_end, total = bucket(entry)
    if bucket_end < ending then
      break
    end
    entries[#entries + 1] = { at, bucket_end, total }
    at = at - 1
    entry = call('LINDEX', key, at)
  end
  local oldest = entries[#entries]
  if oldest and (more > 0 or oldest[2] == ending) then
    for _, each in ipairs(entries) do
      call('LSET', key, each[1], whole(each[2]) .. ' ' .. whole(each[3] + more))
    end
  elseif more > 0 then
    local _, before = bucket(entry or '0 0')
    if not entry then
      call('RPUSH', key, '0 0')
    end
    call('RPUSH', key, whole(ending) .. ' ' .. whole(before + more))
  end
  if more > 0 then
    call('PEXPIRE', key, ending - now + SPAN + 1000)
  end
end

local function rate_count(rate)
  local ending = floor(now / WIDTH) * WIDTH + WIDTH
  if rate.fresh then
    call('RPUSH', rate.key, '0 0', whole(ending) .. ' 1')
  elseif ending <= rate.last then
    call('LSET', rate.key, -1, whole(rate.last) .. ' ' .. whole(rate.total + 1))
  else
    call('RPUSH', rate.key, whole(ending) .. ' ' .. whole(rate.total + 1))
  end
  call('PEXPIRE', rate.key, SPAN + WIDTH + 1000)
end
