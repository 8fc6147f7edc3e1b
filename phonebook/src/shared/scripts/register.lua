-- KEYS: the record. ARGV: now, ttl, pin, pin of a name registered once, replayable (ms); born and the claim's time (Unix
-- ms); sequence (8 bytes, big-endian), key, followed keys one after the other; flags, address; customer (4 bytes), and
-- whether the name was charged to it: n(o), y(es), r(efused).
-- Answers a letter: t(aken), s(tale) with the newest sequence, b(efore the beginning), c(harge first), m(oved: charge
-- first, or say that it was refused) with the old customer, k (taken in) with how long
-- it is kept (ms, 8 bytes).
local old = redis.call('GET', KEYS[1])
local now = tonumber(ARGV[1])
local known = false
local again = false
if old then
  local flags, high, low, at = struct.unpack('>BI4I4I8', old)
  local owner = string.sub(old, 18, 49)
  local age = math.max(now - at, 0)
  local pin = tonumber(ARGV[3])
  if flags < 8 then pin = tonumber(ARGV[4]) end
  local pinned = (flags % 2 == 1 and age < tonumber(ARGV[2])) or age < pin
  known = pinned or age < tonumber(ARGV[5])
  local heir = false
  for key = 1, #ARGV[10], 32 do
    heir = heir or owner == string.sub(ARGV[10], key, key + 31)
  end
  again = known and (heir or owner == ARGV[9])
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
local customer = ARGV[13]
if ARGV[14] ~= 'y' then
  if not known then return 'c' end
  local holder = string.sub(old, 50, 53)
  if holder ~= customer and ARGV[14] == 'n' then return 'm' .. holder end
  customer = holder
end
local flags, pin = tonumber(ARGV[11]), tonumber(ARGV[4])
if again then
  flags = flags + 8
  pin = tonumber(ARGV[3])
end
local keep = math.max(tonumber(ARGV[2]), pin, tonumber(ARGV[5]))
local record = string.char(flags) .. ARGV[8] .. struct.pack('>I8', now) .. ARGV[9] .. customer .. ARGV[12]
redis.call('SET', KEYS[1], record, 'PX', string.format('%.0f', keep))
return 'k' .. struct.pack('>I8', keep)
