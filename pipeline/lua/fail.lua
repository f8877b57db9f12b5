-- Gives a lease back and counts one attempt, with its error. Only the holder of the token may.
-- ARGV: id, token, error.
local found = redis.call('HMGET', entry(ARGV[1]), 'token', 'lane', 'ring')
if found[1] ~= ARGV[2] then return end
unlease(ARGV[1], found[2], found[3])
redis.call('HSET', entry(ARGV[1]), 'error', ARGV[3])
redis.call('HINCRBY', entry(ARGV[1]), 'attempts', 1)
