"""The invariants of docs/orders.md as SQL: each text selects the rows that break one.

Columns: severity, bot, account, object, sentence. {r} and its like are conditions that narrow a table to what
is asked about, by the alias that the table has in the text: see trading.invariants.
"""

from __future__ import annotations

REQUESTS = "trading_orderrequest"
DOUBTS = "('PREPARED', 'UNKNOWN', 'LATE', 'QUARANTINED')"
OVER = "('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED', 'EXPIRED_IN_MATCH', 'NOT_PLACED', 'FINISHED')"
WAITS = "'PENDING_NEW'"  # a leg whose working order is not filled: on the exchange, and not live
BASE = "regexp_replace(f.symbol, 'USDT$', '')"
SIGN = "(CASE WHEN {alias}.side = 'BUY' THEN 1 ELSE -1 END)"

I1 = f"""
SELECT 'error', r.bot_id, min(r.account_id), 'bot ' || r.bot_id || ' ' || r.lane,
       count(*) || ' requests of one lane are open: ' || string_agg(r.client_id, ', ')
FROM {REQUESTS} r WHERE r.state IN ('PREPARED', 'UNKNOWN') AND {{r}}
GROUP BY r.bot_id, r.lane HAVING count(*) > 1
"""

I2 = f"""
SELECT 'error', o.bot_id, min(o.account_id), 'bot ' || o.bot_id || ' ' || o.purpose || ' ' || o.part,
       count(*) || ' entries for the signal of ' || o.signal_time || ': '
       || string_agg(o.client_order_id, ', ')
FROM trading_order o WHERE o.purpose IN ('ENTRY', 'DCA') AND o.signal_used AND {{o}}
GROUP BY o.bot_id, o.purpose, o.part, o.signal_time HAVING count(*) > 1
UNION ALL
SELECT 'error', o.bot_id, min(o.account_id), 'bot ' || o.bot_id || ' ' || o.purpose || ' ' || o.part,
       count(*) || ' live orders of one purpose: ' || string_agg(o.client_order_id, ', ')
FROM trading_order o WHERE o.live AND {{o}}
GROUP BY o.bot_id, o.purpose, o.part HAVING count(*) > 1
UNION ALL
SELECT 'error', o.bot_id, o.account_id, 'order ' || o.client_order_id,
       'the order is ' || o.status || ' and counts as ' || CASE WHEN o.live THEN 'live' ELSE 'over' END
FROM trading_order o JOIN {REQUESTS} r ON r.id = o.request_id
WHERE {{o}} AND (
    (o.live AND o.status IN {OVER})
    OR (NOT o.live AND o.status NOT IN {OVER} AND o.status <> {WAITS}
        AND r.superseded_by_id IS NULL AND o.cancel_wanted_at IS NULL
        AND r.state IN ('PREPARED', 'UNKNOWN', 'ACCEPTED'))
    OR (o.live AND r.state NOT IN ('PREPARED', 'UNKNOWN', 'ACCEPTED'))
)
"""

# A doubt may last for as long as the exchange gives no good answer.
I3 = f"""
SELECT CASE WHEN d.last_not_found_at > d.final_at THEN 'error' ELSE 'warning' END,
       d.bot_id, d.account_id, 'request ' || d.client_id,
       'the request is ' || d.state || ' since ' || to_char(d.created_at, 'YYYY-MM-DD HH24:MI')
       || ', which should have ended by ' || to_char(d.final_at, 'YYYY-MM-DD HH24:MI')
FROM (
    SELECT r.*, to_timestamp((r.ts_ms + r.recv_window_ms) / 1000.0) + %(grace)s::interval + CASE
        WHEN r.market = 'futures' OR (r.lane = 'entry' AND NOT r.answered) OR (r.answered AND r.hold_long)
        THEN %(hold_long)s::interval ELSE %(hold)s::interval END AS final_at
    FROM {REQUESTS} r WHERE r.state IN ('PREPARED', 'UNKNOWN') AND {{r}}
) d WHERE d.final_at < %(now)s
UNION ALL
SELECT 'warning', r.bot_id, r.account_id, 'request ' || r.client_id,
       'somebody must settle the quarantined request: ' || r.reason
FROM {REQUESTS} r WHERE r.state = 'QUARANTINED' AND {{r}}
"""

