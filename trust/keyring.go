package trust

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Keyring is a file of cluster keys. Keys may be called from anywhere, Look by one goroutine.
type Keyring struct {
	file  reader
	keys  atomic.Pointer[[][]byte]
	wrong error // why the content read last cannot be used
}

// OpenKeyring reads a file of keys; its form is that of ParseKeys. The error names the file. The log is told where others than
// the file's owner and group may read it.
func OpenKeyring(path string, log *slog.Logger) (*Keyring, error) {
	k := &Keyring{file: reader{paths: []string{path}, log: log}}
	if _, err := k.take(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		log.Warn("everybody on this machine may read the cluster key; chmod o-r", "file", path)
	}
	return k, nil
}

// Keys returns the keys as last read, at least one; the first is the one to use. They must not be changed.
func (k *Keyring) Keys() [][]byte { return *k.keys.Load() }

// Look reads the file again and reports whether the keys are others now. It is to be called every LookEvery.
func (k *Keyring) Look(now time.Time) bool {
	changed, err := k.take()
	k.file.complain(err, now)
	if changed {
		k.file.log.Info("cluster keys read anew", "file", k.file.paths[0], "keys", len(k.Keys()))
	}
	return changed
}

func (k *Keyring) take() (changed bool, err error) {
	contents, news, err := k.file.read()
	if err != nil || !news {
		return false, firstOf(err, k.wrong)
	}
	keys, err := ParseKeys(contents[0])
	if k.wrong = nil; err != nil {
		k.wrong = fmt.Errorf("%s: %w", k.file.paths[0], err)
		return false, k.wrong
	}
	k.keys.Store(&keys)
	return true, nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
