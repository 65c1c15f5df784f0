-- A budget of retries for the whole fleet: of all requests of the last 10 to 20 seconds so many percent, or so many
-- where that is more, are tried again at the same account. When everything fails, retries would else multiply the load.
local RETRIES, RETRY_SPAN = 'pace:{omni}:retries:', 10

local function retries_count(at)
  local counts = call('HMGET', RETRIES .. whole(at), 'n', 'r')
  return tonumber(counts[1] or '0'), tonumber(counts[2] or '0')
end

-- `asked` is {1 for a request's first attempt | 2 for one more of the same account, percent, at least}. Returns false
-- where there is no retry left.
local function retries_take(asked, dry)
  local start = floor(now_s / RETRY_SPAN) * RETRY_SPAN
  local key = RETRIES .. whole(start)
  if asked[1] == 2 then
    local requests, retries = retries_count(start)
    local before, retried = retries_count(start - RETRY_SPAN)
    if retries + retried >= max(asked[3], floor((requests + before) * asked[2] / 100)) then
      return false
    end
  end
  if not dry then
    call('HINCRBY', key, asked[1] == 2 and 'r' or 'n', 1)
    call('EXPIRE', key, 3 * RETRY_SPAN)
  end
  return true
end
