package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Certificates are a node's certificate, its key, and the authority that every node's certificate must come from. A node shows its
// own both when it dials and when it is dialled, and wants to see the other's. Names in certificates are not compared with
// addresses: a node is known by its id, wherever it runs, and whoever the authority signs for is a node. So the
// authority must be the cluster's own. Config methods may be called from anywhere, Look by one goroutine.
type Certificates struct {
	files  reader
	now    func() time.Time
	held   atomic.Pointer[held]
	wrong  error // why the content read last cannot be used
	warned time.Time
}

// held is one reading of the files.
type held struct {
	own  tls.Certificate
	pool *x509.CertPool
}

// OpenCertificates reads PEM files: the certificate (those between it and the authority may follow it), its key, and the
// authority's certificates. now is the wall clock that decides what has expired. The error names the file.
func OpenCertificates(cert, key, ca string, now func() time.Time, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{files: reader{paths: []string{cert, key, ca}, log: log}, now: now}
	if _, err := c.take(); err != nil {
		return nil, err
	}
	c.warn()
	return c, nil
}

// Look reads the files again and reports whether they are others now. Connections that stand are left alone. It is to be
// called every LookEvery.
func (c *Certificates) Look(now time.Time) bool {
	changed, err := c.take()
	c.files.complain(err, now)
	if changed {
		c.warned = time.Time{}
		c.files.log.Info("certificates read anew", "file", c.files.paths[0], "expires", c.expires())
	}
	c.warn()
	return changed
}

// expires returns when this node's certificate ends.
func (c *Certificates) expires() time.Time { return c.held.Load().own.Leaf.NotAfter }

// warn tells once a day that the certificate ends soon, or has ended.
func (c *Certificates) warn() {
	now := c.now()
	if c.expires().Sub(now) > warnBefore || now.Sub(c.warned) < warnEvery {
		return
	}
	c.warned = now
	c.files.log.Warn("this node's certificate ends soon, and with it every connection that is made later; put a new one in its place, no restart is needed",
		"file", c.files.paths[0], "expires", c.expires())
}

func (c *Certificates) take() (changed bool, err error) {
	contents, news, err := c.files.read()
	if err != nil || !news {
		return false, firstOf(err, c.wrong)
	}
	h, err := parse(c.files.paths, contents)
	if c.wrong = err; err != nil {
		return false, err
	}
	c.held.Store(h)
	return true, nil
}

var errNoAuthority = errors.New("there is no certificate in it")

// parse makes one reading of the files, in the order certificate, key, authority.
func parse(paths []string, contents [][]byte) (*held, error) {
	own, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", paths[0], paths[1], err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[2]) {
		return nil, fmt.Errorf("%s: %w", paths[2], errNoAuthority)
	}
	return &held{own, pool}, nil
}

// server is the configuration of the side that is dialled, as the files are now.
func (c *Certificates) server() *tls.Config {
	h := c.held.Load()
	return &tls.Config{MinVersion: tls.VersionTLS13, Time: c.now, Certificates: []tls.Certificate{h.own},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: h.pool, SessionTicketsDisabled: true}
}

// client is the configuration of the side that dials, as the files are now.
func (c *Certificates) client() *tls.Config {
	h := c.held.Load()
	return &tls.Config{MinVersion: tls.VersionTLS13, Time: c.now,
		// Shown to whoever asks, also to one that names other authorities: its refusal then says what is wrong.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &h.own, nil },
		// The chain is verified below, as it always is; only the name is not.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return h.verify(s.PeerCertificates, c.now()) },
	}
}

// verify checks that a chain, leaf first, leads to the authority and may serve.
func (h *held) verify(chain []*x509.Certificate, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: h.pool, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}
