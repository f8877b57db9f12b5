-- Gives a lease back without counting an attempt: an outage is nobody's fault. Only the holder of the token may.
-- ARGV: id, token. Returns 1 if it was ours.
local found = redis.call('HMGET', entry(ARGV[1]), 'token', 'lane', 'ring')
if found[1] ~= ARGV[2] then return 0 end
unlease(ARGV[1], found[2], found[3])
return 1
