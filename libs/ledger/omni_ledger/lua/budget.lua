-- A USD budget per calendar window: a hash {s: spent, h: held by reservations}, kept a day past the window's end, so
-- that what was reserved in it settles in it. "total" has no end and is kept for good. {b: since when (ms) all is in it
-- that was spent; 0 where Redis had lost it in between} is for who compares it with the events.
local SLACK = 86400

local function budget_key(owner, window)
  local start, finish = bounds(window, now_s)
  return QUOTA .. 'budget:' .. owner .. ':' .. window_name(window) .. ':' .. whole(start), finish
end

local function budget_read(key)
  local values = call('HMGET', key, 's', 'h')
  return tonumber(values[1] or '0'), tonumber(values[2] or '0'), not values[1]
end

-- As many output tokens as fit, and not fewer than `least`; or nil, and whether those would fit but for what is held.
local function granted_under(cap, spent, held, fixed, per_token, wanted, least)
  local room = cap - spent - held - fixed
  local granted = wanted
  if per_token > 0 then
    granted = min(wanted, floor(room / per_token))
    if granted * per_token > room then -- the quotient was rounded up
      granted = granted - 1
    end
  end
  if fixed + least * per_token > 0 and (room < 0 or granted < least) then
    return nil, cap - spent - fixed - least * per_token >= 0
  end
  return granted
end

-- Returns the reservation, or nil, the reason, the seconds to wait, and whether slices were recalled.
local function budget_look(owner, budget, wanted)
  local cap, window, fixed, per_token = budget[1], budget[2], budget[3], budget[4]
  local key, finish = budget_key(owner, window)
  local spent, held, fresh = budget_read(key)
  local least = budget[5] == 1 and wanted or min(1, wanted) -- of one that has all or nothing
  local granted, is_held = granted_under(cap, spent, held, fixed, per_token, wanted, least)
  if is_held then
    return nil, 'budget_held', 1, slices_recall(key)
  elseif not granted then
    return nil, 'budget_exhausted', finish > 0 and max(1, finish * 1000 - now) / 1000 or 0
  end
  return { key = key, finish = finish, granted = granted, fixed = fixed, per_token = per_token, fresh = fresh }
end

local function budget_expire(key, finish)
  if finish > 0 then
    call('EXPIREAT', key, finish + SLACK)
  end
end

local function budget_hold(budget, amount)
  call('HINCRBY', budget.key, 'h', amount)
  if budget.fresh then
    call('HINCRBY', budget.key, 's', 0)
    call('HSET', budget.key, 'b', whole(now))
    budget_expire(budget.key, budget.finish)
  end
end

-- Give back what was held and add what was spent.
local function budget_move(key, finish, held, spent)
  if held > 0 and call('HINCRBY', key, 'h', -held) < 0 then -- Redis had lost the window
    call('HSET', key, 'h', 0, 'b', 0)
    budget_expire(key, finish)
  end
  if spent ~= 0 then
    call('HINCRBY', key, 's', spent)
  end
end

-- Since when (ms) all is in it that was spent; 0 where nothing was reserved in it yet, -1 where nobody knows.
local function budget_since(key)
  local values = call('HMGET', key, 's', 'b')
  if not values[1] then
    return 0
  end
  local since = tonumber(values[2] or '0')
  return since > 0 and since or -1
end
