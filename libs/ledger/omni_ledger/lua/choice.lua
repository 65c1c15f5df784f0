-- What the fleet shares for choosing among targets and accounts: whose turn it is, how often each was used, and where
-- the prompt cache of a conversation is warm. Nothing here is worth more than an even spread: a step that is sent twice
-- skips a turn, and what is not used for a day is forgotten.
local CHOICE, CHOICE_TTL = 'choice:{omni}:', 86400000

-- Requests before this one.
local function choice_cursor(name, dry)
  local key = CHOICE .. 'cursor:' .. name
  if dry then
    return tonumber(call('GET', key) or '0')
  end
  local count = call('INCR', key)
  call('PEXPIRE', key, CHOICE_TTL)
  return count - 1
end

-- How often each was used before, and one use more for the least used, the first of them. Who is new begins with as
-- many as the least used has, or everything would go there until it had caught up.
local function choice_uses(name, members, dry)
  local key = CHOICE .. 'uses:' .. name
  local known, counts, least = call('HMGET', key, unpack(members)), {}, nil
  for i in ipairs(members) do
    counts[i] = tonumber(known[i])
    if counts[i] and (not least or counts[i] < least) then
      least = counts[i]
    end
  end
  local first
  for i, member in ipairs(members) do
    if not counts[i] then
      counts[i] = least or 0
      if not dry then
        call('HSET', key, member, whole(counts[i]))
      end
    end
    if not first or counts[i] < counts[first] then
      first = i
    end
  end
  if not dry then
    call('HINCRBY', key, members[first], 1)
    call('PEXPIRE', key, CHOICE_TTL)
  end
  return counts
end

local function choice_used(name, member)
  local key = CHOICE .. 'uses:' .. name
  call('HINCRBY', key, member, 1)
  call('PEXPIRE', key, CHOICE_TTL)
end

-- {{place, tokens kept, seconds ago}…}
local function choice_warm(conversation)
  local found = {}
  local all = call('HGETALL', CHOICE .. 'warm:' .. conversation)
  for i = 1, #all, 2 do
    local kept = unpack_value(all[i + 1])
    found[#found + 1] = { all[i], kept[1], max(0, now - kept[2]) / 1000 }
  end
  return found
end

local function choice_warmed(conversation, place, tokens, ttl)
  local key = CHOICE .. 'warm:' .. conversation
  call('HSET', key, place, pack({ tokens, now }))
  call('PEXPIRE', key, ttl)
end
