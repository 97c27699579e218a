-- Drives one kind of POST as fast as the server answers. Arguments: the path, the directory with tokens.txt and seats.txt,
-- the number of threads, and the directory for the ids of what was created. Each thread takes every n-th seat, so that no
-- seat is asked for twice.
local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

local function lines(path)
  local found = {}
  for line in io.lines(path) do
    table.insert(found, line)
  end
  return found
end

function init(args)
  path = args[1]
  tokens = lines(args[2] .. "/tokens.txt")
  seats = lines(args[2] .. "/seats.txt")
  step = tonumber(args[3])
  out = io.open(args[4] .. "/created-" .. number .. ".txt", "w")
  next_seat = number + 1
  turn = number
  created, refused, ran_out = 0, 0, 0
  headers = { ["Content-Type"] = "application/json" }
end

function request()
  local seat = seats[next_seat]
  if seat == nil then
    ran_out = ran_out + 1
    seat = seats[1]
  end
  next_seat = next_seat + step
  turn = turn + 1
  headers["Authorization"] = "Bearer " .. tokens[turn % #tokens + 1]
  return wrk.format("POST", path, headers, '{"seats":["' .. seat .. '"]}')
end

function response(status, _, body)
  if status == 201 then
    created = created + 1
    out:write(body:match('"id":"([^"]+)"') or "?", "\n")
  else
    refused = refused + 1
    if refused <= 3 then
      io.stderr:write(status .. " " .. body .. "\n")
    end
  end
end

function done(summary, latency, _)
  local total = { created = 0, refused = 0, ran_out = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(total) do
      total[name] = total[name] + thread:get(name)
    end
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"created":%d,"refused":%d,"ran_out":%d,"microseconds":%d,"errors":%d,"p50_us":%d,"p95_us":%d,"p99_us":%d,"max_us":%d}\n',
    total.created, total.refused, total.ran_out, summary.duration,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99), latency.max))
end
