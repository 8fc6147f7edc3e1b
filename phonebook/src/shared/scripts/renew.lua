-- KEYS: where a key is connected. ARGV: here, life (ms). Answers 0 when it is connected elsewhere.
local at = redis.call('GET', KEYS[1])
if at == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if at then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
