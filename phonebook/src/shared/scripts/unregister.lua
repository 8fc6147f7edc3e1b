-- KEYS: the record. ARGV: now, ttl, pin, replayable (ms), sequence (8 bytes, big-endian), key.
-- Answers a letter: t(aken), s(tale) with the newest sequence, n(othing to end), e(nded).
local old = redis.call('GET', KEYS[1])
if not old then return 'n' end
local flags, high, low, at = struct.unpack('>BI4I4I8', old)
local age = math.max(tonumber(ARGV[1]) - at, 0)
local live = flags % 2 == 1 and age < tonumber(ARGV[2])
local pinned = live or age < tonumber(ARGV[3])
if not (pinned or age < tonumber(ARGV[4])) then return 'n' end
if string.sub(old, 18, 49) ~= ARGV[6] then
  if pinned then return 't' else return 'n' end
end
local new_high, new_low = struct.unpack('>I4I4', ARGV[5])
if new_high < high or (new_high == high and new_low <= low) then return 's' .. string.sub(old, 2, 9) end
-- What is remembered is the key and the sequence, and no longer where it was.
local record = string.char(flags - flags % 2) .. ARGV[5] .. string.sub(old, 10, 49)
redis.call('SET', KEYS[1], record, 'KEEPTTL')
if live then return 'e' else return 'n' end
