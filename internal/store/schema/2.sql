-- Accounts that pwb itself has made, beside those of the machine that were linked (id IS NULL).
ALTER TABLE account ADD COLUMN id INTEGER;                        -- uid, and gid of the account's private group
ALTER TABLE account ADD COLUMN gecos TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN home TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN shell TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN groups_known INTEGER NOT NULL DEFAULT 0; -- 0: never told; 1: as told last; 2: as told once, left out since
ALTER TABLE account ADD COLUMN deleted INTEGER;                   -- seconds since 1970; the row stays
ALTER TABLE account ADD COLUMN revision INTEGER NOT NULL DEFAULT 0; -- of its last change that NSS shows

CREATE UNIQUE INDEX account_id ON account (id);
CREATE INDEX account_revision ON account (revision) WHERE id IS NOT NULL;

-- A provider's groups, known by their object and never by their name.
CREATE TABLE provider_group (
	gid      INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE,
	issuer   TEXT NOT NULL,
	object   TEXT NOT NULL,
	revision INTEGER NOT NULL,
	UNIQUE (issuer, object)
) STRICT;

CREATE INDEX provider_group_revision ON provider_group (revision);

CREATE TABLE membership (
	account TEXT NOT NULL REFERENCES account (name),
	gid     INTEGER NOT NULL REFERENCES provider_group (gid),
	PRIMARY KEY (account, gid)
) STRICT, WITHOUT ROWID;

CREATE INDEX membership_gid ON membership (gid);

-- Every id and every name that was ever given, to a user or to a group: files outlive both.
CREATE TABLE given_id (
	id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE given_name (
	name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT INTO given_name SELECT name FROM account;

-- Where giving goes on. Users and groups that begin at the same number share a row.
CREATE TABLE sequence (
	start INTEGER PRIMARY KEY,
	next  INTEGER NOT NULL
) STRICT;

-- Tells this store from every other, so that a snapshot of another one is not taken for a part of this one's story.
CREATE TABLE origin (
	id BLOB NOT NULL
) STRICT;

INSERT INTO origin VALUES (randomblob(16));
