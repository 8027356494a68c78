-- One decision about limits. The same rules as policy/limits.py; both pass the same tests.
--
-- KEYS[1]  the prefix of every key; its {hash tag} keeps them on one node of a cluster.
-- ARGV[1]  admit | more | settle | restore | beat | leave
-- ARGV[2]  JSON. Meters are {kind, subject, limit, amount or charged, spent, resets}; kinds: r(equests), t(okens),
--          s(treams), b(udget). Times are milliseconds.
--
-- Answers begin with 1 (done), 0 (refused) or 2 (the caller's lease is not there: restore, then ask again).
--
-- A caller's name is PROCESS.N; N goes up whenever it does not know what became of a call, and only the highest counts.
--
-- Keys: l:PROCESS its lease: the N that counts · w:KIND:SUBJECT buckets of the last minute · h:SUBJECT callers that have streams
-- s:SUBJECT:ME their streams · b:SUBJECT spent, and held by each caller

local GRAIN, SPAN, NEVER = 250, 240, -1
local DAY = 86400000

local P, op, ask = KEYS[1], ARGV[1], cjson.decode(ARGV[2])
local call = redis.call
local now = ask.now
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local bucket = math.floor(now / GRAIN)
local function int(value) return string.format('%.0f', value + 0) end  -- + 0: there is no "-0" in Redis
local function lease(who) return P .. 'l:' .. string.match(who, '^(.*)%.') end
local function number(who) return string.match(who, '%.(%d+)$') end
local function counts(who) return call('GET', lease(who)) == number(who) end

-- The last minute of one limit: a hash of buckets, their sum, and the first and last of them.

local function window(meter) return P .. 'w:' .. meter[1] .. ':' .. meter[2] end

local function range(first, last)
  local names = {}
  for b = first, last do names[#names + 1] = int(b) end
  return names
end

local function slide(key)
  local head = call('HMGET', key, 'sum', 'first', 'last')
  if not head[1] then return 0 end
  local sum, first, last = tonumber(head[1]), tonumber(head[2]), tonumber(head[3])
  local oldest = bucket - SPAN
  if last < oldest then call('DEL', key) return 0 end
  if first < oldest then
    local names = range(first, oldest - 1)
    for _, amount in ipairs(call('HMGET', key, unpack(names))) do sum = sum - (tonumber(amount) or 0) end
    call('HDEL', key, unpack(names))
    first = oldest
    call('HSET', key, 'sum', int(sum), 'first', int(first))
  end
  return sum, first, last
end

local function gone(b) return (b + 1 + SPAN) * GRAIN end

local function wait(key, over)
  local _, first, last = slide(key)
  if not first then return 0 end
  for at, amount in ipairs(call('HMGET', key, unpack(range(first, last)))) do
    over = over - (tonumber(amount) or 0)
    if over <= 0 then return gone(first + at - 1) - now end
  end
  return (SPAN + 1) * GRAIN
end

local function add(key, amount)
  local _, first, last = slide(key)
  local b = math.max(bucket, last or bucket)
  call('HINCRBY', key, int(b), int(amount))
  call('HINCRBY', key, 'sum', int(amount))
  call('HSET', key, 'last', int(b), 'first', int(first or b))
  call('PEXPIRE', key, (SPAN + 4) * GRAIN)
  return b
end

local function reset(key)
  local last = call('HGET', key, 'last')
  return last and math.max(0, gone(tonumber(last)) - now) or 0
end

-- Streams: of callers whose lease is there. What the others had is forgotten.

local function live(subject)
  local count = 0
  for _, who in ipairs(call('SMEMBERS', P .. 'h:' .. subject)) do
    local streams = P .. 's:' .. subject .. ':' .. who
    local has = counts(who) and call('SCARD', streams) or 0
    if has == 0 then call('DEL', streams) call('SREM', P .. 'h:' .. subject, who) end
    count = count + has
  end
  return count
end

local function enter(subject, ...)
  call('SADD', P .. 'h:' .. subject, ask.me)
  call('SADD', P .. 's:' .. subject .. ':' .. ask.me, ...)
  call('PEXPIRE', P .. 'h:' .. subject, DAY)
  call('PEXPIRE', P .. 's:' .. subject .. ':' .. ask.me, DAY)
end

-- Money: what was spent, at least what the ledger says, and what callers whose lease is there hold.

local function purse(meter)
  local key, used, known = P .. 'b:' .. meter[2], 0, 0
  local fields = call('HGETALL', key)
  for at = 1, #fields, 2 do
    local name, amount = fields[at], tonumber(fields[at + 1])
    if name == 'spent' then known = amount
    elseif counts(name) then used = used + amount
    else call('HDEL', key, name) end
  end
  if meter[5] and meter[5] > known then
    known = meter[5]
    call('HSET', key, 'spent', int(known))
    call('PEXPIRE', key, 7 * DAY)
  end
  return used + known
end

local function hold(subject, amount)
  call('HINCRBY', P .. 'b:' .. subject, ask.me, int(amount))
  call('PEXPIRE', P .. 'b:' .. subject, 7 * DAY)
end

local function resets(meter)
  if meter[6] == nil or meter[6] == cjson.null then return NEVER end
  return meter[6]
end

-- How long the request stays out: a period without end > a time > nobody knows.
local function weight(meter, ms)
  if meter[1] == 'b' and ms == NEVER then return math.huge end
  return ms
end

local function refused(meter)
  local kind = meter[1]
  if kind == 's' then
    if live(meter[2]) >= meter[3] then return NEVER end
  elseif kind == 'b' then
    if purse(meter) >= meter[3] then return resets(meter) end
  else
    local over = slide(window(meter)) + meter[4] - meter[3]
    if over > 0 then return wait(window(meter), over) end
  end
end

local function standings(answer)
  for _, meter in ipairs(ask.meters) do
    if meter[1] == 'r' or meter[1] == 't' then
      local key = window(meter)
      answer[#answer + 1] = slide(key)
      answer[#answer + 1] = reset(key)
    end
  end
  return answer
end

local function admit()
  local worst, longest
  for index, meter in ipairs(ask.meters) do
    local ms = refused(meter)
    if ms and (not worst or weight(meter, ms) > weight(ask.meters[worst], longest)) then worst, longest = index, ms end
  end
  if worst then return standings({0, worst, longest}) end
  local answer = {1}
  for _, meter in ipairs(ask.meters) do
    local kind, charged, b = meter[1], meter[4], 0
    if kind == 's' then
      enter(meter[2], ask.id)
    elseif kind == 'b' then
      charged = math.max(0, math.min(charged, meter[3] - purse(meter)))
      hold(meter[2], charged)
    else
      b = add(window(meter), charged)
    end
    answer[#answer + 1] = charged
    answer[#answer + 1] = b
  end
  return standings(answer)
end

-- Of tokens and budget only. `output` tokens in all are wanted, `before` are reserved.
local function more()
  local reached, least = ask.output, nil
  for index, meter in ipairs(ask.meters) do
    local possible
    if meter[1] == 't' then
      possible = meter[4] + math.max(0, meter[3] - slide(window(meter))) - ask.prompt
    elseif ask.unit > 0 then
      possible = math.floor((meter[4] + math.max(0, meter[3] - purse(meter)) - ask.base) / ask.unit)
    end
    if possible and possible < reached then reached, least = possible, index end
  end
  if reached <= ask.before then
    local meter = ask.meters[least]
    if meter[1] == 'b' then return {0, least, resets(meter)} end
    return {0, least, wait(window(meter), slide(window(meter)) + 1 - meter[3])}
  end
  local answer = {1, reached}
  for _, meter in ipairs(ask.meters) do
    local b, amount = 0, nil
    if meter[1] == 't' then
      amount = math.max(0, ask.prompt + reached - meter[4])
      if amount > 0 then b = add(window(meter), amount) end
    else
      amount = math.max(0, ask.base + math.ceil(reached * ask.unit) - meter[4])
      if amount > 0 then hold(meter[2], amount) end
    end
    answer[#answer + 1] = amount
    answer[#answer + 1] = b
  end
  return answer
end

local function settle()
  for _, back in ipairs(ask.back) do  -- {subject, bucket, amount}
    local key = P .. 'w:t:' .. back[1]
    local counted = call('HGET', key, int(back[2]))
    if counted then
      call('HINCRBY', key, int(back[2]), int(-back[3]))
      call('HINCRBY', key, 'sum', int(-back[3]))
    end
  end
  for _, over in ipairs(ask.over) do add(P .. 'w:t:' .. over[1], over[2]) end  -- {subject, amount}
  for _, subject in ipairs(ask.streams) do call('SREM', P .. 's:' .. subject .. ':' .. ask.me, ask.id) end
  for _, money in ipairs(ask.money) do  -- {subject, held, cost}
    hold(money[1], -money[2])
    call('HINCRBY', P .. 'b:' .. money[1], 'spent', int(money[3]))
  end
  return {1}
end

-- The caller is new, or something between it and us was lost: it says again what it has.
local function restore()
  local known = call('GET', lease(ask.me))
  if known and tonumber(known) > tonumber(number(ask.me)) then return {2} end  -- said long ago, heard only now
  call('SET', lease(ask.me), number(ask.me), 'PX', ask.lease)
  for subject, ids in pairs(ask.streams) do
    for at = 1, #ids, 1000 do enter(subject, unpack(ids, at, math.min(at + 999, #ids))) end
  end
  for subject, amount in pairs(ask.money) do hold(subject, amount) end
  return {1}
end

if op == 'restore' then return restore() end
if not counts(ask.me) then return {2} end
if op == 'leave' then call('DEL', lease(ask.me)) return {1} end
if op == 'admit' then return admit() end
if op == 'more' then return more() end
if op == 'settle' then return settle() end
call('PEXPIRE', lease(ask.me), ask.lease)
return {1}
