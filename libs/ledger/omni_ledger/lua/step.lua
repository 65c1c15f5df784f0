-- The step: ARGV is a sequence of operations, each a packed array {name, number of blobs, …} and then its blobs
-- (serialised events, opaque here). Returns one packed array with one result an operation.
--
-- A reservation is quota:{omni}:hold:<attempt>, a packed array:
--   {'H', granted, amount, budget key or '', window end, account, probe 0|1, router, expires (ms), abort events…}
--                            (the amount without a budget where money is held by allowances alone)
--                            before the events come further budgets, lanes and counts, where there are any: see base.lua
--   {'R', … the same without the events}  reaped: charged in full, waits for the truth
--   {'S'}                    settled, for two minutes: settling again does nothing. Past that, a repetition charges
--                            nothing either (it is unknown), but its events are emitted again: their ids are the same
-- Held ones have no TTL: their amount would stay held for ever. The reaper takes each past its expiry.
local SETTLED_TTL, REAPED_TTL = 120000, 86400000

local function hold_read(attempt)
  local raw = call('GET', QUOTA .. 'hold:' .. attempt)
  return raw and unpack_value(raw)
end

local ops = {}

-- {a, n, attempt, key, account, count 0|1, limit, wanted, budget|0, breaker|0, ttl ms, router, {circuit…}, secret, early 0|1,
--  {shared level…} or nothing, dry 1 or 0 or nothing, what lanes are asked or 0 or nothing, {retries…} or nothing}
-- → {'g', granted, amount, probe, in lanes 0|1} | {'n', reason, seconds, circuit or lane, cause, told, level, came, ahead}
--   | {'c'}: this attempt is already closed. A dry one takes nothing.
function ops.a(op, blobs)
  local attempt, account, wanted = op[3], op[5], op[8]
  local known = hold_read(attempt)
  if known then
    if known[1] == 'H' then
      local _, _, taken, counted = asides(known)
      return { 'g', known[2], known[3], known[7], (taken or counts_at_once(counted)) and 1 or 0 }
    end
    return { 'c' }
  end
  is_dry = op[17] == 1
  local granted, amount = wanted, 0
  local rates, budgets, counts, refusal = levels_look(op)
  if refusal then
    return refusal
  end
  for i = 1, #budgets do
    granted = min(granted, budgets[i].granted)
  end
  for i = 1, #counts do
    granted = min(granted, counts[i].granted or granted)
  end
  local dry, probes, passage, lanes = op[17] == 1, {}, op[18], {}
  passage = passage and passage ~= 0 and passage or nil
  if op[10] ~= 0 then
    probes, refusal = breakers_look(op[13], attempt, op[14], op[15] == 1, dry)
    if not probes then
      return passage and not dry and lanes_await(passage, refusal) or refusal
    end
  end
  if passage then
    lanes, refusal = lanes_look(passage, dry)
    if not lanes then
      return refusal
    end
  end
  if op[19] and not retries_take(op[19], dry) then
    return { 'n', 'retry_budget', 0 }
  end

  local money = budgets[1] or counts_money(counts)
  if money then
    amount = money.fixed + granted * money.per_token
  end
  if dry then
    return { 'g', granted, amount, #probes > 0 and 1 or 0, 0 }
  end
  local hold = { 'H', granted, amount, '', 0, account, #probes > 0 and 1 or 0, op[12], now + op[11] }
  if budgets[1] then
    hold[4], hold[5] = budgets[1].key, budgets[1].finish
    hold[10] = budgets[2] and aside(MORE, levels_more(budgets))
  end
  if #lanes > 0 then
    hold[#hold + 1] = aside(PACED, lanes_take(lanes, passage, attempt, hold[9]))
  end
  local kept = counts_kept(counts, granted)
  if kept[1] then
    hold[#hold + 1] = aside(COUNTED, kept)
  end
  for _, blob in ipairs(blobs) do
    hold[#hold + 1] = blob
  end
  call('SET', QUOTA .. 'hold:' .. attempt, pack(hold)) -- first, because it is what fails when memory is short
  call('ZADD', HOLDS, hold[9], attempt)
  for i = 1, #rates do
    rate_count(rates[i])
  end
  for i = 1, #budgets do
    budget_hold(budgets[i], amount)
  end
  for i = 1, #counts do
    count_take(counts[i], kept[i], attempt, hold[9], op[12])
  end
  for _, probe in ipairs(probes) do
    breaker_probe(probe[1], probe[2], attempt, op[11])
  end
  return { 'g', granted, amount, hold[7], (#lanes > 0 or counts_at_once(kept)) and 1 or 0 }
end

-- {s, n, attempt or '', {evidence…}, cost, secret, breaker|0, router, jitter, tokens or -1 or nothing, what a lane was
--  told or 0 or nothing, {tokens of input, of output} or nothing, 1 or nothing}; with 1 the last blob is an event only of
--  one that was reaped
-- → {'settled' | 'late' | 'unknown' | 'again' | 'events', overrun 0|1}
function ops.s(op, blobs)
  local attempt, cost, router = op[3], op[5], op[8]
  local result, overrun = 'events', 0
  local if_reaped = op[13] == 1 and table.remove(blobs)
  if attempt ~= '' then
    local hold = hold_read(attempt)
    if hold and hold[1] == 'S' then
      return { 'again', 0 }
    end
    -- First, because it is what fails when memory is short. An attempt never heard of is closed too: its admission may
    -- still be on its way, on a connection that was given up.
    call('SET', QUOTA .. 'hold:' .. attempt, pack({ 'S' }), 'PX', SETTLED_TTL)
    result = 'unknown'
    if hold then
      local held = hold[1] == 'H'
      result = held and 'settled' or 'late'
      if held then
        call('ZREM', HOLDS, attempt)
      end
      if hold[4] ~= '' then
        levels_move(hold, held and hold[3] or 0, held and cost or cost - hold[3])
      end
      overrun = hold[3] > 0 and cost > hold[3] and 1 or 0
      local _, _, taken, counted = asides(hold)
      if taken then
        lanes_free(taken, attempt, op[10] or -1)
      end
      if counted then
        local input, output = unpack(op[12] or { 0, 0 })
        counts_end(counted, attempt, router, held, { input = input, output = output, tokens = input + output, usd = cost })
      end
    end
  end
  if op[11] and op[11] ~= 0 then
    lane_learn(op[11])
  end
  if if_reaped and result == 'late' then
    blobs[#blobs + 1] = if_reaped
  end
  emit(router, blobs)
  for _, evidence in ipairs(op[4]) do
    breaker_learn(op[7], evidence, attempt, op[6], op[9])
  end
  return { result, overrun }
end

-- {r, 0, attempt, ttl ms} → {1 | 0}: still held or not
function ops.r(op)
  local hold = hold_read(op[3])
  if not hold or hold[1] ~= 'H' then
    return { 0 }
  end
  hold[9] = now + op[4]
  call('SET', QUOTA .. 'hold:' .. op[3], pack(hold))
  call('ZADD', HOLDS, hold[9], op[3])
  local _, _, taken, counted = asides(hold)
  if taken then
    lanes_renew(taken, op[3])
  end
  if counted then
    counts_renew(counted, op[3])
  end
  return { 1 }
end

-- {keep, 0, {attempt…}} → {}: their router is still at them
function ops.keep(op)
  for _, attempt in ipairs(op[3]) do
    local hold = hold_read(attempt)
    if hold and hold[1] == 'H' then
      local _, _, taken, counted = asides(hold)
      if taken then
        lanes_renew(taken, attempt)
      end
      if counted then
        counts_renew(counted, attempt)
      end
    end
  end
  return {}
end

-- {leave, 0, ticket, {lane…}} → {}: waits no more
function ops.leave(op)
  for _, name in ipairs(op[4]) do
    lane_leave(name, op[3])
    lane_ring(name)
  end
  return {}
end

-- {lanes, 0, most} → {{name, learned requests, tokens, at once, how, requests, tokens, under way, waiting}…}
function ops.lanes(op)
  local found = {}
  for _, name in ipairs(lanes_known()) do
    if #found == op[3] then
      break
    end
    found[#found + 1] = lane_shown(name)
  end
  return found
end

-- {forget, 0, lane} → {keys that there were}
function ops.forget(op)
  return { lane_forget(op[3]) }
end

-- {pick, 0, cursor or '', uses or '', {member…}, conversation or '', dry 1 or 0 or nothing, {circuit…} or nothing}
-- → {cursor, {uses…}, {{place, tokens, seconds ago}…}, {millionths of the quota that are left, or -1…} where circuits are
-- asked about}. A dry one counts nothing.
function ops.pick(op)
  local dry = op[7] == 1
  local cursor = op[3] ~= '' and choice_cursor(op[3], dry) or 0
  local uses = op[4] ~= '' and choice_uses(op[4], op[5], dry) or {}
  return { cursor, uses, op[6] ~= '' and choice_warm(op[6]) or {}, op[8] and left_read(op[8]) or nil }
end

-- {used, 0, uses, member} → {}: one that was not the first choice was used
function ops.used(op)
  choice_used(op[3], op[4])
  return {}
end

-- {warmed, 0, conversation, place, tokens, ttl ms} → {}
function ops.warmed(op)
  choice_warmed(op[3], op[4], op[5], op[6])
  return {}
end

-- {reap, 0, limit} → {reservations and slices reaped, nano-USD charged}
function ops.reap(op)
  local charged = 0
  local due = call('ZRANGEBYSCORE', HOLDS, '-inf', now, 'LIMIT', 0, op[3])
  for _, attempt in ipairs(due) do
    local hold = hold_read(attempt)
    if hold and hold[1] == 'H' then
      local blobs = {}
      for i = asides(hold), #hold do
        blobs[#blobs + 1] = charged_event(hold[i], hold[3])
        hold[i] = nil
      end
      local _, _, taken, counted = asides(hold)
      if taken then
        lanes_free(taken, attempt, -1)
      end
      if counted then
        counts_end(counted, attempt, hold[8], true)
      end
      hold[1] = 'R'
      call('SET', QUOTA .. 'hold:' .. attempt, pack(hold), 'PX', REAPED_TTL)
      if hold[4] ~= '' then
        levels_move(hold, hold[3], hold[3])
      end
      charged = charged + hold[3]
      emit(hold[8], blobs)
    end
    call('ZREM', HOLDS, attempt)
  end
  local slices, paid = leases_reap(op[3])
  return { #due + slices, charged + paid }
end

ops.lease = lease_word

-- {spotless, 0, {circuit…}, {lane…}} → {{0|1…}, {0|1…}}
function ops.spotless(op)
  return spotless(op[3], op[4])
end

-- {cleared, 0, attempt, {circuit…}} → {}: the probe has proved them well, though it is still under way
function ops.cleared(op)
  for _, name in ipairs(op[4]) do
    local breaker = breaker_read(name)
    if breaker and breaker[2] > 0 and breaker[3] == op[3] then
      breaker_close(name)
    end
  end
  return {}
end

-- {look, 0, {{key, window or ''}…}, {account…}, {{owner, of, window}…}}
-- → {open reservations, {{used, spent, held, resets, since}…}, {{state, failures, wait, cause, told}…},
--  {{spent, held, resets}…}}
function ops.look(op)
  local keys, breakers, counts = {}, {}, {}
  for i, wanted in ipairs(op[3]) do
    local spent, held, finish, since, key = 0, 0, 0, 0, nil
    if wanted[2] ~= '' then
      key, finish = budget_key(wanted[1], wanted[2])
      spent, held = budget_read(key)
      since = budget_since(key)
    end
    keys[i] = { rate_look(wanted[1]).used, spent, held, finish, since }
  end
  for i, account in ipairs(op[4]) do
    breakers[i] = breaker_shown(breaker_read(account))
  end
  for i, wanted in ipairs(op[5]) do
    counts[i] = count_shown(wanted[1], wanted[2], wanted[3])
  end
  return { call('ZCARD', HOLDS), keys, breakers, counts }
end

-- {circuits, 0, most} → {{name, state, failures, wait, cause, told}…} of those that failed of late
function ops.circuits(op)
  local found = {}
  for _, name in ipairs(breakers_known()) do
    local breaker = #found < op[3] and breaker_read(name)
    if breaker then
      local shown = breaker_shown(breaker)
      table.insert(shown, 1, name)
      found[#found + 1] = shown
    end
  end
  return found
end

-- {reset, 0, circuit} → {circuits that there was something to forget of}: it, and those of its models
function ops.reset(op)
  local count, inside = breaker_close(op[3]), op[3] .. ' '
  for _, name in ipairs(breakers_known()) do
    if string.sub(name, 1, #inside) == inside then
      count = count + breaker_close(name)
    end
  end
  return { count }
end

-- {waiting, 0} → {events in all outboxes}
function ops.waiting()
  local count = 0
  for _, router in ipairs(call('SMEMBERS', OUTBOXES)) do
    count = count + call('LLEN', QUOTA .. 'outbox:' .. router)
  end
  return { count }
end

-- {orphans, 0} → {router…}: outboxes with events whose router shows no sign of life
function ops.orphans()
  local found = {}
  for _, router in ipairs(call('SMEMBERS', OUTBOXES)) do
    if call('EXISTS', QUOTA .. 'router:' .. router) == 0 then
      if call('EXISTS', QUOTA .. 'outbox:' .. router) == 0 then
        call('SREM', OUTBOXES, router)
        call('DEL', QUOTA .. 'sealed:' .. router)
      else
        found[#found + 1] = router
      end
    end
  end
  return found
end

-- {told, 0, account, {window…}} → {}: what an answer's headers say of a quota
function ops.told(op)
  told_take(op[3], 'header', now, '', '', op[4])
  return {}
end

-- {fetching, 0, account, lease ms, gap ms or -1} → {fence, failures} | {0, ms}
function ops.fetching(op)
  return fetch_claim(op[3], op[4], op[5])
end

-- {fetched, 0, account, fence, next in ms, plan, message, {window…}} → {1 | 0}: 0 where another has it by now
function ops.fetched(op)
  local record = fetch_mine(op[3], op[4])
  if not record then
    return { 0 }
  end
  told_take(op[3], 'fetched', record[4] <= now and record[4] or now, op[6], op[7], op[8])
  record[2], record[3], record[5], record[6] = 0, now + op[5], 0, ''
  fetch_write(op[3], record)
  return { 1 }
end

-- {unfetched, 0, account, fence, next in ms, reason} → {1 | 0}: what was known stays
function ops.unfetched(op)
  local record = fetch_mine(op[3], op[4])
  if not record then
    return { 0 }
  end
  record[2], record[3], record[5], record[6] = 0, now + op[5], record[5] + 1, op[6]
  fetch_write(op[3], record)
  return { 1 }
end

-- {quotas, 0, {{account, {{owner, of, window}…}}…}} → {now (ms), {{{plan, message, fetched, {window…}}, {fetch…}, {{spent, held,
--  resets}…}}…}}
function ops.quotas(op)
  local found = {}
  for i, asked in ipairs(op[3]) do
    local counts = {}
    for j, each in ipairs(asked[2]) do
      counts[j] = count_shown(each[1], each[2], each[3])
    end
    found[i] = { told_read(asked[1]), fetch_read(asked[1]), counts }
  end
  return { now, found }
end

-- {cut, 0, {{circuit, ms}…}} → {breakers that were opened or closed}
function ops.cut(op)
  local count = 0
  for _, each in ipairs(op[3]) do
    count = count + cut_set(each[1], each[2])
  end
  return { count }
end

-- {left, 0, {{circuit, millionths}…}} → {}: of all that are known
function ops.left(op)
  left_write(op[3])
  return {}
end

-- {cuts, 0} → {circuit that is cut…}
function ops.cuts()
  call('ZREMRANGEBYSCORE', CUTS, '-inf', now)
  return call('ZRANGEBYSCORE', CUTS, '-inf', '+inf')
end

local results, cursor = {}, 1
while cursor <= #ARGV do
  local op = unpack_value(ARGV[cursor])
  local blobs = {}
  for i = 1, op[2] do
    blobs[i] = ARGV[cursor + i]
  end
  cursor = cursor + 1 + op[2]
  local fine, result = pcall(ops[op[1]], op, blobs) -- one that fails must not take the others with it
  if not fine then
    result = { '!', type(result) == 'table' and result.err or tostring(result) }
  end
  results[#results + 1] = result
end
return pack(results)
