-- Gives leases back without counting an attempt: an outage is nobody's fault. Only the holder of the token may. For anybody
-- else the token is void from then on: a script that was to lease under it and arrives only now finds nobody to work.
-- ARGV: token, ids.
for i = 2, #ARGV do
  local found = redis.call('HMGET', entry(ARGV[i]), 'token', 'lane', 'ring')
  if found[1] == ARGV[1] then
    unlease(ARGV[i], found[2], found[3])
  elseif found[2] then
    redis.call('HSET', entry(ARGV[i]), 'void', ARGV[1])
  end
end
