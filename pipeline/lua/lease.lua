-- Takes an entry, unless an unexpired lease exists. An expired lease whose work had begun counts as an attempt, the
-- burial of an exhausted chunk too: so one that kills its undertakers is seen, and buried whole.
-- ARGV: id, token, seconds of the lease in microseconds, most attempts.
local id, key = ARGV[1], entry(ARGV[1])
local found = redis.call('HMGET', key, 'lane', 'lease', 'begun', 'attempts', 'void')
local lane = found[1]
if not lane or found[5] == ARGV[2] then return {'gone'} end
local at = now()
if found[2] and tonumber(found[2]) > at then return {'busy'} end
local attempts = tonumber(found[4]) + tonumber(found[3])
local exhausted = attempts >= tonumber(ARGV[4])
local expiry = number(at + tonumber(ARGV[3]))
redis.call('HSET', key, 'token', ARGV[2], 'lease', expiry, 'attempts', attempts, 'begun', 1)
redis.call('ZREM', rung(lane), id)
redis.call('ZADD', leased(lane), expiry, id)
progress(lane)
return {exhausted and 'exhausted' or 'leased', redis.call('HGETALL', key)}
