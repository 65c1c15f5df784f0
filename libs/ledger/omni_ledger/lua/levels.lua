-- The levels of a reservation: the key's own limits, and those that it shares with others. All are looked at before any
-- is taken. `op` is an admission (ops.a); a shared level in its op[16] is {owner, requests per minute, budget|0, {allowance…} or nothing}.
--
-- A hold names its first budget itself; what more there are is put aside in it (base.lua).

-- Adds the window that this request is to be counted in. Of refusals that with the longest wait is kept.
local function levels_rate(rates, refusal, owner, limit, name)
  if limit == 0 then
    return refusal
  end
  local rate = rate_look(owner)
  rates[#rates + 1] = rate
  if rate.used < limit then
    return refusal
  end
  local wait, are = rate_wait(rate, limit) / 1000, slices_recall(rate.key)
  return refusal and refusal[3] >= wait and refusal or recalled({ 'n', 'rate_limited', wait, '', '', 0, name }, are)
end

-- Adds the budget to hold on. One that is spent is told before one that is only held.
local function levels_budget(budgets, refusal, owner, asked, wanted, name)
  if asked == 0 then
    return refusal
  end
  local budget, reason, wait, are = budget_look(owner, asked, wanted)
  budgets[#budgets + 1] = budget
  if budget or (refusal and (refusal[2] == 'budget_exhausted' or reason == 'budget_held')) then
    return refusal
  end
  return recalled({ 'n', reason, wait, '', '', 0, name }, are)
end

-- The windows to count in, the budgets to hold on and the counts to take of, or a refusal.
local function levels_look(op)
  local rates, budgets, counts, shared, refusal = {}, {}, {}, op[16], nil
  if op[6] == 1 then
    refusal = levels_rate(rates, nil, op[4], op[7], '')
    for i = 1, shared and #shared or 0 do
      refusal = levels_rate(rates, refusal, shared[i][1], shared[i][2], shared[i][1])
    end
  end
  if not refusal then
    refusal = levels_budget(budgets, nil, op[4], op[9], op[8], '')
    for i = 1, shared and #shared or 0 do
      refusal = levels_budget(budgets, refusal, shared[i][1], shared[i][3], op[8], shared[i][1])
    end
  end
  if not refusal then
    for i = 1, shared and #shared or 0 do
      if shared[i][4] then
        refusal = counts_look(counts, refusal, shared[i], op[8])
      end
    end
  end
  return rates, budgets, counts, refusal
end

local function levels_more(budgets)
  local more = {}
  for i = 2, #budgets do
    more[#more + 1] = { budgets[i].key, budgets[i].finish }
  end
  return more
end

local function levels_move(hold, held, spent)
  budget_move(hold[4], hold[5], held, spent)
  local _, more = asides(hold)
  for i = 1, more and #more or 0 do
    budget_move(more[i][1], more[i][2], held, spent)
  end
end
