-- What the group aggregates keeps, and all that the dashboard reads.

CREATE TABLE daily_order_stats (
    day      date NOT NULL,   -- in UTC, on which the orders were made
    currency text COLLATE "C" NOT NULL,
    orders   bigint NOT NULL,
    items    bigint NOT NULL, -- pieces: the sum of quantities
    revenue  bigint NOT NULL, -- minor units
    PRIMARY KEY (day, currency)
) WITH (fillfactor = 50); -- the day's row is updated with every batch
