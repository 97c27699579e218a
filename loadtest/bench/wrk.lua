-- Drives one kind of request. Arguments, as name=value:
--   mode      spread    POST the wishes of wishes-N.txt, each thread its own: lines of a path's number (from 1) and a seat
--             batch     spread, a hundred wishes of one path in a request, answered a line each
--             random    POST two seats of seats.txt, drawn anew each time
--             purchase  spread, and what was held is paid: two requests in turn (one connection per thread)
--             get       GET the path
--   inputs    a directory with tokens.txt and paths.txt, to which requests go in turn
--   outputs   a directory for a file per thread: a line "created <id>" for each 201, and with one connection per thread
--             a line "took <time of the answer> <latency> <path's number>" in µs for each answer (more files than that, and wrk, which
--             allows for three descriptors per connection, would have none left for its connections)
--   threads, connections, seed, target (end once so many were created: one thread), etag (of a GET)
--   begin, finish   with one connection per thread: nothing is sent before, or counted after (monotonic clock, µs)
--   rate      requests per second of all threads together, paced: every thread has slots at an even distance, waits for
--             its next one with delay(), and counts the latency from the slot even where it could only send later
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } bench_time;
  int clock_gettime(int clock, bench_time *time);
  int getpid(void);
  int kill(int pid, int number);
]]
local MONOTONIC, SIGINT = 1, 2
local BATCH = 100
local clock = ffi.new("bench_time")
local threads = {}

local function now_us()
  ffi.C.clock_gettime(MONOTONIC, clock)
  return tonumber(clock.seconds) * 1000000 + math.floor(tonumber(clock.nanoseconds) / 1000)
end

local function lines(path)
  local found = {}
  for line in io.lines(path) do
    table.insert(found, line)
  end
  return found
end

-- What the main state asks a thread for, in done(), is global.
options, headers, answers, taken, ran_out, ended, elapsed = {}, {}, {}, 0, 0, false, 0
local created, complaints = 0, 0
local sent, slot, started, held, interval
local asked = 1 -- the path's number

local function wait_for_slot()
  local now = now_us()
  if slot == nil then
    slot = tonumber(options.begin) + (interval or 0) * number / count
  elseif interval then
    slot = slot + interval
  else
    slot = now
  end
  return math.max(0, math.floor((slot - now) / 1000))
end

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  for _, word in ipairs(args) do
    local name, value = word:match("^(%w+)=(.*)$")
    if name then options[name] = value end
  end
  mode = options.mode
  count = tonumber(options.threads)
  alone = count == tonumber(options.connections)
  target = tonumber(options.target)
  turn = number
  tokens = lines(options.inputs .. "/tokens.txt")
  paths = lines(options.inputs .. "/paths.txt")
  if mode == "random" then
    seats = lines(options.inputs .. "/seats.txt")
  elseif mode ~= "get" then
    wishes = lines(options.inputs .. "/wishes-" .. number .. ".txt")
  end
  math.randomseed(tonumber(options.seed) + number)
  file = io.open(options.outputs .. "/thread-" .. number .. ".txt", "w")
  if mode == "get" then
    headers["Accept-Encoding"] = "gzip"
    if options.etag ~= "" then headers["If-None-Match"] = options.etag end
  else
    headers["Content-Type"] = mode == "batch" and "application/x-ndjson" or "application/json"
  end
  if alone then
    local rate = tonumber(options.rate)
    if rate > 0 then interval = 1000000 * count / rate end
    delay = wait_for_slot
  end
end

