-- Send page views of 20,000 visitors, each with an id of its own. The argument is the beginning of the ids.
local number, prefix = 0, ""

function init(arguments)
  prefix = arguments[1]
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
