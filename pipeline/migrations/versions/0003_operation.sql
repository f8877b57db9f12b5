-- What the pipe knows of its own operation: incidents, canaries, and rows that nobody accepted.

CREATE TABLE incidents (
    incident_id UUID NOT NULL,
    over_id UUID NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity SMALLINT NOT NULL,
    title TEXT NOT NULL,
    detail TEXT NOT NULL,
    latest TEXT NOT NULL,
    events BIGINT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    told_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (incident_id),
    UNIQUE (over_id)
);

CREATE UNIQUE INDEX incidents_open ON incidents (kind, subject) WHERE ended_at IS NULL;

CREATE INDEX incidents_opened ON incidents (opened_at);

CREATE TABLE canaries (
    canary_id UUID NOT NULL,
    alert_id UUID NOT NULL,
    lane TEXT NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE NOT NULL,
    judged_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    alerted_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (canary_id),
    UNIQUE (alert_id)
);

CREATE INDEX canaries_sent ON canaries (lane, sent_at);

CREATE TABLE strays (
    chunk UUID NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    rows INTEGER NOT NULL,
    found_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (chunk, accepted_at)
);

CREATE TABLE reviewed (
    partition TEXT NOT NULL,
    block BIGINT NOT NULL,
    PRIMARY KEY (partition)
);

CREATE TABLE counted (
    "only" SMALLINT NOT NULL,
    run_id TEXT NOT NULL,
    accepted BIGINT NOT NULL,
    forgotten BIGINT NOT NULL,
    PRIMARY KEY ("only")
);

CREATE TABLE secrets (
    name TEXT NOT NULL,
    value BYTEA NOT NULL,
    PRIMARY KEY (name)
);
