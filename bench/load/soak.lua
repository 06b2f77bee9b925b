-- For wrk: the whole API, mixed.  Users and orders that it reads, orders for and deletes are those
-- that it has made before, as the answers tell.  UNIQUE differs from run to run, PAUSE_MS is how
-- long a connection rests between two requests on average.  Prints what a run counted as one line
-- of JSON.

local unique = os.getenv("UNIQUE")
local pause = tonumber(os.getenv("PAUSE_MS"))
local KEPT = 500 -- users and orders that are remembered
local n = 0
local users, orders = {}, {}

-- One table for all, filled by the only thread; done() runs elsewhere and gets its copy by
-- thread:get().
counts = {}
threads = {}

function setup(thread) table.insert(threads, thread) end

function init(args) math.randomseed(os.time()) end

local function product(i) return string.format("01900000-0000-7000-8000-%012d", i) end

local function keep(list, id)
    if #list < KEPT then
        list[#list + 1] = id
    else
        list[math.random(KEPT)] = id
    end
end

local function any(list) return list[math.random(#list)] end

local function send(method, path, body, fields)
    fields = fields or ""
    if not body then
        return method .. " " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\n" .. fields .. "\r\n"
    end
    return method .. " " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        .. "Content-Type: application/json\r\n" .. fields
        .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
end

local function signup()
    return send("POST", "/signup",
        '{"email":"' .. unique .. "-" .. n .. '@example.com","displayName":"Soak ' .. n .. '"}')
end

local function order_body()
    return '{"userId":"' .. any(users) .. '","items":['
        .. '{"productId":"' .. product(math.random(6)) .. '","quantity":1},'
        .. '{"productId":"' .. product(1) .. '","quantity":2}]}'
end

local function checkout()
    return send("POST", "/checkout", order_body(),
        'Idempotency-Key: "soak-checkout-' .. unique .. "-" .. n .. '"\r\n')
end

local function deletion()
    return send("DELETE", "/users/" .. table.remove(users, math.random(#users)))
end

local function read_product()
    return send("GET", "/products/" .. product(math.random(6)), nil,
        "API-Version: " .. math.random(3) .. "\r\n")
end

-- Shares of all requests in per cent; those that need a user or an order are a signup while there
-- is none.
local kinds = {
    {20, function() return signup() end},
    {15, function() return send("POST", "/orders", order_body()) end},
    {10, checkout},
    {5, deletion},
    {1, function()
        local i = math.random(6)
        return send("PUT", "/products/" .. product(i),
            '{"name":"Soak ' .. i .. '","price":' .. 100 + n % 900 .. ',"currency":"EUR"}')
    end},
    {14, function() return send("GET", "/users/" .. any(users)) end},
    {10, function() return send("GET", "/orders/" .. any(orders)) end},
    {10, function() return send("GET", "/products") end},
    {10, read_product},
    {5, function() return send("GET", "/dashboard/daily-orders") end},
}

function request()
    n = n + 1
    if #users < 2 or #orders == 0 and n % 2 == 0 then return signup() end
    if #orders == 0 then return send("POST", "/orders", order_body()) end
    local r = math.random(100)
    for _, kind in ipairs(kinds) do
        r = r - kind[1]
        if r <= 0 then return kind[2]() end
    end
end

function response(status, headers, body)
    counts[status] = (counts[status] or 0) + 1
    if status ~= 201 and status ~= 202 then return end
    local id = body:match('^{"id":"(%x+%-%x+%-%x+%-%x+%-%x+)"')
    if id and body:find('"items"', 1, true) then
        keep(orders, id)
    elseif id and body:find('"email"', 1, true) then
        keep(users, id)
    end
end

function delay() return math.random(0, 2 * pause) end

function done(summary, latency, requests)
    local e, parts = summary.errors, {}
    for status, count in pairs(threads[1]:get("counts")) do
        parts[#parts + 1] = string.format('"%d":%d', status, count)
    end
    io.write(string.format(
        '{"requests":%d,"duration_us":%d,"socket_errors":%d,'
            .. '"statuses":{%s},"p50_us":%d,"p99_us":%d}\n',
        summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout,
        table.concat(parts, ","),
        latency:percentile(50), latency:percentile(99)))
end
