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

-- Browsers that are signed in, by the hashes of what their cookies say: who reads this table cannot be any of them.
CREATE TABLE web_session (
	id      BLOB PRIMARY KEY,
	account TEXT NOT NULL REFERENCES account (name),
	issuer  TEXT NOT NULL,                 -- whose sign-in it was; the session is that identity's, not the name's
	subject TEXT NOT NULL,
	created INTEGER NOT NULL,              -- seconds since 1970
	used    INTEGER NOT NULL,
	hint    BLOB                           -- for the sign-out at the provider; encrypted under what only the cookie says
) STRICT, WITHOUT ROWID;

CREATE INDEX web_session_account ON web_session (account);
CREATE INDEX web_session_used ON web_session (used);

-- Seals what a browser keeps while its person is at the provider. Made when it is first needed; one row.
CREATE TABLE web_key (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	key BLOB NOT NULL
) STRICT;
