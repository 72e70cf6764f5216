package node

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/trust"
)

// secrets is what this node and the others know each other by. The zero value is that of a cluster without any.
type secrets struct {
	keys  *trust.Keyring      // nil: no cluster key
	certs *trust.Certificates // nil: no TLS
}

// openSecrets reads the files that the flags name. The error is a *FileError.
func openSecrets(cfg *Config) (s secrets, err error) {
	if cfg.ClusterKey != "" {
		if s.keys, err = trust.OpenKeyring(cfg.ClusterKey, cfg.Logger); err != nil {
			return secrets{}, &FileError{Flag: "cluster-key", Err: err}
		}
	}
	if cfg.TLSCert != "" {
		if s.certs, err = trust.OpenCertificates(cfg.TLSCert, cfg.TLSKey, cfg.TLSCA, cfg.Now, cfg.Logger); err != nil {
			return secrets{}, &FileError{Flag: "tls-cert", Err: err}
		}
	}
	return s, nil
}

// Keys returns the cluster keys, the first the one to use; none without a file of them.
func (s *secrets) Keys() [][]byte {
	if s.keys == nil {
		return nil
	}
	return s.keys.Keys()
}

// guard puts the wire between nodes under TLS, where there are certificates.
func (s *secrets) guard(cfg *Config, ports *listeners) {
	if s.certs != nil {
		ports.peer = s.certs.Listener(ports.peer)
		cfg.Network.Dial = s.certs.Dial(cfg.Network.Dial)
	}
}

// watchSecrets reads the files again and again until ctx ends, and gives gossip its new keys; the hellos ask for theirs.
func (n *Node) watchSecrets(ctx context.Context) {
	tick := time.NewTicker(trust.LookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if n.secrets.certs != nil {
			n.secrets.certs.Look(now)
		}
		if n.secrets.keys != nil && n.secrets.keys.Look(now) {
			if err := n.gossip.SetKeys(n.secrets.Keys()); err != nil {
				n.cfg.Logger.Error("gossip goes on with the old cluster keys", "error", err)
			}
		}
	}
}

// FileError says that a file of keys or certificates cannot be used. Nothing was touched.
type FileError struct {
	Flag string // the flag's name, without dashes
	Err  error  // names the file
}

// Error implements error.
func (e *FileError) Error() string { return fmt.Sprintf("--%s: %v", e.Flag, e.Err) }

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }
