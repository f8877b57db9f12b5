-- Puts the parts of a chunk in and takes the chunk out, after PostgreSQL has committed that it was split. It does nothing
-- unless the chunk still is in the journal, and never touches what was accepted. Parts keep the chunk's stamps, so that
-- the next sweep rings for them; they begin without attempts, and keep no company.
-- ARGV: id, then per part: id, events, body. Returns 1, 0 if the chunk was gone.
local lane, upload, at, acceptor, ring =
  unpack(redis.call('HMGET', entry(ARGV[1]), 'lane', 'upload', 'at', 'acceptor', 'ring'))
if not lane then return 0 end
remove(ARGV[1])
for i = 2, #ARGV, 3 do
  put(ARGV[i], lane, ARGV[i + 1], ARGV[i + 1], upload, ARGV[i + 2], at, acceptor, ring)
  redis.call('HSET', entry(ARGV[i]), 'company', 1)
end
return 1
