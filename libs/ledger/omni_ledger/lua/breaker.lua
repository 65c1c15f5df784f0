-- One breaker a circuit, the same for the whole fleet. A circuit is whatever fails as one: an account, an account for one
-- model, a combo's target. No key means closed; else
--   {times opened in a row, open until (ms; 0 = closed), attempt id of the probe, times of failures (ms), probe's lease
--    until (ms), cause, whether the provider told how long 0|1, version of the secret that was refused, probed early from
--    (ms)}
-- `policy` is 0, or in ms but for the first {failures, window, open for, limited for, at most, refused for, at most, told
-- at most}. `circuit:{omni}:known` has the name of each by when it is forgotten.
--
-- Once the time is up one attempt is let through, the probe. Its lease bounds how long one that died keeps others out.
local KEEP, PROBE_LEASE, EARLY, KNOWN_TTL = 86400000, 60000, 1000, 1209600000
local KNOWN = CIRCUIT .. 'known'

local function breaker_read(name)
  local raw = call('GET', CIRCUIT .. name)
  return raw and unpack_value(raw)
end

local function breaker_write(name, breaker, policy_window)
  local ttl = breaker[2] > 0 and max(0, breaker[2] - now) + KEEP or policy_window
  call('SET', CIRCUIT .. name, pack(breaker), 'PX', ttl)
  call('ZADD', KNOWN, now + ttl, name)
  call('PEXPIRE', KNOWN, KNOWN_TTL)
end

local function breaker_close(name)
  call('ZREM', KNOWN, name)
  return call('DEL', CIRCUIT .. name)
end

-- Returns whether an attempt may pass, and then whether it is the probe, or else the seconds to wait. `early` lets it
-- probe one that was opened on suspicion before its time is up, though not one whose provider told how long.
local function breaker_look(breaker, attempt, early)
  if not breaker or breaker[2] == 0 then
    return true, false
  end
  local from = early and breaker[7] ~= 1 and min(breaker[9] or 0, breaker[2]) or breaker[2]
  if now < from then
    return false, (from - now) / 1000
  end
  if breaker[3] ~= '' and breaker[3] ~= attempt and breaker[5] > now then
    return false, min(1000, breaker[5] - now) / 1000
  end
  return true, true
end

-- All of an attempt's circuits. Returns {{name, breaker}…} of those that it would be the probe of, or nil and the
-- refusal of that which keeps it out longest. The secret is that of the first: a new one has not been refused.
local function breakers_look(names, attempt, secret, early, dry)
  local probes, refusal = {}, nil
  for i, name in ipairs(names) do
    local breaker = breaker_read(name)
    if i == 1 and breaker and secret ~= '' and (breaker[8] or '') ~= '' and breaker[8] ~= secret then
      if not dry then
        breaker_close(name)
      end
      breaker = nil
    end
    local free, detail = breaker_look(breaker, attempt, early)
    if not free then
      if not refusal or detail > refusal[3] then
        refusal = { 'n', 'breaker_open', detail, name, breaker[6] or '', breaker[7] or 0 }
      end
    elseif detail then
      probes[#probes + 1] = { name, breaker }
    end
  end
  return not refusal and probes, refusal
end

local function breaker_probe(name, breaker, attempt, ttl)
  breaker[3], breaker[5] = attempt, now + min(ttl, PROBE_LEASE)
  breaker_write(name, breaker, 0)
end

local function breaker_open(name, breaker, wait, cause, told, secret)
  wait = floor(wait)
  breaker[9] = now + min(wait, EARLY * 2 ^ min(breaker[1], 6))
  breaker[1], breaker[2], breaker[3] = breaker[1] + 1, now + wait, ''
  breaker[6], breaker[7], breaker[8] = cause, told and 1 or 0, secret
  breaker_write(name, breaker, 0)
end

-- How long a circuit cools down that is opened at once, each time in a row twice as long, spread by `jitter` (0 to 1):
-- what waits for it shall not come back as a herd.
local function breaker_backoff(policy, cause, opened, jitter)
  local first, longest = policy[6], policy[7]
  if cause == 'rate_limit' then
    first, longest = policy[4], policy[5]
  end
  return min(longest, first * 2 ^ min(opened, 20)) * (0.75 + jitter / 2)
end

-- Only its probe moves a breaker that is open, but for a provider that tells to wait for longer; only failures move one
-- that is closed. `evidence` is {name, 'success' | 'failure' | 'cool' | 'neutral', cause, ms that the provider told or 0}.
local function breaker_learn(policy, evidence, attempt, secret, jitter)
  local name, outcome, cause, told = evidence[1], evidence[2], evidence[3], evidence[4]
  local breaker = breaker_read(name)
  local open = breaker and breaker[2] > 0
  local probe = open and attempt ~= '' and breaker[3] == attempt
  if outcome == 'cool' and policy ~= 0 then
    told = min(told, policy[8])
    if not open or probe then
      breaker = breaker or { 0, 0, '', {}, 0 }
      local wait = told > 0 and told or breaker_backoff(policy, cause, breaker[1], jitter)
      breaker_open(name, breaker, wait, cause, told > 0, cause == 'refused' and secret or '')
    elseif told > 0 and now + told > breaker[2] then
      breaker[2], breaker[6], breaker[7], breaker[8] = now + told, cause, 1, ''
      breaker_write(name, breaker, 0)
    end
  elseif open then
    if not probe then
      return
    elseif outcome == 'success' then
      breaker_close(name)
    elseif outcome == 'failure' and policy ~= 0 then -- longer each time, up to 8 times
      breaker_open(name, breaker, policy[3] * min(8, 2 ^ breaker[1]), cause, false, '')
    else
      breaker[3] = ''
      breaker_write(name, breaker, 0)
    end
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
      breaker_open(name, breaker, policy[3], cause, false, '')
    else
      breaker_write(name, breaker, policy[2])
    end
  end
end

-- The names that are not forgotten yet, in the order of the alphabet.
local function breakers_known()
  call('ZREMRANGEBYSCORE', KNOWN, '-inf', now)
  local names = call('ZRANGE', KNOWN, 0, -1)
  table.sort(names)
  return names
end

-- {state, failures, seconds to wait, cause, told}
local function breaker_shown(breaker)
  if not breaker then
    return { 'closed', 0, 0, '', 0 }
  end
  local count, cause, told = #breaker[4], breaker[6] or '', breaker[7] or 0
  if breaker[2] == 0 then
    return { 'closed', count, 0, '', 0 }
  elseif now < breaker[2] then
    return { 'open', count, (breaker[2] - now) / 1000, cause, told }
  end
  return { 'half_open', count, 0, cause, told }
end
