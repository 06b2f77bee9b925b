-- The command of POST /loans: a row per request, with outcome 'lent', 'all_lent', 'no_book' or
-- 'no_member'. The books' rows are locked first, in the order of their ids: of two calls for the
-- last copy one waits, and then sees the copies that are left. Requests for one book get its free
-- copies in their order.
CREATE OR REPLACE FUNCTION loans_lend(p_ids uuid[], p_members uuid[], p_books uuid[], p_days int[], p_events uuid[],
                                      p_traceparents text[])
RETURNS TABLE (place bigint, outcome text, copy int, lent_at text, due_at text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM books b WHERE b.id = ANY (p_books) ORDER BY b.id FOR NO KEY UPDATE;

    RETURN QUERY
    WITH requests AS MATERIALIZED (
        SELECT r.*, b.id IS NOT NULL AS has_book, m.id IS NOT NULL AS has_member,
               row_number() OVER (PARTITION BY r.book_id, m.id IS NOT NULL ORDER BY r.place) AS nth
        FROM unnest(p_ids, p_members, p_books, p_days, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, member_id, book_id, days, event_id, traceparent, place)
        LEFT JOIN members m ON m.id = r.member_id LEFT JOIN books b ON b.id = r.book_id
    ), free AS MATERIALIZED (
        SELECT c.book_id, c.copy, row_number() OVER (PARTITION BY c.book_id ORDER BY c.copy) AS nth
        FROM copies c
        WHERE c.book_id = ANY (p_books)
          AND NOT EXISTS (SELECT FROM loans l
                          WHERE l.book_id = c.book_id AND l.copy = c.copy AND l.returned_at IS NULL)
    ), lent AS (
        INSERT INTO loans (id, member_id, book_id, copy, due_at)
        SELECT r.id, r.member_id, r.book_id, f.copy, now() + r.days * interval '1 day'
        FROM requests r JOIN free f ON f.book_id = r.book_id AND f.nth = r.nth
        WHERE r.has_member
        RETURNING *
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT r.event_id, outbox_partition('book:' || r.book_id), 'BookLent', 'book:' || r.book_id,
               jsonb_build_object('loanId', l.id, 'bookId', l.book_id, 'copy', l.copy, 'memberId', l.member_id),
               r.traceparent
        FROM lent l JOIN requests r ON r.id = l.id
        ORDER BY r.place
    )
    SELECT r.place,
           CASE WHEN NOT r.has_member THEN 'no_member' WHEN NOT r.has_book THEN 'no_book'
                WHEN l.id IS NULL THEN 'all_lent' ELSE 'lent' END,
           l.copy, rfc3339(l.lent_at), rfc3339(l.due_at)
    FROM requests r LEFT JOIN lent l ON l.id = r.id
    ORDER BY r.place;
END
$$;
SELECT grant_execute('loans_lend', 'api');

-- The command of POST /loans/{id}/return: a row per request, with outcome 'returned', 'before' when
-- the copy has been returned already, or 'unknown'. A late return writes an event for its fine:
-- p_fines cents for each day that has begun. Rows are locked in one order: books, members.
CREATE OR REPLACE FUNCTION loans_return(p_ids uuid[], p_fines int[], p_events uuid[], p_traceparents text[])
RETURNS TABLE (place bigint, outcome text, member_id uuid, book_id uuid, copy int, lent_at text, due_at text,
               returned_at text, late boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM books b WHERE b.id IN (SELECT l.book_id FROM loans l WHERE l.id = ANY (p_ids))
    ORDER BY b.id FOR NO KEY UPDATE;
    PERFORM FROM members m WHERE m.id IN (SELECT l.member_id FROM loans l WHERE l.id = ANY (p_ids))
    ORDER BY m.id FOR NO KEY UPDATE;

    RETURN QUERY
    WITH requests AS MATERIALIZED (
        SELECT r.*, row_number() OVER (PARTITION BY r.id ORDER BY r.place) AS nth
        FROM unnest(p_ids, p_fines, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, fine, event_id, traceparent, place)
    ), returned AS (
        UPDATE loans l SET returned_at = now() WHERE l.id = ANY (p_ids) AND l.returned_at IS NULL
        RETURNING l.*
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT e.id, outbox_partition(e.aggregate), e.type, e.aggregate, e.data, r.traceparent
        FROM returned l JOIN requests r ON r.id = l.id AND r.nth = 1
        CROSS JOIN LATERAL (VALUES
            (r.event_id, 'BookReturned', 'book:' || l.book_id,
             jsonb_build_object('loanId', l.id, 'bookId', l.book_id, 'copy', l.copy), true),
            (gen_random_uuid(), 'FineDue', 'member:' || l.member_id,
             jsonb_build_object('loanId', l.id, 'memberId', l.member_id, 'cents',
                                r.fine * ceil(extract(epoch FROM l.returned_at - l.due_at) / 86400)::int),
             l.returned_at > l.due_at AND r.fine > 0)) AS e(id, type, aggregate, data, is_due)
        WHERE e.is_due
        ORDER BY r.place
    ), shown AS (
        SELECT * FROM returned UNION ALL
        SELECT l.* FROM loans l WHERE l.id = ANY (p_ids) AND l.returned_at IS NOT NULL
    )
    SELECT r.place,
           CASE WHEN s.id IS NULL THEN 'unknown' WHEN n.id IS NOT NULL AND r.nth = 1 THEN 'returned' ELSE 'before' END,
           s.member_id, s.book_id, s.copy, rfc3339(s.lent_at), rfc3339(s.due_at), rfc3339(s.returned_at),
           s.returned_at > s.due_at
    FROM requests r LEFT JOIN shown s ON s.id = r.id LEFT JOIN returned n ON n.id = r.id
    ORDER BY r.place;
END
$$;
SELECT grant_execute('loans_return', 'api');

-- "weirctl loans overdue" reads these.
SELECT grant_tables(r, 'SELECT', 'loans', 'books', 'members') FROM unnest(ARRAY['ctl', 'operator']) r;
