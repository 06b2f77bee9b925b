-- The command of POST /books: a book and its copies for each request.
CREATE OR REPLACE FUNCTION books_add(p_ids uuid[], p_titles text[], p_authors text[], p_kinds text[], p_copies int[],
                                     p_events uuid[], p_traceparents text[])
RETURNS TABLE (place bigint)
LANGUAGE sql AS $$
    WITH requests AS MATERIALIZED (
        SELECT * FROM unnest(p_ids, p_titles, p_authors, p_kinds, p_copies, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, title, author, kind, copies, event_id, traceparent, place)
    ), added AS (
        INSERT INTO books (id, title, author, kind) SELECT r.id, r.title, r.author, r.kind FROM requests r
    ), copied AS (
        INSERT INTO copies (book_id, copy) SELECT r.id, n FROM requests r, generate_series(1, r.copies) n
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT r.event_id, outbox_partition('book:' || r.id), 'BookAdded', 'book:' || r.id,
               jsonb_build_object('bookId', r.id, 'title', r.title, 'copies', r.copies), r.traceparent
        FROM requests r ORDER BY r.place
    )
    SELECT r.place FROM requests r ORDER BY r.place
$$;
SELECT grant_execute('books_add', 'api');

-- A row per request: the newest books, as [[id, title, author, kind, copies, free], …].
CREATE OR REPLACE FUNCTION books_list(p_limits int[])
RETURNS TABLE (place bigint, books text)
LANGUAGE sql STABLE AS $$
    SELECT r.place, coalesce(l.books, '[]')::text
    FROM unnest(p_limits) WITH ORDINALITY AS r(n, place)
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(b.id, b.title, b.author, b.kind, c.copies, c.copies - c.out)
                         ORDER BY b.added_at DESC, b.id DESC) AS books
        FROM (SELECT * FROM books ORDER BY added_at DESC, id DESC LIMIT r.n) b
        CROSS JOIN LATERAL (
            SELECT count(*) AS copies, count(o.id) AS out
            FROM copies k LEFT JOIN loans o
                ON o.book_id = k.book_id AND o.copy = k.copy AND o.returned_at IS NULL
            WHERE k.book_id = b.id) c
    ) l
$$;
SELECT grant_execute('books_list', 'api');
