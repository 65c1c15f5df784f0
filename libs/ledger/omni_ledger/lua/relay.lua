-- One turn of a relay: forget the batch that was published, seal the next one, say what is in it.
-- ARGV: router, batch published ('' = none), id for a new batch ('' = do not seal), most events, most bytes,
--       'up' | 'down' | '' (whether to show, withdraw or leave alone the router's sign of life).
-- Returns {events waiting, sealed batch id or '', event…}.
--
-- A batch's bounds are fixed before it is published, so a relay that dies in between, or another that takes over, sends
-- the same events under the same id, and the stream drops the duplicate.
local QUOTA, ALIVE = 'quota:{omni}:', 15
local router, done, fresh = ARGV[1], ARGV[2], ARGV[3]
local box, seal, alive = QUOTA .. 'outbox:' .. router, QUOTA .. 'sealed:' .. router, QUOTA .. 'router:' .. router

if ARGV[6] == 'up' then
  redis.call('SET', alive, '1', 'EX', ALIVE)
elseif ARGV[6] == 'down' then
  redis.call('DEL', alive)
end

local id, count
local sealed = redis.call('GET', seal)
if sealed then
  local gap = string.find(sealed, ' ', 1, true)
  id, count = string.sub(sealed, 1, gap - 1), tonumber(string.sub(sealed, gap + 1))
  if id == done then
    redis.call('LTRIM', box, count, -1)
    redis.call('DEL', seal)
    id = nil
  end
end
local waiting = redis.call('LLEN', box)
if id and waiting < count then -- Redis came back with less than it had: this batch does not exist any more
  redis.call('DEL', seal)
  id = nil
end
if not id then
  if fresh == '' or waiting == 0 then
    return { waiting, '' }
  end
  local size, most = 0, tonumber(ARGV[5])
  local events = redis.call('LRANGE', box, 0, tonumber(ARGV[4]) - 1)
  local reply = { waiting, fresh }
  for i, event in ipairs(events) do
    size = size + #event
    if i > 1 and size > most then
      break
    end
    reply[i + 2] = event
  end
  redis.call('SET', seal, fresh .. ' ' .. string.format('%.0f', #reply - 2))
  return reply
end
local reply = redis.call('LRANGE', box, 0, count - 1)
table.insert(reply, 1, id)
table.insert(reply, 1, waiting)
return reply
