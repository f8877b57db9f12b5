-- Journals all chunks of one flush. A flush number not above the last one seen from this acceptor changes nothing,
-- so a script whose reply was lost can be sent again, and one that arrives late does no harm.
-- ARGV: acceptor, flush, then per chunk: id, lane, events, upload, body. Returns the stamp of the flush, 0 if it came too late.
local key = 'sentinel:acceptor:' .. ARGV[1]
local seen = redis.call('HMGET', key, 'flush', 'at')
if tonumber(seen[1] or 0) >= tonumber(ARGV[2]) then
  if seen[1] == ARGV[2] then return tonumber(seen[2]) end
  return 0
end
local at = now()
redis.call('HSET', key, 'flush', ARGV[2], 'at', number(at))
redis.call('EXPIRE', key, 86400)
for i = 3, #ARGV, 5 do
  take_in(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], at, ARGV[1])
end
return at
