-- The provider manages accounts (SCIM). An account may be there before anybody has logged in to it, so issuer and subject are
-- NULL until an identity is linked. Two words decide whether it may be used: the operator's (active) and the provider's
-- (provided); one cannot take back the other's no.
CREATE TABLE account_3 (
	name         TEXT PRIMARY KEY,
	issuer       TEXT,
	subject      TEXT,
	username     TEXT NOT NULL,             -- the claim at the last login; a label
	active       INTEGER NOT NULL DEFAULT 1,
	provided     INTEGER NOT NULL DEFAULT 1,
	first_login  INTEGER NOT NULL,          -- seconds since 1970; 0: not yet
	last_login   INTEGER NOT NULL,
	id           INTEGER,                   -- uid, and gid of the private group; NULL: an account of the machine's
	gecos        TEXT NOT NULL DEFAULT '',
	home         TEXT NOT NULL DEFAULT '',
	shell        TEXT NOT NULL DEFAULT '',
	groups_known INTEGER NOT NULL DEFAULT 0,
	deleted      INTEGER,                   -- seconds since 1970; the row stays
	revision     INTEGER NOT NULL DEFAULT 0,
	UNIQUE (issuer, subject)
) STRICT;
INSERT INTO account_3 (name, issuer, subject, username, active, first_login, last_login, id, gecos, home, shell, groups_known, deleted, revision)
	SELECT name, issuer, subject, username, active, first_login, last_login, id, gecos, home, shell, groups_known, deleted, revision FROM account;
DROP TABLE account;
ALTER TABLE account_3 RENAME TO account;
CREATE UNIQUE INDEX account_id ON account (id);
CREATE INDEX account_revision ON account (revision) WHERE id IS NOT NULL;

-- A group's object may be unknown: SCIM clients need not send one. A deleted group keeps its row, gid and name.
CREATE TABLE provider_group_3 (
	gid      INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE,
	issuer   TEXT NOT NULL,
	object   TEXT,
	revision INTEGER NOT NULL,
	deleted  INTEGER,
	UNIQUE (issuer, object)
) STRICT;
INSERT INTO provider_group_3 (gid, name, issuer, object, revision) SELECT gid, name, issuer, object, revision FROM provider_group;
DROP TABLE provider_group;
ALTER TABLE provider_group_3 RENAME TO provider_group;
CREATE INDEX provider_group_revision ON provider_group (revision);

-- Whose a name was tells a group that takes back its own from one that takes another's.
ALTER TABLE given_name ADD COLUMN gid INTEGER;
UPDATE given_name SET gid = (SELECT gid FROM provider_group g WHERE g.name = given_name.name);

CREATE TABLE scim_user (
	seq            INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of lists: nobody moves while somebody else goes
	id             TEXT NOT NULL UNIQUE,
	account        TEXT NOT NULL UNIQUE REFERENCES account (name),
	external_id    TEXT,
	user_name      TEXT NOT NULL,
	user_name_fold TEXT NOT NULL UNIQUE,              -- account.Fold
	display_name   TEXT,
	display_fold   TEXT,
	doc            TEXT NOT NULL,                     -- JSON: what the client may write, in the names of the schema
	created        INTEGER NOT NULL,                  -- milliseconds since 1970
	modified       INTEGER NOT NULL,
	version        INTEGER NOT NULL
) STRICT;
CREATE INDEX scim_user_external_id ON scim_user (external_id);
CREATE INDEX scim_user_display_fold ON scim_user (display_fold);

CREATE TABLE scim_group (
	seq          INTEGER PRIMARY KEY AUTOINCREMENT,
	id           TEXT NOT NULL UNIQUE,
	gid          INTEGER NOT NULL UNIQUE REFERENCES provider_group (gid),
	external_id  TEXT,
	display_name TEXT NOT NULL,
	display_fold TEXT NOT NULL UNIQUE,
	doc          TEXT NOT NULL,
	created      INTEGER NOT NULL,
	modified     INTEGER NOT NULL,
	version      INTEGER NOT NULL
) STRICT;
CREATE INDEX scim_group_external_id ON scim_group (external_id);

-- Bearer tokens of the provider: what is kept of one opens nothing.
CREATE TABLE scim_token (
	id        TEXT PRIMARY KEY,
	name      TEXT NOT NULL,
	hash      BLOB NOT NULL,          -- SHA-256 of the whole token
	scope     TEXT NOT NULL,
	cidrs     TEXT NOT NULL,          -- divided by commas; empty is everywhere
	created   INTEGER NOT NULL,       -- seconds since 1970
	creator   TEXT NOT NULL,
	expires   INTEGER,
	last_used INTEGER,
	revoked   INTEGER
) STRICT, WITHOUT ROWID;

-- Sessions that are to end because their account was locked by the provider. The worker of the machine works them off.
CREATE TABLE eviction (
	account  TEXT PRIMARY KEY REFERENCES account (name),
	uid      INTEGER NOT NULL,
	policy   TEXT NOT NULL,
	asked    INTEGER NOT NULL,        -- seconds since 1970
	due      INTEGER NOT NULL,        -- of the next step
	step     INTEGER NOT NULL,        -- 0: nothing yet; 1: asked to end; 2: being killed
	attempts INTEGER NOT NULL,
	problem  TEXT NOT NULL
) STRICT;
