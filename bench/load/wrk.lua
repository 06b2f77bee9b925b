-- For wrk: prints what a run counted as one line of JSON.  With UNIQUE in the
-- environment no URI is asked twice; UNIQUE must differ from run to run.  With
-- KEYS so many URIs are asked in turn.

local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("id", threads)
end

local unique = os.getenv("UNIQUE")
local keys = tonumber(os.getenv("KEYS"))

if unique then
    local head, tail, n

    -- wrk.format() for each request would cost more than the request.
    function init(args)
        local text = wrk.format("GET", wrk.path .. "?u=@@")
        local at = text:find("@@", 1, true)
        head = text:sub(1, at - 1) .. unique .. "-" .. id .. "-"
        tail = text:sub(at + 2)
        n = 0
    end

    function request()
        n = n + 1
        return head .. n .. tail
    end
end

if keys then
    local requests, n = {}, 0

    function init(args)
        for key = 1, keys do
            requests[key] = wrk.format("GET", wrk.path .. "?k=" .. key)
        end
    end

    function request()
        n = n % keys + 1
        return requests[n]
    end
end

dofile("bench/load/done.lua")
