"""What runs within Redis, in Lua: a script is one step, so that history and messages fit together.

Keys, which all have the same hash tag: in a cluster, one node has them.

- the state: a hash with `epoch`, and `top`, the highest offset that any topic has reached;
- for each topic that keeps messages, a stream. The ID of an entry is its offset, and the time in milliseconds.
  Its fields, in this order: `e`, the envelope; `n` and `s`, how many messages the topic keeps and for how many
  seconds, as asked for last; `f`, 1 for an entry of whose predecessor nothing is known.

Rules of this file:
- Entries are dropped when there are too many, or when they are too old and another is added; what is too old is
  never given out. The stream itself expires when a day has passed since then. If a topic keeps messages again
  after that, its offsets go on above those of all topics: within an epoch, an offset never means two messages.
"""

from __future__ import annotations

#: KEYS: state, stream. ARGV: channel, envelope, messages and seconds to keep ("" for what is asked already), an
#: epoch for the case that there is none.
PUBLISH = """
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local messages, seconds = ARGV[3], ARGV[4]
local offset, first
if last then
  offset, first = tonumber(string.match(last[1], '^%d+')), '0'
  if messages == '' then messages, seconds = last[2][4], last[2][6] end
elseif messages == '' then
  redis.call('PUBLISH', ARGV[1], '0:-:' .. ARGV[2])
  return 0
else
  offset, first = tonumber(redis.call('HGET', KEYS[1], 'top') or 0), '1'
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[5]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
offset = offset + 1
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local id = string.format('%.0f-%.0f', offset, now)
redis.call('XADD', KEYS[2], 'MAXLEN', messages, id, 'e', ARGV[2], 'n', messages, 's', seconds, 'f', first)
local oldest = now - seconds * 1000
while true do
  local entries = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 16)
  local old = 0
  for _, entry in ipairs(entries) do
    if tonumber(string.match(entry[1], '%d+$')) > oldest then break end
    redis.call('XDEL', KEYS[2], entry[1])
    old = old + 1
  end
  if old < 16 then break end
end
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', seconds * 1000 + 86400000))
if offset > tonumber(redis.call('HGET', KEYS[1], 'top') or 0) then
  redis.call('HSET', KEYS[1], 'top', string.format('%.0f', offset))
end
redis.call('PUBLISH', ARGV[1], string.format('%.0f', offset) .. ':' .. epoch .. ':' .. ARGV[2])
return offset
"""

#: KEYS: state, stream. ARGV: an epoch for the case that there is none; "" for no messages, "kept" for all, or
#: an epoch; the offset; the most octets that are given out. Returns "looked", the epoch, the topic's offset,
#: whether it keeps messages, "" or whether all since then follows, and offsets and envelopes.
LOOK = """
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[1]
  local done = redis.pcall('HSET', KEYS[1], 'epoch', epoch)
  -- Without memory, there is no history, but topics that need none work.
  if type(done) == 'table' and done.err and not string.find(done.err, 'OOM', 1, true) then
    return done
  end
end
local offset
if last then
  offset = string.match(last[1], '^%d+')
else
  offset = redis.call('HGET', KEYS[1], 'top') or '0'
end
local answer = {'looked', epoch, offset, last and 1 or 0, ''}
if ARGV[2] == '' then return answer end
local wants_all = ARGV[2] == 'kept'
local at = wants_all and 0 or tonumber(ARGV[3])
if not wants_all then
  answer[5] = '0'
  if not last or ARGV[2] ~= epoch or at > tonumber(offset) then return answer end
end
if not last then return answer end
local clock = redis.call('TIME')
local oldest = clock[1] * 1000 + math.floor(clock[2] / 1000) - last[2][6] * 1000
local size, start, found = 0, string.format('%.0f', at + 1), {}
local expected = at + 1
while true do
  local entries = redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', 100)
  for _, entry in ipairs(entries) do
    local number, time = string.match(entry[1], '^(%d+)-(%d+)$')
    local is_old = tonumber(time) <= oldest
    if not wants_all then
      if is_old or tonumber(number) ~= expected or entry[2][8] == '1' then return answer end
      expected = expected + 1
    end
    if not is_old then
      size = size + #entry[2][2]
      if size > tonumber(ARGV[4]) then
        if not wants_all then return answer end
        size, found = #entry[2][2], {}
      end
      found[#found + 1] = number
      found[#found + 1] = entry[2][2]
    end
  end
  if #entries < 100 then break end
  start = string.format('%.0f', tonumber(string.match(entries[#entries][1], '^%d+')) + 1)
end
if not wants_all then answer[5] = '1' end
for _, value in ipairs(found) do answer[#answer + 1] = value end
return answer
"""
