-- Slices of limits, leased to routers, which admit from them without asking. What a slice has counts as held in every
-- window that it is of, as a reservation does, until the router says what became of it: settled, or given back.
--
-- Amounts are of five kinds: requests, tokens of input, of output, of both, nano-USD. A window is of one kind, and of each a slice
-- has the same amount in every window of that kind, as an attempt takes the same of them.
--
-- quota:{omni}:lease:<id> is a packed array:
--   {'H' held | 'R' reaped: what was held is charged, and waits for the truth | 'S' closed, seq of the last word, router,
--    key, expires (ms), good until (ms; 0 = for ever), {held…}, {added by the last word…}, {window…}, event of who never
--    says anything again, recalled 0|1}
-- a window being what hold keeps of an allowance (counts.lua), with 'rpm' or 'budget' for what it is of.
-- quota:{omni}:leases has them by expiry; quota:{omni}:slices:<window> routers by when they last had one of it;
-- quota:{omni}:recall:<window> says for a second that none shall be made.
--
-- Every slice is of windows that it does not outlive: it is good until the first of them ends. Of requests per minute that is
-- a bucket in the near future, in which they count whenever they are made until then.
local LEASES, LEASE_CLOSED_TTL, LEASE_REAPED_TTL = QUOTA .. 'leases', 120000, 86400000
local SLOT, LATELY, SHARE = 500, 5000, 4
local KIND = { rpm = 1, requests = 1, input = 2, output = 3, tokens = 4, usd = 5, budget = 5 }
local ANY = 2 ^ 53 - 1

local function lease_read(id)
  local raw = call('GET', QUOTA .. 'lease:' .. id)
  return raw and unpack_value(raw)
end

