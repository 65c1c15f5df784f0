-- One breaker an account, the same for the whole fleet: {times opened in a row, open until (ms; 0 = closed), attempt id
-- of the probe, times of failures (ms), probe's lease until (ms)}. No key means closed. `policy` is {failures, window in
-- ms, open for ms} or 0.
--
-- Once the time is up one attempt is let through, the probe. Its lease bounds how long one that died keeps others out.
local KEEP, PROBE_LEASE = 86400000, 60000

local function breaker_read(account)
  local raw = call('GET', CIRCUIT .. account)
  return raw and unpack_value(raw)
end

local function breaker_write(account, breaker, policy_window)
  local ttl = breaker[2] > 0 and max(0, breaker[2] - now) + KEEP or policy_window
  call('SET', CIRCUIT .. account, pack(breaker), 'PX', ttl)
end

-- Returns whether an attempt may pass, and then whether it is the probe, or else the seconds to wait.
local function breaker_look(breaker, attempt)
  if not breaker or breaker[2] == 0 then
    return true, false
  end
  if now < breaker[2] then
    return false, (breaker[2] - now) / 1000
  end
  if breaker[3] ~= '' and breaker[3] ~= attempt and breaker[5] > now then
    return false, min(1000, breaker[5] - now) / 1000
  end
  return true, true
end

local function breaker_probe(account, breaker, attempt, ttl)
  breaker[3], breaker[5] = attempt, now + min(ttl, PROBE_LEASE)
  breaker_write(account, breaker, 0)
end

-- Only its probe moves a breaker that is open; only failures move one that is closed.
local function breaker_learn(account, policy, outcome, attempt)
  local breaker = breaker_read(account)
  if breaker and breaker[2] > 0 then
    if attempt == '' or breaker[3] ~= attempt then
      return
    end
    breaker[3] = ''
    if outcome == 'success' then
      call('DEL', CIRCUIT .. account)
      return
    elseif outcome == 'failure' and policy ~= 0 then
      breaker[1] = breaker[1] + 1
      breaker[2] = now + policy[3] * min(8, 2 ^ (breaker[1] - 1)) -- longer each time, up to 8 times
    end
    breaker_write(account, breaker, 0)
  elseif outcome == 'failure' and policy ~= 0 then
    breaker = breaker or { 0, 0, '', {}, 0 }
    local recent = {}
    for _, at in ipairs(breaker[4]) do
      if at > now - policy[2] then
        recent[#recent + 1] = at
      end
    end
    recent[#recent + 1] = now
    breaker[4] = recent
    if #recent >= policy[1] then
      breaker[1], breaker[2] = 1, now + policy[3]
    end
    breaker_write(account, breaker, policy[2])
  end
end
