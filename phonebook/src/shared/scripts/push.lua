-- KEYS: an inbox. ARGV: the dispatch, how many may wait, for how long (ms). Answers 0 when there is no room.
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
