-- KEYS: where a key is connected. ARGV: here (16 bytes), since when (Redis's Unix ms), how far two phone books' readings of
-- that clock differ at most, life (ms). Answers where it was connected, or 0 when it greeted there later. A lease from
-- the future is of a clock that was set back, and counts for nothing.
local at = redis.call('GET', KEYS[1])
if at and #at == 24 then
  local since = struct.unpack('>I8', at, 17)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if since > tonumber(ARGV[2]) + tonumber(ARGV[3]) and since <= now + tonumber(ARGV[3]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. struct.pack('>I8', tonumber(ARGV[2])), 'PX', ARGV[4])
return at
