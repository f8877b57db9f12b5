-- Ends the leases of a holder that is known to be dead, as if their time were up: the next sweep counts and rings.
-- ARGV: the token, ids. Returns how many were its own.
local at, ended = number(now()), 0
for i = 2, #ARGV do
  local found = redis.call('HMGET', entry(ARGV[i]), 'token', 'lane')
  if found[1] == ARGV[1] then
    redis.call('HSET', entry(ARGV[i]), 'lease', at)
    redis.call('ZADD', leased(found[2]), at, ARGV[i])
    ended = ended + 1
  end
end
return ended
