-- The first schema. Partitioned tables get a default partition for what no day's partition takes.

CREATE TABLE chunks (
    chunk_id TEXT COLLATE "C" NOT NULL,
    state TEXT NOT NULL,
    lane TEXT NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    events INTEGER DEFAULT 0 NOT NULL,
    judged INTEGER DEFAULT 0 NOT NULL,
    duplicates INTEGER DEFAULT 0 NOT NULL,
    dead INTEGER DEFAULT 0 NOT NULL,
    flagged INTEGER DEFAULT 0 NOT NULL,
    rule_set TEXT,
    acceptor TEXT NOT NULL,
    accepted_second BIGINT NOT NULL,
    upload_id UUID,
    PRIMARY KEY (chunk_id)
);

CREATE INDEX chunks_accepted ON chunks (accepted_at);

CREATE INDEX chunks_acceptor ON chunks (acceptor, accepted_second);

CREATE INDEX chunks_settled ON chunks (settled_at);

CREATE INDEX chunks_upload ON chunks (upload_id) WHERE upload_id IS NOT NULL;

CREATE TABLE events (
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    chunk UUID NOT NULL,
    position INTEGER NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    judged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lane TEXT NOT NULL,
    upload_id UUID,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    timestamp TEXT NOT NULL,
    "user" TEXT NOT NULL,
    agent TEXT NOT NULL,
    tool TEXT NOT NULL,
    prompt TEXT NOT NULL,
    response TEXT NOT NULL,
    session_id TEXT,
    trace_id TEXT,
    metadata TEXT,
    nuls TEXT,
    severity SMALLINT,
    rule_set TEXT NOT NULL,
    PRIMARY KEY (chunk, position, accepted_at)
)
 PARTITION BY RANGE (accepted_at);

CREATE INDEX events_flagged ON events (received_at) WHERE severity IS NOT NULL;

CREATE INDEX events_received ON events (received_at);

CREATE INDEX events_session ON events (session_id) WHERE session_id IS NOT NULL;

CREATE INDEX events_upload ON events (upload_id) WHERE upload_id IS NOT NULL;

CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE TABLE findings (
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    chunk UUID NOT NULL,
    position INTEGER NOT NULL,
    rule_id TEXT NOT NULL,
    title TEXT NOT NULL,
    severity SMALLINT NOT NULL,
    confidence TEXT NOT NULL,
    field TEXT NOT NULL,
    start INTEGER,
    "end" INTEGER,
    excerpt TEXT NOT NULL,
    view TEXT NOT NULL,
    reason TEXT NOT NULL,
    tags TEXT NOT NULL
)
 PARTITION BY RANGE (accepted_at);

CREATE INDEX findings_event ON findings (chunk, position);

CREATE INDEX findings_rule ON findings (rule_id, accepted_at);

CREATE TABLE findings_default PARTITION OF findings DEFAULT;

CREATE TABLE alerts (
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    alert_id UUID NOT NULL,
    chunk UUID NOT NULL,
    position INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lane TEXT NOT NULL,
    severity SMALLINT NOT NULL,
    title TEXT NOT NULL,
    rule_ids TEXT[] NOT NULL,
    "user" TEXT NOT NULL,
    agent TEXT NOT NULL,
    tool TEXT NOT NULL,
    sendable BOOLEAN NOT NULL,
    PRIMARY KEY (alert_id, accepted_at)
)
 PARTITION BY RANGE (accepted_at);

CREATE INDEX alerts_created ON alerts (created_at, alert_id);

CREATE INDEX alerts_event ON alerts (chunk, position);

CREATE TABLE alerts_default PARTITION OF alerts DEFAULT;

CREATE TABLE outbox (
    alert_id UUID NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lane_rank SMALLINT NOT NULL,
    severity SMALLINT NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (alert_id)
);

CREATE INDEX outbox_due ON outbox (lane_rank, severity DESC, due_at);

CREATE TABLE notifications (
    alert_id UUID NOT NULL,
    receiver TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    reason TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (alert_id, receiver)
);

CREATE INDEX notifications_at ON notifications (at);

CREATE TABLE dead_letters (
    event_id TEXT COLLATE "C" NOT NULL,
    chunk_id TEXT NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    dead_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lane TEXT NOT NULL,
    upload_id UUID,
    attempts INTEGER DEFAULT 0 NOT NULL,
    reruns INTEGER DEFAULT 0 NOT NULL,
    events INTEGER DEFAULT 1 NOT NULL,
    error TEXT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (event_id)
);

CREATE INDEX dead_letters_at ON dead_letters (dead_at);

CREATE TABLE uploads (
    upload_id UUID NOT NULL,
    file_name TEXT NOT NULL,
    state TEXT NOT NULL,
    bytes_total BIGINT NOT NULL,
    bytes_read BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    error TEXT,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    split_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (upload_id)
);

CREATE INDEX uploads_received ON uploads (received_at);

CREATE TABLE rejections (
    source TEXT NOT NULL,
    index BIGINT NOT NULL,
    byte_offset BIGINT,
    pointer TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    record BYTEA,
    spooled TEXT,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (source, index)
);

CREATE INDEX rejections_at ON rejections (at);

CREATE TABLE tallies (
    bucket TIMESTAMP WITH TIME ZONE NOT NULL,
    dimension TEXT NOT NULL,
    value TEXT NOT NULL,
    events INTEGER DEFAULT 0 NOT NULL,
    flagged INTEGER DEFAULT 0 NOT NULL
);

CREATE INDEX tallies_bucket ON tallies (dimension, bucket);

CREATE TABLE witness (
    acceptor TEXT NOT NULL,
    second BIGINT NOT NULL,
    events INTEGER NOT NULL,
    reconciled BOOLEAN DEFAULT false NOT NULL,
    uncertain INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (acceptor, second)
);

CREATE INDEX witness_open ON witness (second) WHERE NOT reconciled;

CREATE TABLE ledger_hours (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    judged BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    dead BIGINT NOT NULL,
    PRIMARY KEY (hour)
);

CREATE TABLE api_keys (
    key_id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    digest BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (key_id)
);

CREATE TABLE audit (
    audit_id BIGSERIAL NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (audit_id)
);
