-- The paths that are given behind `--`, asked in turn.

local requests = {}
local turn = 0

function init(args)
  for place, path in ipairs(args) do
    requests[place] = wrk.format("GET", path)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
