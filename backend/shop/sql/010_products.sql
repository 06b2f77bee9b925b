-- Products. Prices are in minor units of an ISO 4217 currency.

CREATE TABLE products (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    price      bigint NOT NULL CHECK (price BETWEEN 0 AND 1000000000),
    currency   text COLLATE "C" NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80); -- orders lock rows here

INSERT INTO products (id, name, price, currency) VALUES
    ('01900000-0000-7000-8000-000000000001', 'Sluice gate, oak', 129900, 'EUR'),
    ('01900000-0000-7000-8000-000000000002', 'Gauge board, enamelled, 1 m', 4950, 'EUR'),
    ('01900000-0000-7000-8000-000000000003', 'Hand winch, 500 kg', 18900, 'EUR'),
    ('01900000-0000-7000-8000-000000000004', 'Fish ladder, per step', 74500, 'EUR'),
    ('01900000-0000-7000-8000-000000000005', 'Trash rack, galvanised', 32000, 'EUR'),
    ('01900000-0000-7000-8000-000000000006', 'Stop log, spruce', 2990, 'EUR'),
    ('01900000-0000-7000-8000-000000000007', 'Water level logger', 24900, 'USD'),
    ('01900000-0000-7000-8000-000000000008', 'Replacement battery', 1990, 'USD');
