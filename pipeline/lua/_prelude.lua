-- What every script shares. An entry is a chunk, or an upload that is being split; both are leased, rung and swept alike.
-- Times are microseconds of Redis' own clock: workers' clocks never decide anything.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end
local function number(value) return string.format('%.0f', value) end
local function entry(id) return 'sentinel:entry:' .. id end
local function rung(lane) return 'sentinel:rung:' .. lane end
local function leased(lane) return 'sentinel:leased:' .. lane end
local function open_set(lane) return 'sentinel:open:' .. lane end

local function put(id, lane, events, weight, upload, body, at, acceptor)
  if redis.call('EXISTS', entry(id)) == 1 then return false end
  redis.call('HSET', entry(id), 'lane', lane, 'events', events, 'weight', weight, 'upload', upload, 'body', body,
    'at', number(at), 'acceptor', acceptor, 'ring', number(at), 'attempts', 0, 'begun', 0)
  redis.call('ZADD', open_set(lane), number(at), id)
  redis.call('ZADD', rung(lane), number(at), id)
  redis.call('HINCRBY', 'sentinel:bytes', lane, #body)
  if tonumber(weight) > 0 then redis.call('HINCRBY', 'sentinel:ledger', 'accepted', weight) end
  return true
end

local function remove(id)
  local found = redis.call('HMGET', entry(id), 'lane')
  local lane = found[1]
  if not lane then return 0 end
  redis.call('HINCRBY', 'sentinel:bytes', lane, -redis.call('HSTRLEN', entry(id), 'body'))
  redis.call('DEL', entry(id))
  redis.call('ZREM', open_set(lane), id)
  redis.call('ZREM', rung(lane), id)
  redis.call('ZREM', leased(lane), id)
  return 1
end

local function unlease(id, lane, ring)
  redis.call('HDEL', entry(id), 'token', 'lease')
  redis.call('HSET', entry(id), 'begun', 0)
  redis.call('ZREM', leased(lane), id)
  redis.call('ZADD', rung(lane), ring, id)
end
