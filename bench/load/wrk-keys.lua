-- For wrk: asks for /k/0 to /k/KEYS-1 in turn, as bench-invalidate's upstream has
-- them; KEYS comes from the environment.

local keys = tonumber(os.getenv("KEYS"))
local requests, n = {}, 0

function init(args)
    for key = 0, keys - 1 do
        requests[key] = wrk.format("GET", "/k/" .. key)
    end
end

function request()
    n = (n + 1) % keys
    return requests[n]
end