I4 = """
SELECT 'error', c.bot_id, c.account_id, 'order ' || c.client_order_id,
       'executed ' || trim_scale(c.executed_quantity) || ', its fills are ' || trim_scale(c.filled)
FROM (
    SELECT o.id, o.bot_id, o.account_id, o.client_order_id, o.executed_quantity,
           COALESCE(sum(f.quantity), 0) AS filled
    FROM trading_order o LEFT JOIN trading_fill f ON f.order_id = o.id
    WHERE o.fills_complete AND {o} GROUP BY o.id
) c WHERE c.filled <> c.executed_quantity
UNION ALL
SELECT CASE WHEN o.updated_at < %(now)s - %(grace)s::interval THEN 'error' ELSE 'warning' END,
       o.bot_id, o.account_id, 'order ' || o.client_order_id,
       'fills are missing since ' || to_char(o.updated_at, 'YYYY-MM-DD HH24:MI:SS')
FROM trading_order o
WHERE NOT o.fills_complete AND o.executed_quantity > 0 AND NOT o.live
  AND o.updated_at < %(now)s - %(fills)s::interval AND {o}
"""

# Commissions in base of a SELL are left to the FIFO: what the position lacks for them is an expense.
I5 = f"""
SELECT 'error', p.bot_id, p.account_id, 'bot ' || p.bot_id,
       'the position is ' || trim_scale(p.held) || ', the fills say ' || trim_scale(p.total)
FROM (
    SELECT s.bot_id, b.account_id, s.current_position_size_coins AS held,
           (CASE WHEN b.position_type = 'short' THEN -1 ELSE 1 END)
           * (COALESCE(f.total, 0) + COALESCE(o.total, 0) + COALESCE(a.total, 0)) AS total
    FROM trading_botstate s JOIN bots_botconfig b ON b.id = s.bot_id
    LEFT JOIN LATERAL (
        SELECT sum({SIGN.format(alias="f")} * f.quantity)
               - sum(CASE WHEN f.market = 'spot' AND f.side = 'BUY' AND f.commission_asset = {BASE}
                     THEN f.commission ELSE 0 END) AS total,
               bool_or(f.market = 'spot' AND f.side = 'SELL' AND f.commission > 0
                       AND f.commission_asset = {BASE}) AS by_fifo
        FROM trading_fill f WHERE f.bot_id = s.bot_id
    ) f ON TRUE
    LEFT JOIN LATERAL (
        SELECT sum({SIGN.format(alias="o")} * (o.executed_quantity - COALESCE(
                   (SELECT sum(x.quantity) FROM trading_fill x WHERE x.order_id = o.id), 0))) AS total
        FROM trading_order o
        WHERE o.bot_id = s.bot_id AND NOT o.fills_complete AND o.executed_quantity > 0
    ) o ON TRUE
    LEFT JOIN LATERAL (
        SELECT sum(a.quantity) AS total FROM trading_adjustment a WHERE a.bot_id = s.bot_id
    ) a ON TRUE
    WHERE {{s}} AND NOT COALESCE(f.by_fifo, FALSE)
) p WHERE p.held <> p.total
"""

I7 = """
SELECT 'error', d.bot_id, d.account_id, 'bot ' || d.bot_id,
       'counted ' || d.daily_trades_count || ' entries and ' || trim_scale(d.daily_pnl) || ' on ' || d.day
       || ', the journal has ' || d.entries || ' and ' || trim_scale(d.pnl)
FROM (
    SELECT s.bot_id, b.account_id, s.daily_trades_count, s.daily_pnl, s.trading_day AS day,
           COALESCE(t.entries, 0) AS entries, COALESCE(t.pnl, 0) + COALESCE(p.paid, 0) AS pnl
    FROM trading_botstate s JOIN bots_botconfig b ON b.id = s.bot_id
    CROSS JOIN LATERAL (SELECT s.trading_day::timestamp AT TIME ZONE 'UTC' AS start) d
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE t.purpose = 'ENTRY') AS entries, sum(t.realized_pnl) AS pnl
        FROM trading_trade t
        WHERE t.bot_config_id = s.bot_id AND t.created_at >= d.start
          AND t.created_at < d.start + interval '1 day'
    ) t ON TRUE
    LEFT JOIN LATERAL (
        SELECT sum(p.amount) AS paid FROM trading_fundingpayment p
        WHERE p.bot_id = s.bot_id AND b.market = 'futures' AND p.paid_at >= d.start
          AND p.paid_at < d.start + interval '1 day'
    ) p ON TRUE
    WHERE s.trading_day IS NOT NULL AND {s}
) d WHERE d.entries <> d.daily_trades_count OR d.pnl <> d.daily_pnl
"""

