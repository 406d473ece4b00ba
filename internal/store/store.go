// Package store keeps accounts, groups and spent tickets in SQL. It promises that a ticket is spent once, whichever processes
// try at once and whenever one is killed; that a name and a subject which have met stay together for ever; that no id and no
// name is given twice; and that it never says yes when it cannot say: every doubt is ErrUnavailable.
//
// The database is SQLite in a folder of the service user's. Each write is one transaction, durable when it returns.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"modernc.org/sqlite"

	"github.com/pwb-project/pwb/internal/account"
)

// fold is account.Fold in SQL, for what is not kept folded.
func init() {
	sqlite.MustRegisterDeterministicScalarFunction("fold", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if s, ok := args[0].(string); ok {
			return account.Fold(s), nil
		}
		return args[0], nil
	})
}

// What the store says; errors wrap one of these.
var (
	ErrNotFound    = errors.New("no such account in the store")
	ErrSpent       = errors.New("this ticket has been spent")
	ErrBound       = errors.New("the login name belongs to somebody else")
	ErrTaken       = errors.New("the id or name was given in the same moment")
	ErrInactive    = errors.New("the account is locked")
	ErrActive      = errors.New("the account is active; lock it or delete it first")
	ErrConflict    = errors.New("another resource has it already")
	ErrUnavailable = errors.New("the account store cannot tell")
)

// Config says where the database is and whose.
type Config struct {
	Path    string                // of the database file; its folder is made when it is missing
	Owner   func() (uid, gid int) // of a folder that root makes; nil keeps it root's
	OneCall bool                  // the process ends after one question: prepare nothing
	Now     func() time.Time
}

// Store is an open database. It is safe for concurrent use, by several processes too; a process may end without Close.
type Store struct {
	db   *sql.DB
	now  func() time.Time
	turn *turn // of everybody who writes

	statements map[string]*sql.Stmt // of what every login asks; compiling them costs more than running them

	mu    sync.Mutex // guards asked
	asked map[string]*sql.Stmt
}

//go:embed schema/*.sql
var schema embed.FS

const (
	schemaVersion = 4
	busyMillis    = 5000 // within the ten seconds that a host gives a call
	spentMargin   = 24 * time.Hour
	purgeAtOnce   = 50
)

// Open opens the database, and makes it or brings it to this version's schema where that is needed.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := prepareFile(cfg); err != nil {
		return nil, fmt.Errorf("open the account store %s: %w: %w", cfg.Path, ErrUnavailable, err)
	}
	dsn := url.URL{Scheme: "file", Path: cfg.Path, RawQuery: url.Values{
		// The file's owner may be more than he seems: what a schema says is not trusted, and a file that has become a link to
		// nothing since it was looked at is not made.
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyMillis), "synchronous(FULL)", "trusted_schema(OFF)", "cell_size_check(ON)"},
		"_txlock": {"immediate"},
		"mode":    {"rw"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open the account store: %w: %w", ErrUnavailable, err)
	}
	db.SetMaxOpenConns(4)
	s := &Store{db: db, now: cfg.Now, asked: map[string]*sql.Stmt{}}
	if s.turn, err = openTurn(cfg.Path); err == nil {
		err = s.migrate(ctx)
	}
	if err == nil && !cfg.OneCall {
		err = s.prepare(ctx)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open the account store %s: %w: %w", cfg.Path, ErrUnavailable, err)
	}
	return s, nil
}

// Close closes the database.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.turn != nil {
		err = errors.Join(err, s.turn.file.Close())
	}
	return err
}

// prepareFile makes folder and file where they are missing, the service user's, readable by nobody else, and refuses those
// that others could have written.
func prepareFile(cfg Config) error {
	dir := filepath.Dir(cfg.Path)
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := own(dir, cfg); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	folder, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !folder.IsDir() || folder.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s must be a folder that only its owner can write (mode %v); run: chmod 0700 %s", dir, folder.Mode(), dir)
	}
	f, err := os.OpenFile(cfg.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err == nil {
		sys := folder.Sys().(*syscall.Stat_t)
		return errors.Join(chown(f, int(sys.Uid), int(sys.Gid)), f.Close())
	}
	st, err := os.Lstat(cfg.Path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s must be a file that only its owner can read (mode %v); run: chmod 0600 %s", cfg.Path, st.Mode(), cfg.Path)
	}
	return nil
}

func own(dir string, cfg Config) error {
	if os.Geteuid() != 0 || cfg.Owner == nil {
		return nil
	}
	uid, gid := cfg.Owner()
	return os.Lchown(dir, uid, gid)
}

func chown(f *os.File, uid, gid int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(uid, gid)
}

// migrate brings the schema to this version, forward only, in one transaction that other processes wait for.
func (s *Store) migrate(ctx context.Context) error {
	version, err := s.version(ctx, s.db)
	if err != nil || version == schemaVersion {
		return err
	}
	if version == 0 {
		if err := s.useWAL(ctx); err != nil {
			return err
		}
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		version, err := s.version(ctx, tx)
		if err != nil {
			return err
		}
		if version > schemaVersion {
			return fmt.Errorf("it is of version %d, newer than this pwb, which knows %d; install the newer pwb again", version, schemaVersion)
		}
		for version++; version <= schemaVersion; version++ {
			text, err := schema.ReadFile(fmt.Sprintf("schema/%d.sql", version))
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, string(text)); err != nil {
				return fmt.Errorf("bring it to version %d: %w", version, err)
			}
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

// useWAL makes a new file one in which readers and the writer do not wait for each other; the file remembers. Of two who change it
// at once SQLite refuses one without any waiting, so they do it one after the other.
func (s *Store) useWAL(ctx context.Context) error {
	end, err := s.turn.take(ctx)
	if err != nil {
		return err
	}
	defer end()
	_, err = s.db.ExecContext(ctx, "PRAGMA journal_mode = WAL")
	return err
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *Store) version(ctx context.Context, q queryer) (n int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&n)
	return n, err
}

// write runs do in a transaction that nobody else writes beside.
func (s *Store) write(ctx context.Context, do func(*sql.Tx) error) error {
	end, err := s.turn.take(ctx)
	if err != nil {
		return err
	}
	defer end()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// callers is an error with which a caller has stopped a transaction. The caller gets it back as it was.
type callers struct{ error }

// absent says of a row that is not there what the store says.
func absent(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// unavailable keeps what the store or a caller has decided, and turns everything else into "cannot tell".
func unavailable(doing string, err error) error {
	var callers callers
	switch {
	case err == nil:
		return nil
	case errors.As(err, &callers):
		return callers.error
	case errors.Is(err, ErrSpent), errors.Is(err, ErrBound), errors.Is(err, ErrInactive), errors.Is(err, ErrNotFound), errors.Is(err, ErrTaken),
		errors.Is(err, ErrNoSession), aboutCode(err), errors.Is(err, ErrConflict), errors.Is(err, ErrActive), errors.Is(err, ErrNoMember):
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}
