-- KEYS: the record. ARGV: now, ttl, pin, replayable, keep (ms); born and the claim's time (Unix ms); sequence (8 bytes,
-- big-endian), key, followed keys one after the other; flags, address.
-- Answers a letter: t(aken), s(tale) with the newest sequence, b(efore the beginning), k (taken in).
local old = redis.call('GET', KEYS[1])
local now = tonumber(ARGV[1])
local known = false
local heir = false
if old then
  local flags, high, low, at = struct.unpack('>BI4I4I8', old)
  local owner = string.sub(old, 18, 49)
  local age = math.max(now - at, 0)
  local pinned = (flags % 2 == 1 and age < tonumber(ARGV[2])) or age < tonumber(ARGV[3])
  known = pinned or age < tonumber(ARGV[4])
  for key = 1, #ARGV[10], 32 do
    heir = heir or owner == string.sub(ARGV[10], key, key + 31)
  end
  if known and not heir then
    if owner ~= ARGV[9] then
      if pinned then return 't' end
    else
      local new_high, new_low = struct.unpack('>I4I4', ARGV[8])
      if new_high < high or (new_high == high and new_low <= low) then return 's' .. string.sub(old, 2, 9) end
    end
  end
end
if not known and tonumber(ARGV[7]) < tonumber(ARGV[6]) then return 'b' end
local record = ARGV[11] .. ARGV[8] .. struct.pack('>I8', now) .. ARGV[9] .. ARGV[12]
redis.call('SET', KEYS[1], record, 'PX', ARGV[5])
return 'k'
