-- Journals all chunks of one flush. A flush number not above the last one seen from this acceptor changes nothing,
-- so a script whose reply was lost can be sent again, and one that arrives late does no harm.
-- The doorbell of a chunk is laid on its lane's queue after the chunk, in the same step; without a bell nobody is rung.
-- ARGV: acceptor, flush, bell, then per chunk: id, lane, events, upload, body. Returns the stamp of the flush, 0 if it came
-- too late.
local key = 'sentinel:acceptor:' .. ARGV[1]
local seen = redis.call('HMGET', key, 'flush', 'at')
if tonumber(seen[1] or 0) >= tonumber(ARGV[2]) then
  if seen[1] == ARGV[2] then return tonumber(seen[2]) end
  return 0
end
local at, bell = now(), ARGV[3]
redis.call('HSET', key, 'flush', ARGV[2], 'at', number(at))
redis.call('EXPIRE', key, 86400)
for i = 4, #ARGV, 5 do
  local id, lane = ARGV[i], ARGV[i + 1]
  if take_in(id, lane, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], at, ARGV[1]) and bell ~= '' then
    redis.call('LPUSH', lane, (string.gsub(bell, '@(%l+)@', {chunk = id, lane = lane, stamp = number(at)})))
  end
end
return at
