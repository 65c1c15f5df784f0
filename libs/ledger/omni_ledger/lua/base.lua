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

-- A reaped event says what was charged. The bytes appended repeat the event with only what is new in it: protobuf merges
-- what comes twice (protobuf.dev/programming-guides/encoding, "last one wins"). events.v1: AttemptEvent is field 1 of
-- Event and its cost field 16, RequestEvent field 2 and 18; of both `seq` is told where one replaces another.
local COST_FIELD, SEQ_FIELD = { ['\10'] = '\128\1', ['\18'] = '\144\1' }, { ['\10'] = '\24', ['\18'] = '\16' }

local function charged_event(blob, amount, seq)
  local kind = string.sub(blob, 1, 1)
  local cost = COST_FIELD[kind]
  if not cost or (amount == 0 and not seq) then
    return blob
  end
  cost = cost .. varint(amount)
  return blob .. field(kind, seq and SEQ_FIELD[kind] .. varint(seq) .. cost or cost)
end

-- Of what a limit has left routers may hold slices (leases.lua). Who is refused for what is only held has them given back:
-- for a second none is made. Returns whether it is worth asking again, as that was a moment ago.
local RECALL, RETURNED_WITHIN = 1000, 200

local function slices_of(key)
  return QUOTA .. 'slices:' .. string.sub(key, #QUOTA + 1)
end

local is_dry = false -- whether the admission that is looked at only asks

local function slices_recall(key)
  if is_dry or call('EXISTS', slices_of(key)) == 0 then
    return false
  end
  local mark = QUOTA .. 'recall:' .. string.sub(key, #QUOTA + 1)
  local left = call('PTTL', mark)
  if left < 0 then
    call('SET', mark, '', 'PX', RECALL)
  end
  return left < 0 or left > RECALL - RETURNED_WITHIN
end

-- A refusal for what routers hold slices of, which they give back now.
local function recalled(refusal, are)
  if are then
    refusal[8], refusal[9], refusal[10] = 0, 0, 1
  end
  return refusal
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
