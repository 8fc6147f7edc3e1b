-- KEYS: the budget. ARGV: now, time of one, time of the whole burst, time of what is asked for (µs).
-- GCRA: answers 0, or the µs that are missing.
local now, one, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + cost
local missing = due - now - burst
if missing > 0 then return missing end
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000))
return 0
