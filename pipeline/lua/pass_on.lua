-- Gives a lease back, with a new ring stamp for the doorbell that follows. Only the holder of the token may.
-- ARGV: id, token. Returns the stamp, 0 if the lease was not ours.
local found = redis.call('HMGET', entry(ARGV[1]), 'token', 'lane')
if found[1] ~= ARGV[2] then return 0 end
local at = now()
redis.call('HSET', entry(ARGV[1]), 'ring', number(at))
unlease(ARGV[1], found[2], number(at))
return at
