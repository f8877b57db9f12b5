-- What every script shares. An entry is a chunk, or an upload that is being split; both are leased, rung and swept alike.
-- Times are microseconds of Redis' own clock: workers' clocks never decide anything.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end
-- A stamp farther ahead than this was given before the clock was set back: no lease is as long.
local function ahead(at) return at + 60000000 end
local function number(value) return string.format('%.0f', value) end
local function entry(id) return 'sentinel:entry:' .. id end
local function rung(lane) return 'sentinel:rung:' .. lane end
local function leased(lane) return 'sentinel:leased:' .. lane end
local function open_set(lane) return 'sentinel:open:' .. lane end

local function put(id, lane, events, weight, upload, body, at, acceptor, ring)
  if redis.call('EXISTS', entry(id)) == 1 then return false end
  redis.call('ZADD', open_set(lane), number(at), id)
  redis.call('ZADD', rung(lane), number(ring), id)
  redis.call('HSET', entry(id), 'lane', lane, 'events', events, 'weight', weight, 'upload', upload, 'body', body,
    'at', number(at), 'acceptor', acceptor, 'ring', number(ring), 'attempts', 0, 'begun', 0)
  redis.call('HSET', 'sentinel:weights', id, weight .. ' ' .. #body .. ' ' .. acceptor)
  redis.call('HINCRBY', 'sentinel:bytes', lane, #body)
  if upload ~= '' then
    redis.call('HSET', 'sentinel:uploaded', id, #body)
    redis.call('HINCRBY', 'sentinel:bytes', 'uploads', #body)
  end
  redis.call('HINCRBY', 'sentinel:ledger', 'open', weight)
  return true
end

local function take_in(id, lane, events, upload, body, at, acceptor)
  local is_new = put(id, lane, events, events, upload, body, at, acceptor, at)
  if is_new then redis.call('HINCRBY', 'sentinel:ledger', 'accepted', events) end
  return is_new
end

-- Something is done on a lane: whether its workers are stuck or merely behind depends on when that was.
local function progress(lane) redis.call('HSET', 'sentinel:progress', lane, number(now())) end

-- What is known of an entry outside itself; it goes even when somebody deleted the entry by hand, so that the ledger sees it.
local function forget(id, lane)
  local known = redis.call('HGET', 'sentinel:weights', id)
  if known then
    local weight, size = known:match('^(%d+) (%d+)')
    redis.call('HINCRBY', 'sentinel:ledger', 'open', -weight)
    redis.call('HINCRBY', 'sentinel:bytes', lane, -size)
    redis.call('HDEL', 'sentinel:weights', id)
  end
  local uploaded = redis.call('HGET', 'sentinel:uploaded', id)
  if uploaded then
    redis.call('HINCRBY', 'sentinel:bytes', 'uploads', -uploaded)
    redis.call('HDEL', 'sentinel:uploaded', id)
  end
  redis.call('ZREM', open_set(lane), id)
  redis.call('ZREM', rung(lane), id)
  redis.call('ZREM', leased(lane), id)
end

local function remove(id)
  local lane = redis.call('HGET', entry(id), 'lane')
  if not lane then return end
  forget(id, lane)
  redis.call('DEL', entry(id))
  progress(lane)
  redis.call('HSET', 'sentinel:settled', lane, number(now()))
end

local function unlease(id, lane, ring)
  redis.call('HDEL', entry(id), 'token', 'lease')
  redis.call('HSET', entry(id), 'begun', 0)
  redis.call('ZREM', leased(lane), id)
  redis.call('ZADD', rung(lane), ring, id)
end

-- Receipts of requests that bore an idempotency key: kept for a day, or until younger ones need their room.
local receipts, receipt_ages = 'sentinel:receipts', 'sentinel:receipts:ages'
local day, beside = 86400000000, 200

local function receipt(name, at)
  local since = redis.call('ZSCORE', receipt_ages, name)
  return since and tonumber(since) > at - day and redis.call('HGET', receipts, name)
end

local function drop_receipt(name)
  local size = redis.call('HSTRLEN', receipts, name)
  if size > 0 then redis.call('HINCRBY', 'sentinel:bytes', 'receipts', -size - beside) end
  redis.call('HDEL', receipts, name)
  redis.call('ZREM', receipt_ages, name)
end

local function keep_receipt(name, value, at, most)
  drop_receipt(name)
  redis.call('HSET', receipts, name, value)
  redis.call('ZADD', receipt_ages, number(at), name)
  local held = redis.call('HINCRBY', 'sentinel:bytes', 'receipts', #value + beside)
  for i, old in ipairs(redis.call('ZRANGEBYSCORE', receipt_ages, '-inf', number(at - day), 'LIMIT', 0, 10)) do
    drop_receipt(old)
  end
  while held > tonumber(most) and redis.call('ZCARD', receipt_ages) > 1 do
    drop_receipt(redis.call('ZRANGE', receipt_ages, 0, 0)[1])
    held = tonumber(redis.call('HGET', 'sentinel:bytes', 'receipts'))
  end
end
