-- Registers a spooled upload to be split. ARGV: entry id, lane, received_at, then field/value pairs. Returns the stamp.
local at = now()
if redis.call('EXISTS', entry(ARGV[1])) == 1 then return at end
redis.call('HSET', entry(ARGV[1]), 'lane', ARGV[2], 'received_at', ARGV[3], 'at', number(at), 'ring', number(at),
  'attempts', 0, 'begun', 0, 'checkpoint', 0, 'index', 0, 'accepted', 0, 'rejected', 0, unpack(ARGV, 4))
redis.call('ZADD', open_set(ARGV[2]), number(at), ARGV[1])
redis.call('ZADD', rung(ARGV[2]), number(at), ARGV[1])
return at
