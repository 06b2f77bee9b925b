-- For wrk: writes that are all different. KIND is signup or orders, UNIQUE differs from run to run,
-- USER_ID is who orders, TOKEN proves it (no token without it), PAUSE_MS how long a connection
-- rests between two requests on average (none without it). Prints what a run counted as one line of
-- JSON.

local unique = os.getenv("UNIQUE")
local pause = tonumber(os.getenv("PAUSE_MS") or "0")
local token = os.getenv("TOKEN")
local head = "HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    .. (token and "Authorization: Bearer " .. token .. "\r\n" or "")
    .. "Content-Type: application/json\r\nContent-Length: "
local path, body, n

if os.getenv("KIND") == "orders" then
    path = "POST /orders "
    body = '{"userId":"' .. os.getenv("USER_ID") .. '","items":['
        .. '{"productId":"01900000-0000-7000-8000-000000000001","quantity":1},'
        .. '{"productId":"01900000-0000-7000-8000-000000000002","quantity":2}]}'
else
    path = "POST /signup "
end

function init(args)
    n = 0
    math.randomseed(os.time())
end

function request()
    local b = body
    n = n + 1
    if not b then
        b = '{"email":"' .. unique .. "-" .. n .. '@example.com","displayName":"Bench ' .. n .. '"}'
    end
    return path .. head .. #b .. "\r\n\r\n" .. b
end

if pause > 0 then
    function delay()
        return math.random(0, 2 * pause)
    end
end

dofile("bench/load/done.lua")
