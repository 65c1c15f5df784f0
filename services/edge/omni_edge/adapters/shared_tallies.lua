-- Add to common counts. KEYS: for each subject its count of the window told of, and that of the one before.
-- ARGV: seconds that a count is kept, then what is added for each subject.
-- Returns both counts of each subject.
local counts = {}
for subject = 1, #KEYS / 2 do
  local key = KEYS[2 * subject - 1]
  counts[2 * subject - 1] = redis.call('INCRBY', key, ARGV[subject + 1])
  redis.call('EXPIRE', key, ARGV[1])
  counts[2 * subject] = tonumber(redis.call('GET', KEYS[2 * subject]) or 0)
end
return counts
