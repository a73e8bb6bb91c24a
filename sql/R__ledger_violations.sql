-- The invariants, each as a query.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_violations() RETURNS TABLE (invariant int, subject text, detail text) LANGUAGE sql STABLE AS $$
  WITH closed AS MATERIALIZED (
    -- What is left of segments of closed months.
    SELECT k.sandbox_id, max(k.until_time) AS until_time, sum(k.exact_cost_nano_usd) AS exact, sum(k.amount_nano_usd) AS amount
    FROM sandbox_closing k GROUP BY k.sandbox_id
  )
  -- 1. Spent and reserved stay within a hard limit, but where an overrun is recorded.
  SELECT 1, format('quota_period %s %s', q.limit_id, q.period_start),
         format('spent %s + reserved %s > amount %s, excess %s, recorded %s', q.spent, q.reserved, q.amount, q.excess, o.recorded)
  FROM quota_period q
  JOIN quota_limit l ON l.limit_id = q.limit_id
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(o.amount), 0) AS recorded FROM quota_overrun o
    WHERE o.limit_id = q.limit_id AND o.period_start = q.period_start
  ) AS o
  WHERE q.excess <> greatest(0, q.spent + q.reserved - q.amount) OR (l.enforcement = 'HARD' AND q.excess > o.recorded)

  -- 2. Spent is the sum of the records; reserved is the sum of the open holds; a hold charges every limit it is in, in full.
  UNION ALL
  SELECT 2, format('quota_period %s %s', q.limit_id, q.period_start), format('spent %s, records %s', q.spent, r.amount)
  FROM quota_period q
  JOIN quota_limit l ON l.limit_id = q.limit_id
  CROSS JOIN LATERAL (SELECT ledger_spent(l, q.period_start, q.period_end) AS amount) AS r
  WHERE q.spent <> r.amount
  UNION ALL
  SELECT 2, format('quota_period %s %s', q.limit_id, q.period_start), format('reserved %s, holds %s', q.reserved, coalesce(r.amount, 0))
  FROM quota_period q
  LEFT JOIN (
    SELECT c.limit_id, c.period_start, sum(c.amount) AS amount
    FROM hold h CROSS JOIN unnest(h.charged_limits, h.charged_periods, h.charged_amounts) AS c (limit_id, period_start, amount)
    WHERE h.state = 'OPEN' GROUP BY c.limit_id, c.period_start
  ) AS r ON r.limit_id = q.limit_id AND r.period_start = q.period_start
  WHERE q.reserved <> coalesce(r.amount, 0)
  UNION ALL
  SELECT 2, format('hold %s limit %s', h.hold_id, l.limit_id), format('should charge %s, charges %s', n.amount, r.amount)
  FROM hold h
  CROSS JOIN LATERAL ledger_limits(h.tenant_id, h.organisation_id, h.user_id, h.conversation_id, h.agent_id) AS l
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN l.resource IN ('ALL_SPEND', h.kind || '_SPEND') THEN h.amount_nano_usd
      WHEN h.kind <> 'SANDBOX' THEN 0
      WHEN l.resource = 'CONCURRENT_SANDBOXES' THEN 1
      WHEN l.resource = 'CONCURRENT_CPU_CORES' THEN CASE WHEN h.paused THEN 0 ELSE h.cpu_cores END
      WHEN l.resource = 'CONCURRENT_MEMORY_MIB' THEN h.memory_mib
      ELSE 0 END AS amount
  ) AS n
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.amount), 0) AS amount
    FROM unnest(h.charged_limits, h.charged_amounts) AS c (limit_id, amount) WHERE c.limit_id = l.limit_id
  ) AS r
  WHERE h.state = 'OPEN' AND r.amount <> n.amount

  -- 3. Segments follow each other without a gap from the start to where the sandbox is metered.
  UNION ALL
  SELECT 3, format('sandbox %s', g.sandbox_id), format('a segment starts at %s, the one before ends at %s', g.from_time, g.previous)
  FROM (
    SELECT u.sandbox_id, u.from_time,
           lag(u.to_time, 1, coalesce(k.until_time, date_trunc('milliseconds', s.start_time, 'UTC')))
             OVER (PARTITION BY u.sandbox_id ORDER BY u.from_time) AS previous
    FROM usage_segment u
    JOIN sandbox s ON s.sandbox_id = u.sandbox_id
    LEFT JOIN closed k ON k.sandbox_id = u.sandbox_id
  ) AS g
  WHERE g.from_time IS DISTINCT FROM g.previous
  UNION ALL
  SELECT 3, format('sandbox %s', s.sandbox_id), format('metered until %s, segments until %s', s.metered_until, r.until)
  FROM sandbox s
  LEFT JOIN closed k ON k.sandbox_id = s.sandbox_id
  CROSS JOIN LATERAL (
    SELECT coalesce(max(u.to_time), k.until_time) AS until FROM usage_segment u WHERE u.sandbox_id = s.sandbox_id
  ) AS r
  WHERE s.metered_until IS DISTINCT FROM r.until

  -- 4. Every amount follows from quantities and price; shares and records add up.
  UNION ALL
  SELECT 4, format('segment %s %s', g.sandbox_id, g.from_time),
         format('exact %s, computed %s, amount %s, computed %s', g.exact_cost_nano_usd, g.exact, g.amount_nano_usd,
           ledger_round(g.until_now) - ledger_round(g.until_now - g.exact_cost_nano_usd))
  FROM (
    SELECT u.sandbox_id, u.from_time, u.to_time, u.exact_cost_nano_usd, u.amount_nano_usd, v.start_time, v.end_time, v.tier,
           ledger_exact_cost(u.lifetime_ms, u.billed_cpu_micros, u.billed_memory_mib_millis,
             CASE u.state WHEN 'PAUSED' THEN v.paused_usd_per_second ELSE v.usd_per_second END,
             CASE u.state WHEN 'PAUSED' THEN v.paused_usd_per_core_second ELSE v.usd_per_core_second END,
             CASE u.state WHEN 'PAUSED' THEN v.paused_usd_per_gib_second ELSE v.usd_per_gib_second END) AS exact,
           coalesce(k.exact, 0) + sum(u.exact_cost_nano_usd) OVER (PARTITION BY u.sandbox_id ORDER BY u.from_time) AS until_now,
           u.billed_cpu_source, u.billed_cpu_micros, u.billed_memory_source, u.billed_memory_mib_millis, u.lifetime_ms
    FROM usage_segment u
    LEFT JOIN price_version v ON v.price_version_id = u.price_version_id
    LEFT JOIN closed k ON k.sandbox_id = u.sandbox_id
  ) AS g
  JOIN sandbox s ON s.sandbox_id = g.sandbox_id
  WHERE g.exact IS DISTINCT FROM g.exact_cost_nano_usd
    OR g.amount_nano_usd <> ledger_round(g.until_now) - ledger_round(g.until_now - g.exact_cost_nano_usd)
    OR g.tier <> s.tier OR g.from_time < g.start_time OR g.to_time > g.end_time
    OR g.billed_cpu_micros > g.lifetime_ms * 1000 * s.cpu_cores OR g.billed_memory_mib_millis > g.lifetime_ms * s.memory_mib
    OR (g.billed_cpu_source = 'ALLOCATED' AND g.billed_cpu_micros <> g.lifetime_ms * 1000 * s.cpu_cores)
    OR (g.billed_memory_source = 'ALLOCATED' AND g.billed_memory_mib_millis <> g.lifetime_ms * s.memory_mib)
  UNION ALL
  SELECT 4, format('segment %s %s', u.sandbox_id, u.from_time),
         format('%s, amount %s, records %s; micros %s, shares %s', u.state, u.amount_nano_usd, r.amount, u.lifetime_ms * 1000, r.micros)
  FROM usage_segment u
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.amount_nano_usd), 0) AS amount, coalesce(sum(c.share_micros), 0) AS micros,
           coalesce(bool_or(abs(c.amount_nano_usd - u.amount_nano_usd::numeric * c.share_micros / (u.lifetime_ms * 1000)) >= 1), false) AS unfair,
           coalesce(bool_or(c.state <> u.state OR u.state = 'PAUSED' AND c.execution_id IS NOT NULL), false) AS misplaced
    FROM cost_record c WHERE c.sandbox_id = u.sandbox_id AND c.from_time = u.from_time AND c.kind = 'USAGE'
  ) AS r
  WHERE r.amount <> u.amount_nano_usd OR r.micros <> u.lifetime_ms * 1000 OR r.unfair OR r.misplaced
  UNION ALL
  SELECT 4, format('sandbox %s', s.sandbox_id),
         format('cost %s, records %s, exact %s, segments %s', s.cost_nano_usd, c.amount, s.exact_cost_nano_usd, u.exact)
  FROM sandbox s
  LEFT JOIN closed k ON k.sandbox_id = s.sandbox_id
  CROSS JOIN LATERAL (
    SELECT coalesce(k.exact, 0) + coalesce(sum(u.exact_cost_nano_usd), 0) AS exact FROM usage_segment u WHERE u.sandbox_id = s.sandbox_id
  ) AS u
  CROSS JOIN LATERAL (
    SELECT coalesce(k.amount, 0) + coalesce(sum(c.amount_nano_usd), 0) AS amount
    FROM cost_record c WHERE c.sandbox_id = s.sandbox_id AND c.kind = 'USAGE'
  ) AS c
  WHERE s.exact_cost_nano_usd <> u.exact OR s.cost_nano_usd <> c.amount OR s.cost_nano_usd <> ledger_round(u.exact)

  UNION ALL
  SELECT 4, format('cost_record %s', coalesce(c.cost_record_id, a.cost_record_id)),
         format('%s of %s, asked for %s', c.kind, c.amount_nano_usd, a.amount_nano_usd)
  FROM (SELECT * FROM cost_record c WHERE c.kind <> 'USAGE') AS c
  FULL JOIN (SELECT * FROM adjustment a WHERE a.from_time >= ledger_closed_until()) AS a ON a.cost_record_id = c.cost_record_id
  WHERE c.tenant_id IS DISTINCT FROM a.tenant_id OR c.amount_nano_usd IS DISTINCT FROM a.amount_nano_usd
    OR c.from_time IS DISTINCT FROM a.from_time OR (c.kind = 'CORRECTION') <> (a.corrected_id IS NOT NULL)
  UNION ALL
  SELECT 4, format('cost_record %s', c.cost_record_id), format('%s of %s, corrected by %s', c.kind, c.amount_nano_usd, r.amount)
  FROM (
    SELECT a.corrected_id, sum(a.amount_nano_usd) AS amount, array_agg(a.from_time) AS from_times
    FROM adjustment a WHERE a.corrected_id IS NOT NULL GROUP BY a.corrected_id
  ) AS r
  JOIN cost_record c ON c.cost_record_id = r.corrected_id
  WHERE c.kind = 'CORRECTION' OR c.from_time <> ALL (r.from_times)
    OR (c.amount_nano_usd + r.amount) * CASE WHEN c.amount_nano_usd < 0 THEN -1 ELSE 1 END < 0

  -- 5. Open holds and live sandboxes match one to one; what ran was settled, what never ran released.
  UNION ALL
  SELECT 5, format('sandbox %s', s.sandbox_id), format('state %s, %s open holds', s.state, r.holds)
  FROM sandbox s
  CROSS JOIN LATERAL (SELECT count(*) AS holds FROM hold h WHERE h.sandbox_id = s.sandbox_id AND h.state = 'OPEN') AS r
  WHERE r.holds <> CASE WHEN s.state IN ('TERMINATED', 'FAILED') THEN 0 ELSE 1 END
  UNION ALL
  SELECT 5, format('hold %s', h.hold_id), format('state %s, sandbox %s started %s', h.state, s.sandbox_id, s.start_time)
  FROM hold h LEFT JOIN sandbox s ON s.sandbox_id = h.sandbox_id
  WHERE h.kind = 'SANDBOX' AND (h.state = 'SETTLED' AND s.start_time IS NULL OR h.state = 'RELEASED' AND s.start_time IS NOT NULL)

  UNION ALL
  SELECT 5, format('hold %s', h.hold_id), format('paused %s, sandbox %s', h.paused, s.state)
  FROM hold h JOIN sandbox s ON s.sandbox_id = h.sandbox_id
  WHERE h.state = 'OPEN' AND (s.state = 'PAUSED' AND NOT h.paused OR s.state IN ('PENDING', 'RUNNING') AND h.paused)

  -- 7. Roll-ups equal the records they are of, by everything that they are summed by; those of a closed month are as they were sealed.
  UNION ALL
  SELECT 7, format('cost_rollup_hour %s %s %s', coalesce(r.tenant_id, h.tenant_id), coalesce(r.hour, h.hour), coalesce(r.group_hash, h.group_hash)),
         format('%s in %s records, from the records %s in %s', r.amount_nano_usd, r.record_count, h.amount_nano_usd, h.record_count)
  FROM (SELECT * FROM cost_rollup_hour r WHERE r.hour >= ledger_closed_until()) AS r
  FULL JOIN ledger_hours(0, (SELECT p.folded_below FROM cost_progress p)) AS h
    ON h.tenant_id = r.tenant_id AND h.hour = r.hour AND h.group_hash = r.group_hash
  WHERE r IS DISTINCT FROM h
  UNION ALL
  SELECT 7, format('cost_closing %s %s', coalesce(k.month, h.month), coalesce(k.tenant_id, h.tenant_id)),
         format('%s in %s records, rolled up %s in %s', k.amount_nano_usd, k.record_count, h.amount, h.records)
  FROM cost_closing k
  FULL JOIN (
    SELECT r.tenant_id, date_trunc('month', r.hour, 'UTC') AS month, sum(r.amount_nano_usd) AS amount, sum(r.record_count) AS records
    FROM cost_rollup_hour r WHERE r.hour < ledger_closed_until() GROUP BY 1, 2
  ) AS h ON h.tenant_id = k.tenant_id AND h.month = k.month
  WHERE k.amount_nano_usd IS DISTINCT FROM h.amount OR k.record_count IS DISTINCT FROM h.records
    OR k.hours_hash <> ledger_seal(k.tenant_id, k.month)

  -- 8. Every threshold that was reached has its one event.
  UNION ALL
  SELECT 8, format('quota_period %s %s', q.limit_id, q.period_start), format('spent %s of %s, no event for %s %%', q.spent, q.amount, t.threshold)
  FROM quota_period q
  JOIN quota_limit l ON l.limit_id = q.limit_id
  CROSS JOIN unnest(l.thresholds) AS t (threshold)
  -- A period that was over when the thresholds were set has none of them.
  WHERE q.amount > 0 AND q.spent::numeric * 100 >= q.amount::numeric * t.threshold
    AND (q.period_end IS NULL OR q.period_end > l.update_time)
    AND NOT EXISTS (
      SELECT FROM threshold_event e WHERE e.limit_id = q.limit_id AND e.period_start = q.period_start AND e.threshold = t.threshold)

  -- 9. The audit chains verify.
  UNION ALL
  SELECT 9, format('audit chain %s', t.tenant_id), format('first broken sequence %s', v.first_broken_sequence)
  FROM tenant t CROSS JOIN LATERAL audit_verify(t.tenant_id) AS v
  WHERE v.first_broken_sequence IS NOT NULL
$$;
COMMENT ON FUNCTION ledger_violations IS
  'What breaks the ledger''s invariants 1 to 5 and 7 to 9, by their numbers; no row when all is sound. Reads everything.';