I8 = f"""
SELECT 'error', f.bot_id, f.account_id, 'fill ' || f.symbol || ' ' || f.trade_id,
       'a fill without an order that is not external'
FROM trading_fill f WHERE f.order_id IS NULL AND f.source <> 'external' AND {{f}}
UNION ALL
SELECT 'error', t.bot_config_id, b.account_id, 'trade ' || t.id, 'a trade without fills'
FROM trading_trade t JOIN bots_botconfig b ON b.id = t.bot_config_id
WHERE {{t}} AND t.order_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM trading_fill f WHERE f.order_id = t.order_id)
UNION ALL
SELECT 'error', t.bot_config_id, b.account_id, 'trade ' || t.id, 'an external trade without fills'
FROM trading_trade t JOIN bots_botconfig b ON b.id = t.bot_config_id
WHERE {{t}} AND t.order_id IS NULL AND NOT EXISTS (
    SELECT 1 FROM trading_fill f WHERE f.bot_id = t.bot_config_id AND f.order_id IS NULL
      AND COALESCE(f.exchange_order_id, 0) = t.binance_order_id)
UNION ALL
SELECT 'error', o.bot_id, o.account_id, 'order ' || o.client_order_id, 'a filled order without a trade'
FROM trading_order o
WHERE {{o}} AND o.fills_complete AND o.executed_quantity > 0
  AND NOT EXISTS (SELECT 1 FROM trading_trade t WHERE t.order_id = o.id)
UNION ALL
SELECT 'error', r.bot_id, r.account_id, 'request ' || r.client_id, 'it ended without a reason or a time'
FROM {REQUESTS} r
WHERE r.state NOT IN {DOUBTS} AND (r.reason = '' OR r.resolved_at IS NULL) AND {{r}}
"""

I9 = f"""
SELECT 'error', NULL::bigint, m.account_id, 'account ' || m.account_id || ' ' || m.market || ' ' || m.asset,
       trim_scale(m.reserved) || ' are reserved, open entries need ' || trim_scale(m.wanted)
FROM (
    SELECT COALESCE(a.account_id, r.account_id) AS account_id, COALESCE(a.market, r.market) AS market,
           COALESCE(a.asset, r.asset) AS asset, COALESCE(a.reserved, 0) AS reserved,
           COALESCE(r.wanted, 0) AS wanted
    FROM trading_accountstate a FULL JOIN (
        SELECT r.account_id, r.market, r.reserved_asset AS asset, sum(r.reserved_amount) AS wanted
        FROM {REQUESTS} r WHERE r.state IN {DOUBTS} AND r.reserved_amount > 0 GROUP BY 1, 2, 3
    ) r ON r.account_id = a.account_id AND r.market = a.market AND r.asset = a.asset
) m WHERE m.reserved <> m.wanted AND {{m}}
"""

I10 = """
SELECT 'error', s.bot_id, b.account_id, 'bot ' || s.bot_id,
       'in position without a stop on the exchange since ' || to_char(n.since, 'YYYY-MM-DD HH24:MI:SS')
FROM trading_botstate s JOIN bots_botconfig b ON b.id = s.bot_id
CROSS JOIN LATERAL (SELECT COALESCE(s.naked_since, s.entry_time) AS since) n
WHERE s.in_position AND (s.protection ->> 'stop_loss_perc' IS NOT NULL OR s.trailing_stop_price IS NOT NULL)
  AND n.since < %(now)s - %(naked)s::interval AND {s}
  AND NOT EXISTS (
      SELECT 1 FROM trading_order o WHERE o.bot_id = s.bot_id AND o.purpose = 'STOP' AND o.live)
"""

I11 = """
SELECT 'error', g.bot_id, b.account_id, 'run ' || g.trigger || ' ' || g.key,
       'bot ' || g.bot_id || ' made one run twice, or in the future: slot ' || min(g.slot)
FROM bots_botrun g JOIN bots_botconfig b ON b.id = g.bot_id WHERE {g}
GROUP BY g.bot_id, b.account_id, g.trigger, g.key
HAVING count(*) > 1 OR max(g.slot) > %(now)s + interval '1 minute'
    OR max(g.started_at) > %(now)s + interval '1 minute'
"""

CHECKS = {
    "I1": I1,
    "I2": I2,
    "I3": I3,
    "I4": I4,
    "I5": I5,
    "I7": I7,
    "I8": I8,
    "I9": I9,
    "I10": I10,
    "I11": I11,
}
