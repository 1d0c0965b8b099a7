-- `query` is there as long as the erasure runs; `query_hash` is an HMAC under a key of this
-- installation, so that nobody without the key can try values against it.
CREATE TABLE erasures (
    id TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL,
    query TEXT,
    query_hash TEXT NOT NULL,
    from_ns BIGINT,
    to_ns BIGINT,
    up_to_seq BIGINT NOT NULL,
    reason TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_ns BIGINT NOT NULL,
    finished_ns BIGINT,
    events BIGINT NOT NULL,
    segments_rewritten BIGINT NOT NULL,
    segments_dropped BIGINT NOT NULL,
    log_files BIGINT NOT NULL,
    dead_letters BIGINT NOT NULL,
    alerts BIGINT NOT NULL
);
CREATE INDEX erasures_by_time ON erasures (requested_ns, id);

-- Keys made once for this installation.
CREATE TABLE installation_keys (
    name TEXT NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);
