-- Finds what must be rung again: expired leases, and unleased entries last rung before the oldest waiting doorbell.
-- Ringing sets the stamp and removes the lease. ARGV: lane, oldest ring stamp still waiting or '+inf', grace, limit.
-- Returns {now, id, id, …}.
local lane, limit = ARGV[1], tonumber(ARGV[4])
local at = now()
local before = ARGV[2] == '+inf' and at - tonumber(ARGV[3]) or tonumber(ARGV[2])
local result = {number(at)}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased(lane), '-inf', number(at), 'LIMIT', 0, limit)) do
  local found = redis.call('HMGET', entry(id), 'attempts', 'begun')
  if found[1] then
    redis.call('HSET', entry(id), 'attempts', tonumber(found[1]) + tonumber(found[2]), 'ring', number(at))
    unlease(id, lane, number(at))
    table.insert(result, id)
  else
    forget(id, lane)
  end
end
local waiting = redis.call('ZRANGEBYSCORE', rung(lane), '-inf', '(' .. number(before), 'LIMIT', 0, limit)
for _, id in ipairs(waiting) do
  if redis.call('EXISTS', entry(id)) == 1 then
    redis.call('HSET', entry(id), 'ring', number(at))
    redis.call('ZADD', rung(lane), number(at), id)
    table.insert(result, id)
  else
    forget(id, lane)
  end
end
return result
