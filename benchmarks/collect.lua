-- Send page views of 20,000 visitors, each with an id of its own. The arguments are the beginning of the ids and, to pace
-- them, the number a second. Without a number, each connection sends as soon as it has its response.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } instant;
  int clock_gettime(int clock, instant *now);
]]

local MONOTONIC = 1
local number, prefix, next_at = 0, "", 0
local instant = ffi.new("instant")

local function now()
  ffi.C.clock_gettime(MONOTONIC, instant)
  return tonumber(instant.seconds) * 1000 + tonumber(instant.nanoseconds) / 1e6
end

function init(arguments)
  prefix = arguments[1]
  if arguments[2] then
    local pause = 1000 / tonumber(arguments[2])
    -- wrk waits so many milliseconds before it sends the request of a connection, and measures from then on.
    delay = function()
      local at = now()
      next_at = math.max(next_at + pause, at - 100)  -- after a stall it catches up, but at most 100 ms
      return math.max(0, math.floor(next_at - at + 0.5))
    end
  end
end
function request()
  number = number + 1
  local visitor = (number * 7919) % 20000
  local address = string.format("10.%d.%d.1", math.floor(visitor / 256), visitor % 256)
  local body = string.format(
    '{"type":"page_view","id":"%s-%08d","url":"https://shop.example/page/%d","at":%d,"referrer":"https://search.example/"}',
    prefix, number, number % 100, number)
  return wrk.format("POST", "/collect", {
    ["Content-Type"] = "text/plain",
    ["X-Forwarded-For"] = address,
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
  }, body)
end
