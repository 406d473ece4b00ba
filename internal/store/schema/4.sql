-- Codes, keys of session tickets, browsers' sessions.

-- Codes that have been given out, by their hashes: who reads this table cannot use one. A code that was used or has expired stays
-- for a day, so that the log can say which it was.
CREATE TABLE code (
	hash      BLOB PRIMARY KEY,            -- ticket.Code
	account   TEXT NOT NULL REFERENCES account (name),
	service   TEXT NOT NULL,               -- the PAM service that it is for; '' is any
	host      TEXT NOT NULL,               -- the host that it is for; '' is any
	challenge TEXT NOT NULL,               -- of a grant (pwb login), which is exchanged for a code and never is one; '' for codes
	issued_by TEXT NOT NULL,
	issued    INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	used      INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX code_expires ON code (expires);
CREATE INDEX code_account ON code (account);

-- The keys of session tickets. The newest whose time has come signs; all that are not over verify.
CREATE TABLE ticket_key (
	id         TEXT PRIMARY KEY,
	public     BLOB NOT NULL,
	seed       BLOB NOT NULL,              -- the private half
	signs_from INTEGER NOT NULL,
	ends       INTEGER                     -- NULL before a newer one has come
) STRICT, WITHOUT ROWID;