-- `asked` is {what, owner, most, window}, and of an allowance {percent…}, {limit's id, name, organisation}, refuses 1 or nothing
-- as it is asked for (counts.lua). Returns
-- what is kept of it, what is left of it, when it ends (ms; 0 = never), and whether it is new.
local function pot_look(asked)
  local what, owner, most, window = asked[1], asked[2], asked[3], asked[4]
  if what == 'rpm' then
    local rate = rate_look(owner)
    local ending = max(rate.last, (floor(now / SLOT) + 1) * SLOT)
    if ending - now < SLOT / 2 then
      ending = ending + SLOT
    end
    return { rate.key, ending, 0, what, 0, false }, most - rate.used, ending
  elseif what == 'budget' then
    local key, finish = budget_key(owner, window)
    local spent, held, fresh = budget_read(key)
    return { key, finish, 0, what, 0, false }, most - spent - held, finish * 1000, fresh
  end
  local count, rolling = count_read(owner, what, window), ROLLING[window]
  local warns = asked[5] and #asked[5] > 0 and { most, asked[5], asked[6], window_name(window) } or false
  local ends = rolling and count.finish + rolling[2] or count.finish
  local room = asked[5] and asked[7] ~= 1 and ANY or most - count.spent - count.held
  return { count.key, count.finish, 0, what, count.rolls or 0, warns }, room, ends * 1000, count.fresh
end

local function pot_hold(pot, amount, fresh)
  if pot[4] == 'rpm' then
    rate_shift(pot[1], pot[2], amount)
  elseif pot[5] > 0 then
    call('HINCRBY', pot[1], 'h' .. whole(pot[2]), amount)
    call('EXPIRE', pot[1], pot[5])
  else
    budget_hold({ key = pot[1], finish = pot[2], fresh = fresh }, amount)
  end
end

-- Moves what was settled to what it came to, and gives back what was not used. Of a slice that was reaped all is spent.
local function pot_move(pot, reaped, settled, truth, back, router)
  if pot[4] == 'rpm' then
    if back > 0 and not reaped then
      rate_shift(pot[1], pot[2], -back)
    end
    return
  end
  count_move(pot, reaped and 0 or settled + back, reaped and truth - settled - back or truth)
  count_warn(pot, router)
end

-- How many routers hold slices of it, or did lately, this one among them.
local function pot_sharers(key, router)
  local slices = slices_of(key)
  call('ZREMRANGEBYSCORE', slices, '-inf', now - LATELY)
  return call('ZCARD', slices) + (call('ZSCORE', slices, router) and 0 or 1)
end

local function is_recalled(pot)
  return call('EXISTS', QUOTA .. 'recall:' .. string.sub(pot[1], #QUOTA + 1)) == 1
end

-- What a slice gets of each kind: as much as is wanted, but no more than a share of what is left anywhere. All or nothing: with less
-- than is needed of one kind there is no use for the others. Returns the windows too, until when they are good, and
-- which are new.
local function lease_share(asked, wanted, least, router)
  local added, pots, fresh, good, recall = { unpack(wanted) }, {}, {}, 0, false
  for i, each in ipairs(asked) do
    local pot, room, ends, new = pot_look(each)
    local kind = KIND[pot[4]]
    pots[i], fresh[i] = pot, new
    if ends > 0 and (good == 0 or ends < good) then
      good = ends
    end
    if room < ANY and wanted[kind] > 0 then
      added[kind] = min(added[kind], max(0, floor(room / (SHARE * pot_sharers(pot[1], router)))))
    end
    recall = recall or is_recalled(pot)
  end
  for kind = 1, 5 do
    if recall or added[kind] < least[kind] then
      added = { 0, 0, 0, 0, 0 }
    end
  end
  return added, pots, good, fresh, recall
end

local function lease_said(lease)
  return { 'l', lease[8], lease[6] > 0 and max(1, lease[6] - now) or 0, lease[11], lease[1] == 'R' and 1 or 0 }
end

local function lease_keep(id, lease, ttl)
  if lease[1] == 'H' then
    call('SET', QUOTA .. 'lease:' .. id, pack(lease))
    call('ZADD', LEASES, now + ttl, id)
    return
  end
  call('SET', QUOTA .. 'lease:' .. id, pack(lease), 'PX', lease[1] == 'R' and LEASE_REAPED_TTL or LEASE_CLOSED_TTL)
  call('ZREM', LEASES, id)
end

local function has_money(lease)
  for _, pot in ipairs(lease[9]) do
    if KIND[pot[4]] == 5 then
      return true
    end
  end
  return false
end

-- {lease, n, id, router, key, seq, ttl ms, closes 0|1, {settled…}, {what that came to…}, {given back…}, {wanted…}, {needed at least…},
--  {window that is asked for…}, opens 0|1}; the first blob of the first word is the event of who never says another.
-- → {'l', {added…}, good for (ms; 0 = for ever), recalled 0|1, reaped 0|1} | {'u'}: there is no such slice. A word that is
--  said again changes nothing, and is answered as it was.
local function lease_word(op, blobs)
  local id, router, seq, reaped = op[3], op[4], op[6], false
  local lease = lease_read(id)
  if lease and (lease[1] == 'S' or seq <= lease[2]) then
    return lease_said(lease)
  end
  local settled, truth, back, deposit = op[9], op[10], op[11], ''
  if op[15] == 1 then
    deposit = table.remove(blobs, 1)
  end
  if not lease and op[15] ~= 1 then -- Redis has lost it, or its first word is still on its way
    if op[8] == 1 then
      lease_keep(id, { 'S', seq, router, op[5], 0, 0, { 0, 0, 0, 0, 0 }, { 0, 0, 0, 0, 0 }, {}, '', 0 }, 0)
    end
    emit(router, blobs)
    return { 'u' }
  end
  local wants, pots, good, fresh = false, nil, nil, nil
  for kind = 1, 5 do
    wants = wants or op[12][kind] > 0
  end
  local added, recall = { 0, 0, 0, 0, 0 }, false
  if wants or not lease then
    added, pots, good, fresh, recall = lease_share(op[14], op[12], op[13], router)
  elseif #op[14] > 0 then -- it has enough
    for _, pot in ipairs(lease[9]) do
      recall = recall or is_recalled(pot)
    end
  end
  if not lease then
    lease = { 'H', 0, router, op[5], 0, good, { 0, 0, 0, 0, 0 }, added, pots, deposit, 0 }
    if added[1] + added[2] + added[3] + added[4] + added[5] == 0 then
      lease[1] = 'S'
    end
  elseif lease[1] == 'R' or (lease[6] > 0 and lease[6] <= now) then
    added = { 0, 0, 0, 0, 0 }
  end
  reaped = lease[1] == 'R'
  for kind = 1, 5 do
    if op[8] == 1 then -- all that is left
      back[kind] = max(0, lease[7][kind] - settled[kind])
    end
    lease[7][kind] = max(0, lease[7][kind] - settled[kind] - back[kind]) + (lease[1] == 'H' and added[kind] or 0)
  end
  lease[2], lease[5], lease[8], lease[11] = seq, now + op[7], added, recall and 1 or 0
  if op[8] == 1 then
    lease[1] = 'S'
  end
  lease_keep(id, lease, op[7]) -- first, because it is what fails when memory is short
  for i, pot in ipairs(lease[9]) do
    local kind = KIND[pot[4]]
    pot_move(pot, reaped, settled[kind], truth[kind], back[kind], router)
    if lease[1] == 'H' then
      if added[kind] > 0 then
        pot_hold(pot, added[kind], fresh[i])
      end
      if #op[14] > 0 then -- else it has nothing free any more
        call('ZADD', slices_of(pot[1]), now, router)
        call('PEXPIRE', slices_of(pot[1]), LATELY)
      end
    end
  end
  emit(router, blobs)
  if reaped then -- what was charged for want of the truth
    emit(router, { charged_event(lease[10], has_money(lease) and lease[7][5] or 0, seq) })
  end
  return lease_said(lease)
end

-- Slices that nobody has said a word of for too long. Returns how many, and the nano-USD charged.
local function leases_reap(limit)
  local due, charged = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, limit), 0
  for _, id in ipairs(due) do
    local lease = lease_read(id)
    if lease and lease[1] == 'H' then
      local money = has_money(lease) and lease[7][5] or 0
      lease[1] = 'R'
      lease_keep(id, lease, 0)
      for _, pot in ipairs(lease[9]) do
        local held = lease[7][KIND[pot[4]]]
        pot_move(pot, false, held, held, 0, lease[3])
      end
      charged = charged + money
      emit(lease[3], { charged_event(lease[10], money) })
    end
    call('ZREM', LEASES, id)
  end
  return #due, charged
end

-- Which circuits nobody has said anything bad of, and which lanes are known of nothing that bounds them.
local function spotless(circuits, lanes)
  local clean, free = {}, {}
  for i, name in ipairs(circuits) do
    clean[i] = 1 - call('EXISTS', CIRCUIT .. name)
  end
  for i, name in ipairs(lanes) do
    free[i] = 1 - min(1, call('EXISTS', 'pace:{omni}:lane:' .. name, 'pace:{omni}:queue:' .. name))
  end
  return { clean, free }
end
