-- Answers more doorbells for the worker that holds a lease: takes the oldest off their queue, and leases their chunks to
-- it, while these are new and small. Of chunks in company nobody can say whose fault a death was, so none of them has
-- begun, and each bears the mark that makes it run alone from then on.
-- ARGV: id, token, queue, seconds of the lease in microseconds, most events, most bytes. Returns {{id, fields}, …}.
local first, queue, found = entry(ARGV[1]), ARGV[3], {}
local held = redis.call('HMGET', first, 'token', 'attempts', 'company')
if held[1] ~= ARGV[2] or held[2] ~= '0' or held[3] then return found end

local function chunk_of(message)
  local readable, read = pcall(cjson.decode, message)
  local headers = readable and type(read) == 'table' and read.headers
  return type(headers) == 'table' and type(headers.chunk) == 'string' and headers.chunk
end

local at = now()
local events, bytes, expiry = tonumber(ARGV[5]), tonumber(ARGV[6]), number(at + tonumber(ARGV[4]))
for _ = 1, 250 do
  local message = redis.call('LINDEX', queue, -1)
  local id = message and chunk_of(message)
  if not id then break end
  local key = entry(id)
  local lane, lease, attempts, company, size =
    unpack(redis.call('HMGET', key, 'lane', 'lease', 'attempts', 'company', 'events'))
  if lane and not (lease and tonumber(lease) > at) then
    events, bytes = events - tonumber(size), bytes - redis.call('HSTRLEN', key, 'body')
    if lease or attempts ~= '0' or company or events < 0 or bytes < 0 then break end
    redis.call('HSET', key, 'token', ARGV[2], 'lease', expiry, 'company', 1)
    redis.call('ZREM', rung(lane), id)
    redis.call('ZADD', leased(lane), expiry, id)
    table.insert(found, {id, redis.call('HGETALL', key)})
  end
  redis.call('RPOP', queue)
end
if #found > 0 then redis.call('HSET', first, 'begun', 0, 'company', 1) end
return found
