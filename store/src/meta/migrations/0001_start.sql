-- Types and statements are those that SQLite and Postgres share: TEXT, BIGINT, BOOLEAN and
-- BYTEA. Times are nanoseconds since the epoch, in columns named *_ns.

-- Segments and readers ---------------------------------------------------------------------

CREATE TABLE segments (
    id TEXT NOT NULL PRIMARY KEY,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    min_time_ns BIGINT NOT NULL,
    max_time_ns BIGINT NOT NULL,
    min_received_ns BIGINT NOT NULL,
    max_received_ns BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    created_ns BIGINT NOT NULL
);

-- One row a seal: its keys packed as 24 bytes each (key, receive time). Row by row they would
-- cost more than the rest of the seal.
CREATE TABLE dedup_blocks (
    last_seq BIGINT NOT NULL PRIMARY KEY,
    newest_ns BIGINT NOT NULL,
    packed BYTEA NOT NULL
);

-- How far each reader of the log has come ('store', 'detect').
CREATE TABLE positions (
    reader TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);

CREATE TABLE detection_snapshot (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    state BYTEA NOT NULL
);

-- Alerts -----------------------------------------------------------------------------------

-- `body` is the alert as JSON; the other columns are what lists filter and sort by. The status
-- here is the truth, the one in the body is overwritten on reading.
CREATE TABLE alerts (
    id TEXT NOT NULL PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    t0_ns BIGINT NOT NULL,
    t1_ns BIGINT NOT NULL,
    status TEXT NOT NULL,
    severity BIGINT NOT NULL,
    detector TEXT NOT NULL,
    assignee TEXT,
    reason TEXT,
    comments BIGINT NOT NULL,
    first_seen_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX alerts_by_time ON alerts (ts_ns, id);
CREATE INDEX alerts_by_status ON alerts (status, severity);
CREATE INDEX alerts_by_detector ON alerts (detector, ts_ns);

CREATE TABLE alert_entities (
    alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (alert_id, kind, value)
);
CREATE INDEX alert_entities_by_value ON alert_entities (value, kind);

CREATE TABLE alert_history (
    alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    n BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    old_value TEXT,
    new_value TEXT,
    PRIMARY KEY (alert_id, n)
);

-- Channels and their outbox ----------------------------------------------------------------

-- Secrets are kept as given, because signing needs them; the file is readable by its owner only.
CREATE TABLE channels (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    url TEXT NOT NULL,
    query TEXT,
    enabled BOOLEAN NOT NULL,
    disabled_reason TEXT,
    secret TEXT NOT NULL,
    old_secret TEXT,
    old_secret_until_ns BIGINT,
    created_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL
);

-- `data` holds the message's data where it is not an alert (tests, digests). `clock_ns` is when
-- the 72 hours of attempts began: creation, or the last replay. `digest_id` is the message that
-- this one was folded into.
CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY,
    channel_id TEXT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    alert_id TEXT,
    type TEXT NOT NULL,
    severity BIGINT NOT NULL,
    data TEXT,
    digest_id TEXT,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    due_ns BIGINT NOT NULL,
    created_ns BIGINT NOT NULL,
    clock_ns BIGINT NOT NULL,
    finished_ns BIGINT,
    last_status BIGINT,
    last_error TEXT
);
CREATE INDEX outbox_due ON outbox (channel_id, state, due_ns);
CREATE INDEX outbox_by_alert ON outbox (alert_id, channel_id);
CREATE INDEX outbox_by_digest ON outbox (digest_id);
CREATE INDEX outbox_by_age ON outbox (created_ns, id);

CREATE TABLE delivery_attempts (
    delivery_id TEXT NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    n BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    status BIGINT,
    error TEXT,
    PRIMARY KEY (delivery_id, n)
);

-- Who may do what --------------------------------------------------------------------------

CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_ns BIGINT NOT NULL,
    expires_ns BIGINT,
    last_used_ns BIGINT,
    revoked_ns BIGINT
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password_hash TEXT,
    disabled BOOLEAN NOT NULL,
    created_ns BIGINT NOT NULL,
    last_login_ns BIGINT
);

CREATE TABLE sessions (
    hash TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    from_addr TEXT,
    created_ns BIGINT NOT NULL,
    last_seen_ns BIGINT NOT NULL,
    idle_ns BIGINT NOT NULL,
    expires_ns BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, created_ns);

CREATE TABLE setup_tokens (
    hash TEXT NOT NULL PRIMARY KEY,
    expires_ns BIGINT NOT NULL
);

-- What happened ----------------------------------------------------------------------------

-- Append-only; `hash` covers the row and the hash of the row before.
CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at_ns BIGINT NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    object TEXT NOT NULL,
    from_addr TEXT,
    detail TEXT NOT NULL,
    hash TEXT NOT NULL
);
