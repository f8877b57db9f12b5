-- Notes which of a chunk's events is judged now, so that whoever finds its judge dead knows at which one it died. Only the
-- holder of the token may. ARGV: id, token, position of the event.
if redis.call('HGET', entry(ARGV[1]), 'token') == ARGV[2] then redis.call('HSET', entry(ARGV[1]), 'reached', ARGV[3]) end
