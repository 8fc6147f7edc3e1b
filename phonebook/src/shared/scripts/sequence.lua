-- KEYS: the newest sequence of a key's polls. ARGV: sequence (8 bytes, big-endian), born and the poll's time (Unix ms),
-- keep (ms). Answers a letter: s(tale) with the newest sequence, b(efore the beginning), k (taken in).
local old = redis.call('GET', KEYS[1])
if old then
  local high, low = struct.unpack('>I4I4', old)
  local new_high, new_low = struct.unpack('>I4I4', ARGV[1])
  if new_high < high or (new_high == high and new_low <= low) then return 's' .. old end
elseif tonumber(ARGV[3]) < tonumber(ARGV[2]) then
  return 'b'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
return 'k'
