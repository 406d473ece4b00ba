package ticket

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const cacheMax = 4 << 20

// fileStamp tells one cache file from the next without reading it.
type fileStamp struct {
	inode    uint64
	modified time.Time
}

func (k *keySet) cacheFile() string {
	sum := sha256.Sum256([]byte(k.cfg.Issuer))
	return filepath.Join(k.cfg.CacheDir, "keys-"+hex.EncodeToString(sum[:8])+".json")
}

// reload takes over what another process has fetched since. A cache that cannot be trusted or read is as good as none.
func (k *keySet) reload() {
	if k.cfg.CacheDir == "" {
		return
	}
	s, stamp, err := k.readCache()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		k.cfg.Report(fmt.Errorf("read the key cache %s: %w", k.cacheFile(), err))
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if stamp == k.stamp || s == nil {
		return
	}
	k.stamp = stamp
	if s.Fetched.After(k.now.Fetched) {
		k.now = *s
		return
	}
	// Not newer keys, but perhaps newer knowledge of what was tried.
	if s.Failed.After(k.now.Failed) && s.Failed.After(k.now.Fetched) {
		k.now.Failed = s.Failed
	}
	if last(s.Unknown).After(last(k.now.Unknown)) {
		k.now.Unknown = s.Unknown
	}
}

func last(times []time.Time) time.Time {
	if len(times) == 0 {
		return time.Time{}
	}
	return times[len(times)-1]
}

// readCache returns nil when the file is the one that was read last.
func (k *keySet) readCache() (*state, fileStamp, error) {
	f, err := os.OpenFile(k.cacheFile(), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileStamp{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fileStamp{}, err
	}
	sys := st.Sys().(*syscall.Stat_t)
	stamp := fileStamp{sys.Ino, st.ModTime()}
	k.mu.Lock()
	same := stamp == k.stamp
	k.mu.Unlock()
	switch {
	case same:
		return nil, stamp, nil
	case !st.Mode().IsRegular() || st.Mode().Perm()&0o022 != 0 || sys.Uid != 0 && int(sys.Uid) != os.Geteuid():
		return nil, stamp, fmt.Errorf("not trusted: mode %v, owner %d; it is ignored", st.Mode(), sys.Uid)
	case st.Size() > cacheMax:
		return nil, stamp, fmt.Errorf("over %d bytes", cacheMax)
	}
	b, err := io.ReadAll(io.LimitReader(f, cacheMax))
	if err != nil {
		return nil, stamp, err
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil || s.Issuer != k.cfg.Issuer {
		return nil, stamp, errors.New("not a key cache of this issuer")
	}
	s.Keys, s.parsed = k.usable(s.Keys)
	if len(s.parsed) == 0 || s.Fetched.After(k.cfg.Now().Add(leeway)) {
		s.Fetched = time.Time{} // serves for nothing but what was tried
	}
	return &s, stamp, nil
}

// save writes the cache aside and renames it: other processes read the old one or the new one.
func (k *keySet) save(s state) {
	if k.cfg.CacheDir == "" {
		return
	}
	if err := k.writeCache(s); err != nil {
		k.cfg.Report(fmt.Errorf("write the key cache %s: %w", k.cacheFile(), err))
	}
}

func (k *keySet) writeCache(s state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(k.cfg.CacheDir, ".keys-") // mode 0600, O_EXCL
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), k.cacheFile())
}
