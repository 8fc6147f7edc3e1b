-- KEYS: since when this Redis has been remembering. Answers its clock and that, in Unix ms. An empty Redis begins now.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local born = redis.call('GET', KEYS[1])
if not born then
  born = now
  redis.call('SET', KEYS[1], born)
end
return {now, born}
