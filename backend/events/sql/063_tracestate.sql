-- What other systems keep in a trace (W3C Trace Context, tracestate) goes with the event, beside traceparent.
ALTER TABLE outbox ADD tracestate text;
ALTER TABLE dead_letters ADD tracestate text;

-- Commands pass the context of a request as one text: a traceparent, which has 55 characters, and, if there is a
-- tracestate, a blank and that. So functions of domains have one parameter for it, and need not know of the second
-- column. Most requests have no tracestate: then no function is called.
CREATE FUNCTION outbox_split_trace() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.tracestate := substr(NEW.traceparent, 57);
    NEW.traceparent := left(NEW.traceparent, 55);
    RETURN NEW;
END
$$;
CREATE TRIGGER outbox_split_trace BEFORE INSERT ON outbox
FOR EACH ROW WHEN (length(NEW.traceparent) > 56) EXECUTE FUNCTION outbox_split_trace();
