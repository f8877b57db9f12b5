-- Reads, at one instant, what was accepted and what is open. ARGV: lanes. Returns {now, accepted, then per chunk: id, weight, acceptor, stamp}.
local result = {number(now()), redis.call('HGET', 'sentinel:ledger', 'accepted') or '0'}
for _, lane in ipairs(ARGV) do
  for _, id in ipairs(redis.call('ZRANGE', open_set(lane), 0, -1)) do
    local found = redis.call('HMGET', entry(id), 'weight', 'acceptor', 'at')
    if found[1] then
      for _, value in ipairs({id, found[1], found[2], found[3]}) do table.insert(result, value) end
    end
  end
end
return result
