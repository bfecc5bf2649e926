-- Sends prepared requests in turn, and ends with one line of JSON that benchmarks/load.py reads.
-- The file named by the first argument is a row of "<bytes>\n<raw HTTP request>".

local prepared, turn = {}, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  while true do
    local size = file:read("*l")
    if not size then break end
    prepared[#prepared + 1] = file:read(tonumber(size))
  end
  file:close()
end

function request()
  turn = turn % #prepared + 1
  return prepared[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "bytes": %d, "refused": %d, "broken": %d, "timed_out": %d, '
      .. '"p50": %d, "p99": %d, "slowest": %d}\n',
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write, errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max
  ))
end
