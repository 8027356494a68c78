-- Who is alive. One call says that the caller is, and tells who else is.
--
-- KEYS[1]  the prefix of every key; its {hash tag} keeps them on one node of a cluster.
-- ARGV     beat | leave, the caller's tag, its name, its lease in milliseconds
--
-- Answers with the time at which the table was made (another one: what was in it was lost), its age in milliseconds,
-- how many hear the caller's channel, and then tag, name, tag, name …
--
-- Whoever comes or goes has the others look again: "+" on their channels. "." on one's own says no more than that the
-- subscription is alive.
--
-- Keys: m:until until when each counts, by Redis's own clock · m:names their names · m:made

local P, op, tag, name, lease = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local UNTIL, NAMES, MADE = P .. 'm:until', P .. 'm:names', P .. 'm:made'
local DAY = 86400000
local call = redis.call

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(value) return string.format('%.0f', value) end

local function forget(gone)
  call('ZREM', UNTIL, gone)
  call('HDEL', NAMES, gone)
end

local function look_again()
  for _, member in ipairs(call('ZRANGE', UNTIL, 0, 999)) do
    if member ~= tag then call('PUBLISH', P .. 'to:' .. member, '+') end
  end
end

for _, gone in ipairs(call('ZRANGEBYSCORE', UNTIL, '-inf', int(now), 'LIMIT', 0, 1000)) do forget(gone) end
if op == 'leave' then
  forget(tag)
  look_again()
  return {}
end
call('SET', MADE, int(now), 'NX')
local new = call('ZADD', UNTIL, int(now + lease), tag) == 1
call('HSET', NAMES, tag, name)
for _, key in ipairs({UNTIL, NAMES, MADE}) do call('PEXPIRE', key, DAY) end
if new then look_again() end
local heard = call('PUBLISH', P .. 'to:' .. tag, '.')
local made = call('GET', MADE)
local answer = {made, int(now - tonumber(made)), heard}
for _, member in ipairs(call('ZRANGE', UNTIL, 0, 999)) do
  answer[#answer + 1] = member
  answer[#answer + 1] = call('HGET', NAMES, member) or member
end
return answer
