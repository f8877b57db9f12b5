-- Finds what must be rung again: expired leases, and unleased entries last rung before the oldest waiting doorbell.
-- After the clock was set back it is every entry whose lease or ring lies far ahead: its turn would come hours late.
-- Ringing sets the stamp and removes the lease. ARGV: lane, oldest ring stamp still waiting or '+inf', grace, limit.
-- Returns {now, id, id, …}.
local lane, limit = ARGV[1], tonumber(ARGV[4])
local at = now()
local before = ARGV[2] == '+inf' and at - tonumber(ARGV[3]) or math.min(tonumber(ARGV[2]), ahead(at))
local result = {number(at)}
local function outside(set, before)
  local found = redis.call('ZRANGEBYSCORE', set, '-inf', before, 'LIMIT', 0, limit)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', set, '(' .. number(ahead(at)), '+inf', 'LIMIT', 0, limit)) do
    table.insert(found, id)
  end
  return found
end
for _, id in ipairs(outside(leased(lane), number(at))) do
  local found = redis.call('HMGET', entry(id), 'attempts', 'begun')
  if found[1] then
    redis.call('HSET', entry(id), 'attempts', tonumber(found[1]) + tonumber(found[2]), 'ring', number(at))
    unlease(id, lane, number(at))
    table.insert(result, id)
  else
    forget(id, lane)
  end
end
for _, id in ipairs(outside(rung(lane), '(' .. number(before))) do
  if redis.call('EXISTS', entry(id)) == 1 then
    redis.call('HSET', entry(id), 'ring', number(at))
    redis.call('ZADD', rung(lane), number(at), id)
    table.insert(result, id)
  else
    forget(id, lane)
  end
end
return result
