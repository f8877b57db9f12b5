-- Journals all chunks of one flush. A flush number not above the last one seen from this acceptor changes nothing,
-- so a script whose reply was lost can be sent again, and one that arrives late does no harm.
-- The doorbell of a chunk is laid on its lane's queue after the chunk, in the same step; without a bell nobody is rung.
-- The receipt of a request that bears an idempotency key is kept in the same step. Where one of that key is kept already,
-- the request was accepted before: none of its chunks is journaled.
-- ARGV: acceptor, flush, bell, bytes of receipts to keep, how many are given, then of each: name, receipt; then of each
-- chunk: id, lane, events, upload, body, name of its receipt or ''.
-- Returns the stamp of the flush, 0 if it came too late, and for each receipt the one that is kept, '' if none is.
-- Whatever makes it stop half-way, the number is noted last and a receipt after its chunks: what a retry finds is there.
local key, given = 'sentinel:acceptor:' .. ARGV[1], tonumber(ARGV[5])
local seen = redis.call('HMGET', key, 'flush', 'at')
local late = tonumber(seen[1] or 0) >= tonumber(ARGV[2])
local at = not late and now() or seen[1] == ARGV[2] and tonumber(seen[2]) or 0
local answer, before = {at}, {}
for i = 6, 4 + 2 * given, 2 do
  local kept = receipt(ARGV[i], now())
  before[ARGV[i]] = kept
  table.insert(answer, kept or not late and ARGV[i + 1] or '')
end
if late then return answer end
local bell = ARGV[3]
for i = 6 + 2 * given, #ARGV, 6 do
  local id, lane = ARGV[i], ARGV[i + 1]
  local new = not before[ARGV[i + 5]] and take_in(id, lane, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], at, ARGV[1])
  if new and bell ~= '' then  -- a bell that cannot be laid is the sweep's to ring
    redis.pcall('LPUSH', lane, (string.gsub(bell, '@(%l+)@', {chunk = id, lane = lane, stamp = number(at)})))
  end
end
for i = 6, 4 + 2 * given, 2 do
  if not before[ARGV[i]] then keep_receipt(ARGV[i], ARGV[i + 1], at, ARGV[4]) end
end
redis.call('HSET', key, 'flush', ARGV[2], 'at', number(at))
redis.call('EXPIRE', key, 86400)
return answer
