-- KEYS: the record. ARGV: now, ttl, pin, pin of a name registered once, replayable (ms), sequence (8 bytes, big-endian), key.
-- Answers a letter: t(aken), s(tale) with the newest sequence, n(othing to end), e(nded).
local old = redis.call('GET', KEYS[1])
if not old then return 'n' end
local flags, high, low, at = struct.unpack('>BI4I4I8', old)
local age = math.max(tonumber(ARGV[1]) - at, 0)
local live = flags % 2 == 1 and age < tonumber(ARGV[2])
local pin = tonumber(ARGV[3])
if flags < 8 then pin = tonumber(ARGV[4]) end
local pinned = live or age < pin
if not (pinned or age < tonumber(ARGV[5])) then return 'n' end
if string.sub(old, 18, 49) ~= ARGV[7] then
  if pinned then return 't' else return 'n' end
end
local new_high, new_low = struct.unpack('>I4I4', ARGV[6])
if new_high < high or (new_high == high and new_low <= low) then return 's' .. string.sub(old, 2, 9) end
-- What is remembered is the key and the sequence, and no longer where it was.
local record = string.char(flags - flags % 2) .. ARGV[6] .. string.sub(old, 10, 53)
redis.call('SET', KEYS[1], record, 'KEEPTTL')
if live then return 'e' else return 'n' end
