-- Orders and their items. An order outlives the account that made it, so user_id is no foreign key;
-- orders_put() makes sure that the user is there when the order is made.

CREATE TABLE orders (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    -- PLACED is an order without a checkout; the others are the states of one with it.
    status     text NOT NULL CHECK (status IN ('PLACED', 'PENDING', 'PAID', 'FAILED', 'REFUNDED')),
    currency   text COLLATE "C" NOT NULL,
    total      bigint NOT NULL, -- minor units: the sum of its items
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_user ON orders (user_id);

CREATE TABLE order_items (
    order_id   uuid NOT NULL REFERENCES orders ON DELETE CASCADE,
    product_id uuid NOT NULL REFERENCES products,
    line       smallint NOT NULL, -- place in the request, from 1
    quantity   int NOT NULL CHECK (quantity BETWEEN 1 AND 1000),
    unit_price bigint NOT NULL,   -- as it was when the order was made; minor units of the order's currency
    PRIMARY KEY (order_id, product_id)
);
