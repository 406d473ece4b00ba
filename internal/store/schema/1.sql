-- One row for each account that has been signed in to. A name belongs to one subject and a subject to one name, for ever:
-- files outlive accounts, so rows are never deleted, and never given to somebody else.
CREATE TABLE account (
	name        TEXT PRIMARY KEY,
	issuer      TEXT NOT NULL,
	subject     TEXT NOT NULL,
	username    TEXT NOT NULL,             -- the claim at the last login; a label
	active      INTEGER NOT NULL DEFAULT 1,
	first_login INTEGER NOT NULL,          -- seconds since 1970
	last_login  INTEGER NOT NULL,
	UNIQUE (issuer, subject)
) STRICT;

-- Tickets that have been used, until they could not be used anyway.
CREATE TABLE spent (
	key     BLOB PRIMARY KEY,              -- ticket.Verified.SpendKey
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_expires ON spent (expires);

-- Counts the changes to accounts, so that readers know whether they are behind.
CREATE TABLE revision (
	number INTEGER NOT NULL
) STRICT;

INSERT INTO revision VALUES (0);
