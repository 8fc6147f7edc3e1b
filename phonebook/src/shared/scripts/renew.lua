-- KEYS: where a key is connected. ARGV: here (16 bytes), life (ms). Answers 0 when it is connected elsewhere. A lease that was
-- lost is as old as can be, so that whoever greets has it.
local at = redis.call('GET', KEYS[1])
if at and string.sub(at, 1, 16) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if at then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. struct.pack('>I8', 0), 'PX', ARGV[2])
return 1
