-- Shared by every operation of one step. The files of this folder are joined in the order of script.py, so that one
-- EVALSHA carries many operations and all of them see one clock: Redis' own.
--
-- Money is in whole nano-USD below 2^53, so that Lua's doubles are exact; Redis formats numbers given to redis.call
-- with 17 digits, but Lua's own `..` keeps only 14: every number put into a string goes through `whole`.
local QUOTA, CIRCUIT = 'quota:{omni}:', 'circuit:{omni}:'
local HOLDS, OUTBOXES = QUOTA .. 'holds', QUOTA .. 'outboxes'

-- Milliseconds for which an attempt counts as under way after its router has said so, which it does four times as often.
local LEASE = 60000

local floor, min, max = math.floor, math.min, math.max
local call, pack, unpack_value = redis.call, cmsgpack.pack, cmsgpack.unpack

local clock = redis.call('TIME')
local now_s = tonumber(clock[1])
local now = now_s * 1000 + floor(tonumber(clock[2]) / 1000) -- milliseconds

local function whole(number)
  return string.format('%.0f', number)
end

-- An integer as protobuf has it.
local function varint(number)
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = floor(number / 128)
  end
  return bytes .. string.char(number)
end

-- Bytes behind the tag that they have in protobuf.
local function field(tag, bytes)
  return tag .. varint(#bytes) .. bytes
end

local function emit(router, blobs)
  if #blobs > 0 and call('RPUSH', QUOTA .. 'outbox:' .. router, unpack(blobs)) == #blobs then
    call('SADD', OUTBOXES, router)
  end
end

-- Days since 1970-01-01 of the first of the month that holds `days` (Howard Hinnant, "chrono-compatible low-level
-- date algorithms", civil_from_days).
local function month_start(days)
  local z = days + 719468
  local doe = z % 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local month = floor((5 * doy + 2) / 153)
  return days - (doy - floor((153 * month + 2) / 5))
end

-- A window is its name, or {name, border…} with four borders (s), where it is not UTC's own.
local function window_name(window)
  return type(window) == 'table' and window[1] or window
end

-- Start and end in epoch seconds of the calendar window (UTC, weeks from Monday) that holds `seconds`; 0, 0 for "total".
local function bounds(window, seconds)
  if type(window) == 'table' then
    local i = 2
    while i < 4 and seconds >= window[i + 1] do
      i = i + 1
    end
    return window[i], window[i + 1]
  end
  local days = floor(seconds / 86400)
  if window == 'day' then
    return days * 86400, (days + 1) * 86400
  elseif window == 'week' then
    local monday = days - (days + 3) % 7 -- 1970-01-01 was a Thursday
    return monday * 86400, (monday + 7) * 86400
  elseif window == 'month' then
    local first = month_start(days)
    return first * 86400, month_start(first + 31) * 86400
  end
  return 0, 0
end

-- What a hold keeps besides its fields is elements before its abort events: further budgets {{key, window end}…}, what
-- it has taken of lanes {tokens, second, {lane…}}, and of allowances (counts.lua). Each is an event of a kind that nobody
-- knows (fields 15, 14 and 13 of Event, its length in three bytes), because an older script takes it for one.
local MORE, PACED, COUNTED, ASIDE_AT = 122, 114, 106, 5

local function aside(kind, value)
  local packed = pack(value)
  local size = #packed
  return string.char(kind, size % 128 + 128, floor(size / 128) % 128 + 128, floor(size / 16384)) .. packed
end

-- Where the abort events of a hold begin, and the three.
local function asides(hold)
  local at, budgets, lanes, counts = 10, nil, nil, nil
  if hold[at] and string.byte(hold[at]) == MORE then
    budgets = unpack_value(string.sub(hold[at], ASIDE_AT))
    at = at + 1
  end
  if hold[at] and string.byte(hold[at]) == PACED then
    lanes = unpack_value(string.sub(hold[at], ASIDE_AT))
    at = at + 1
  end
  if hold[at] and string.byte(hold[at]) == COUNTED then
    counts = unpack_value(string.sub(hold[at], ASIDE_AT))
    at = at + 1
  end
  return at, budgets, lanes, counts
end