local function take_wish()
  taken = taken + 1
  if wishes[taken] == nil then ran_out = ran_out + 1 end
  local path, seat = (wishes[taken] or wishes[#wishes]):match("^(%d+) (.*)$")
  asked = tonumber(path)
  return paths[asked], '{"seats":["' .. seat .. '"]}'
end

local function take_batch()
  local path, batch = nil, {}
  for number = 1, BATCH do
    path, batch[number] = take_wish()
  end
  return path, table.concat(batch, "\n")
end

local function draw_seats()
  local one, other = math.random(#seats), math.random(#seats - 1)
  if other >= one then other = other + 1 end
  return paths[turn % #paths + 1], '{"seats":["' .. seats[one] .. '","' .. seats[other] .. '"]}'
end

function request()
  turn = turn + count
  local path, body
  if held then
    path, body = "/v1/bookings/" .. held .. "/payments", '{"method":{"type":"card","token":"tok_approve"}}'
  elseif mode == "get" then
    path = paths[turn % #paths + 1]
  elseif mode == "random" then
    path, body = draw_seats()
  elseif mode == "batch" then
    path, body = take_batch()
  else
    path, body = take_wish()
  end
  if #tokens > 0 then
    -- a payment comes from whoever holds the seats; the next purchase is another customer's
    local who = mode == "purchase" and number + count * taken or turn
    headers["Authorization"] = "Bearer " .. tokens[who % #tokens + 1]
  end
  if not held then sent = now_us() end
  started = started or sent
  return wrk.format(mode == "get" and "GET" or "POST", path, headers, body)
end

local function id_in(body)
  return body:match('"id":"([^"]+)"') or "?"
end

local function complain(status, body)
  complaints = complaints + 1
  if complaints <= 2 then io.stderr:write(status .. " " .. body:sub(1, 300) .. "\n") end
end

local function note_batch(body)
  for line in body:gmatch("[^\n]+") do
    local status, id = line:match('"status":(%d+),"booking":{"id":"([^"]+)"')
    status = status or line:match('"status":(%d+)') or "?"
    answers[status] = (answers[status] or 0) + 1
    if id then
      file:write("created ", id, "\n")
      created = created + 1
    else
      complain(status, line)
    end
  end
end

function response(status, _, body)
  local now = now_us()
  if mode == "batch" and status == 200 then return note_batch(body) end
  local id = status == 201 and (held or id_in(body)) or nil
  local paying = held ~= nil
  held = nil
  if id and mode == "purchase" and not paying then
    held = id
  elseif id then
    file:write("created ", id, "\n")
  end
  if alone and now > tonumber(options.finish) then
    ended, elapsed = true, options.finish - options.begin
    wrk.thread:stop()
  end
  if ended then return end
  local key = (paying and "paid " or "") .. status
  answers[key] = (answers[key] or 0) + 1
  if status ~= 201 and status ~= 200 and status ~= 304 then complain(status, body) end
  if alone and not held then
    file:write("took ", now, " ", now - math.min(slot, sent), " ", asked, "\n")
  end
  if id and not held then
    created = created + 1
    if created == target then
      ended, elapsed = true, now - started
      wrk.thread:stop()
      ffi.C.kill(ffi.C.getpid(), SIGINT) -- wakes wrk, which otherwise sleeps until its time is over
    end
  end
end

function done(summary, latency, _)
  local answered, most_taken, missed, microseconds = {}, 0, 0, summary.duration
  for _, thread in ipairs(threads) do
    for key, number in pairs(thread:get("answers")) do
      answered[key] = (answered[key] or 0) + number
    end
    missed = missed + thread:get("ran_out")
    most_taken = math.max(most_taken, thread:get("taken"))
    if thread:get("ended") then microseconds = thread:get("elapsed") end
  end
  local parts = {}
  for key, number in pairs(answered) do
    table.insert(parts, string.format('"%s":%d', key, number))
  end
  local points = {}
  for _, percent in ipairs({ 50, 75, 90, 95, 99, 99.9 }) do
    table.insert(points, string.format('"%g":%d', percent, latency:percentile(percent)))
  end
  table.insert(points, string.format('"100":%d', latency.max))
  local errors = summary.errors
  io.write(string.format(
    '\n{"answers":{%s},"used":%d,"ran_out":%d,"microseconds":%d,"errors":%d,"latency_us":{%s}}\n',
    table.concat(parts, ","), most_taken * #threads, missed, microseconds,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(points, ",")))
end
