package web

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Certificate is a pair of PEM files that may be renewed while it is in use. It is safe for concurrent use.
type Certificate struct {
	cert, key string
	report    func(error)
	now       func() time.Time

	mu     sync.Mutex // guards what follows
	pair   *tls.Certificate
	seen   [2]stamp
	looked time.Time
}

// stamp tells a file from what it was before.
type stamp struct {
	size     int64
	modified time.Time
}

const lookEvery = time.Minute

// OpenCertificate reads both files. report is told when a renewed pair cannot be used; the one before then stays in force.
func OpenCertificate(cert, key string, report func(error)) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, report: report, now: time.Now}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files anew. On an error the pair before stays in force.
func (c *Certificate) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load()
}

func (c *Certificate) load() error {
	seen, err := c.stamps()
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	st, err := os.Stat(c.key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if st.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("certificate: %s is readable by everybody (mode %#o); run: chmod 0600 %s", c.key, st.Mode().Perm(), c.key)
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("certificate %s, key %s: %w", c.cert, c.key, err)
	}
	if c.now().After(pair.Leaf.NotAfter) {
		err = fmt.Errorf("certificate %s has expired on %s; renew it", c.cert, pair.Leaf.NotAfter.Format(time.DateOnly))
		if c.pair != nil {
			return err
		}
		c.report(err) // served all the same: clients say best what is wrong
	}
	c.pair, c.seen, c.looked = &pair, seen, c.now()
	return nil
}

func (c *Certificate) stamps() (s [2]stamp, err error) {
	for i, name := range []string{c.cert, c.key} {
		st, statErr := os.Stat(name)
		if statErr != nil {
			err = errors.Join(err, statErr)
			continue
		}
		s[i] = stamp{st.Size(), st.ModTime()}
	}
	return s, err
}

// Expires returns when the certificate in force does.
func (c *Certificate) Expires() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pair.Leaf.NotAfter
}

// get is asked at each handshake. It looks at the files once a minute: certbot and its like replace them and tell nobody.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if seen, err := c.stamps(); err != nil || seen != c.seen {
			if err := c.load(); err != nil {
				c.report(err)
			}
		}
	}
	return c.pair, nil
}
