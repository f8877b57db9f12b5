CREATE TEMPORARY TABLE made ON COMMIT DROP AS
SELECT i,
    CAST(:start AS timestamptz) + i * CAST(:step AS interval) AS accepted_at,
    i / :block % 2 = 1 AS is_upload,
    i / :block AS block,
    CASE WHEN i / :block % 2 = 1 THEN i / 500 ELSE i / 4 END AS chunk,
    CASE WHEN i / :block % 2 = 1 THEN i % 500 ELSE i % 4 END AS position,
    CASE WHEN i = 0 THEN 4 WHEN random() < 0.92 THEN NULL WHEN i < 1000000 AND random() < 0.1 THEN 4
        ELSE floor(4 * random() ^ 2) END AS severity,
    floor(60 * random() ^ 2) AS rule
FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS i;
CREATE TEMPORARY TABLE ready ON COMMIT DROP AS
SELECT i, accepted_at, position, severity, rule, block, is_upload,
    CASE WHEN is_upload THEN CAST(:start AS timestamptz) + block * :block * CAST(:step AS interval) ELSE accepted_at END
        AS received_at,
    CAST(CASE WHEN is_upload THEN md5('chunk' || chunk)
        ELSE lpad(to_hex(CAST(extract(epoch FROM accepted_at) * 1000 AS bigint)), 12, '0')
            || '7' || substr(md5('chunk' || chunk), 14) END AS uuid) AS chunk,
    CASE WHEN i = 0 THEN CAST(md5('upload-first') AS uuid) WHEN is_upload THEN CAST(md5('upload-' || block) AS uuid) END
        AS upload_id
FROM (SELECT made.i, made.position, made.severity, made.rule, made.block, made.is_upload, made.chunk,
    min(made.accepted_at) OVER (PARTITION BY made.chunk) AS accepted_at FROM made) AS made;
INSERT INTO events (accepted_at, chunk, position, received_at, judged_at, lane, upload_id, occurred_at, "timestamp",
    "user", agent, tool, prompt, response, session_id, severity, rule_set, rules)
SELECT accepted_at, chunk, position, received_at, accepted_at, CASE WHEN is_upload THEN 'bulk' ELSE 'realtime' END,
    upload_id, accepted_at, to_char(accepted_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    CASE WHEN i = 0 THEN 'first' WHEN i < 500000 AND random() < 0.2 THEN 'veteran'
        ELSE 'user-' || floor(2000 * random() ^ 2) END,
    CASE WHEN i = 0 THEN 'first' ELSE 'agent-' || floor(20 * random()) END,
    CASE WHEN i = 0 THEN 'first' WHEN random() < 0.999 THEN 'search' ELSE 'tool-' || floor(30 * random()) END,
    'Search for ' || md5(CAST(i AS text)), 'Found ' || md5(CAST(-i AS text)),
    CASE WHEN i = 0 THEN 'first' WHEN random() < 0.3 THEN NULL WHEN is_upload THEN 'session-' || floor(50000 * random())
        ELSE 'session-live-' || i / 20 END,
    severity, 'a1b2c3d4',
    CASE WHEN severity IS NULL THEN NULL WHEN i = 0 THEN ARRAY['rule-first'] WHEN i % 3 = 0
        THEN ARRAY['rule-' || rule, 'rule-' || rule + 1] ELSE ARRAY['rule-' || rule] END
FROM ready;
INSERT INTO findings (accepted_at, chunk, position, rule_id, title, severity, confidence, field, start, "end", excerpt,
    view, reason, tags)
SELECT accepted_at, chunk, position, CASE WHEN i = 0 THEN 'rule-first' ELSE 'rule-' || (rule + more) END, 'A rule',
    severity, 'high', 'prompt', 0, 6, 'Search', 'raw', 'says so', '{}'
FROM ready, generate_series(0, 1) AS more WHERE severity IS NOT NULL AND (more = 0 OR i % 3 = 0);
INSERT INTO chunks (chunk_id, state, lane, accepted_at, settled_at, events, judged, flagged, acceptor, accepted_second,
    upload_id)
SELECT CAST(chunk AS text), 'settled', CASE WHEN is_upload THEN 'bulk' ELSE 'realtime' END, accepted_at, accepted_at,
    count(*), count(*), count(severity), 'fill', CAST(extract(epoch FROM accepted_at) AS bigint), CAST(max(CAST(upload_id AS text)) AS uuid)
FROM ready GROUP BY chunk, accepted_at, is_upload ON CONFLICT DO NOTHING
