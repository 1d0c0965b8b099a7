-- What people set about rules. The texts of rules are files; a row stays when its file is gone.
CREATE TABLE rule_settings (
    rule_id TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL,
    state TEXT NOT NULL,
    severity BIGINT,
    suppress_ns BIGINT,
    note TEXT,
    changed_by TEXT NOT NULL,
    changed_ns BIGINT NOT NULL
);

-- `rules` is a JSON list of rule ids, empty for every rule.
CREATE TABLE rule_exceptions (
    id TEXT NOT NULL PRIMARY KEY,
    rules TEXT NOT NULL,
    query TEXT NOT NULL,
    owner TEXT NOT NULL,
    reason TEXT NOT NULL,
    expires_ns BIGINT,
    created_by TEXT NOT NULL,
    created_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL
);
