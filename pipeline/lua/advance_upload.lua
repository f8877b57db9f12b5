-- Journals the chunk that starts at the checkpoint and moves the checkpoint behind it, in one step. It does nothing
-- unless the checkpoint still is the chunk's start, so two splitters, or a killed one, double and skip nothing.
-- ARGV: entry id, start, end, records, rejected, finished ('' or why: 'end', 'fault'), error, acceptor, chunk id, lane, events, upload, body.
-- Returns the stamp, or 0 if somebody else was there.
local key = entry(ARGV[1])
if redis.call('HGET', key, 'checkpoint') ~= ARGV[2] or redis.call('HEXISTS', key, 'finished') == 1 then return 0 end
local at = now()
if tonumber(ARGV[11]) > 0 then
  take_in(ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], at, ARGV[8])
end
redis.call('HSET', key, 'checkpoint', ARGV[3], 'attempts', 0)
redis.call('HINCRBY', key, 'index', ARGV[4])
redis.call('HINCRBY', key, 'accepted', ARGV[11])
redis.call('HINCRBY', key, 'rejected', ARGV[5])
if ARGV[6] ~= '' then redis.call('HSET', key, 'finished', ARGV[6], 'error', ARGV[7]) end
return at
