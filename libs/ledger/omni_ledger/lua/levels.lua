-- The levels of a reservation: the key's own limits, and those that it shares with others. All are looked at before any
-- is taken. `op` is an admission (ops.a); a shared level in its op[13] is {owner, requests per minute, budget|0}.
--
-- A hold names its first budget itself; what more there are is one element before its abort events. That is an event of
-- a kind that nobody knows (field 15 of Event, its length in three bytes), because an older script takes it for one.
local MORE, MORE_AT = 122, 5

local function levels_each(op, look)
  look(op[4], op[7], op[9], '')
  for _, level in ipairs(op[13] or {}) do
    look(level[1], level[2], level[3], level[1])
  end
end

-- The windows that this request is to be counted in; or nil and a refusal, that with the longest wait.
local function levels_rates(op)
  local rates, longest, refusing = {}, 0, nil
  levels_each(op, function(owner, limit, _, name)
    if limit > 0 then
      local rate = rate_look(owner)
      rates[#rates + 1] = rate
      local wait = rate.used >= limit and rate_wait(rate, limit) or 0
      if rate.used >= limit and (not refusing or wait > longest) then
        longest, refusing = wait, name
      end
    end
  end)
  if refusing then
    return nil, { 'n', 'rate_limited', longest / 1000, refusing }
  end
  return rates, nil
end

-- The budgets to hold on; or nil and a refusal: one that is spent is told before one that is only held.
local function levels_budgets(op)
  local budgets, refusal = {}, nil
  levels_each(op, function(owner, _, asked, name)
    if asked ~= 0 then
      local budget, reason, wait = budget_look(owner, asked, op[8])
      budgets[#budgets + 1] = budget
      if not budget and (not refusal or (refusal[2] == 'budget_held' and reason ~= 'budget_held')) then
        refusal = { 'n', reason, wait, name }
      end
    end
  end)
  return not refusal and budgets or nil, refusal
end

local function levels_more(budgets)
  local more = {}
  for i = 2, #budgets do
    more[#more + 1] = { budgets[i].key, budgets[i].finish }
  end
  local packed = pack(more)
  local size = #packed
  return string.char(MORE, size % 128 + 128, floor(size / 128) % 128 + 128, floor(size / 16384)) .. packed
end

-- Where the abort events of a hold begin, and its budgets beyond the first.
local function levels_read(hold)
  local first = hold[10]
  if first and string.byte(first) == MORE then
    return 11, unpack_value(string.sub(first, MORE_AT))
  end
  return 10, {}
end

local function levels_move(hold, held, spent)
  if hold[4] == '' then
    return
  end
  budget_move(hold[4], hold[5], held, spent)
  local _, more = levels_read(hold)
  for _, budget in ipairs(more) do
    budget_move(budget[1], budget[2], held, spent)
  end
end
