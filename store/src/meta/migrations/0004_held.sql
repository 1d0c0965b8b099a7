-- An alert that nobody is called for: the budget of alerts a day went to worse ones.
ALTER TABLE alerts ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
