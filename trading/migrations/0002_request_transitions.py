"""The legal ways of a request from state to state, held by the database (docs/orders.md)."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION trading_request_transition() RETURNS trigger AS $$
BEGIN
    IF OLD.client_id <> NEW.client_id OR OLD.payload <> NEW.payload OR OLD.ts_ms <> NEW.ts_ms
       OR OLD.recv_window_ms <> NEW.recv_window_ms OR OLD.epoch <> NEW.epoch OR OLD.bot_id <> NEW.bot_id THEN
        RAISE EXCEPTION 'request %: what was committed before sending never changes', OLD.client_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state <> NEW.state AND NOT (
        (OLD.state = 'PREPARED' AND NEW.state IN
            ('ACCEPTED', 'REJECTED', 'NOT_SENT', 'UNKNOWN', 'NOT_PLACED', 'LATE', 'QUARANTINED'))
        OR (OLD.state = 'UNKNOWN' AND NEW.state IN ('ACCEPTED', 'NOT_PLACED', 'LATE', 'QUARANTINED'))
        OR (OLD.state = 'LATE' AND NEW.state IN ('ACCEPTED', 'NOT_PLACED', 'QUARANTINED'))
        OR (OLD.state = 'QUARANTINED' AND NEW.state IN ('ACCEPTED', 'NOT_PLACED'))
        OR (OLD.state = 'NOT_PLACED' AND NEW.state = 'ACCEPTED')
    ) THEN
        RAISE EXCEPTION 'request %: no way from % to %', OLD.client_id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$ LANGUAGE plpgsql;
CREATE TRIGGER request_transition BEFORE UPDATE ON trading_orderrequest
    FOR EACH ROW EXECUTE FUNCTION trading_request_transition();

CREATE FUNCTION trading_request_born() RETURNS trigger AS $$
BEGIN
    IF NEW.state <> 'PREPARED' THEN
        RAISE EXCEPTION 'request %: begins as PREPARED, not %', NEW.client_id, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$ LANGUAGE plpgsql;
CREATE TRIGGER request_born BEFORE INSERT ON trading_orderrequest
    FOR EACH ROW EXECUTE FUNCTION trading_request_born();
"""
BACKWARD = """
DROP TRIGGER request_born ON trading_orderrequest;
DROP FUNCTION trading_request_born();
DROP TRIGGER request_transition ON trading_orderrequest;
DROP FUNCTION trading_request_transition();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
