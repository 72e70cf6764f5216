package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node/nettest"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
	"github.com/holdfastdb/holdfast/trust"
	"github.com/holdfastdb/holdfast/trust/trusttest"
)

// keysOf returns a key for each letter.
func keysOf(letters string) func() [][]byte {
	var keys [][]byte
	for _, c := range []byte(letters) {
		keys = append(keys, bytes.Repeat([]byte{c}, 32))
	}
	return func() [][]byte { return keys }
}

func TestNodesWithAClusterKeyInCommonMeet(t *testing.T) {
	for _, c := range []struct{ proves, a, b string }{
		{"one key", "k", "k"},
		{"the new key added at one", "o", "on"},
		{"the new key first at one", "no", "on"},
		{"the new key first at both", "no", "no"},
		{"the old key removed at one", "n", "no"},
		{"the other way round", "no", "n"},
	} {
		t.Run(c.proves, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, func(a, b *Config) { a.Keys, b.Keys = keysOf(c.a), keysOf(c.b) })
				want(t, p.read(1, soon()), nil)
			})
		})
	}
}

func TestKeysMayChangeBetweenTwoConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := keysOf("o")
		both := func() [][]byte { return keys() }
		p := newPair(t, func(a, b *Config) { a.Keys, b.Keys = both, both })
		keys = keysOf("n")
		want(t, p.read(1, soon()), nil) // by the connection that stands
		p.b.closeConns()
		time.Sleep(time.Second)
		want(t, p.read(1, soon()), nil)
	})
}

func TestNodesWithoutAClusterKeyInCommonRefuse(t *testing.T) {
	for _, c := range []struct{ proves, a, b, reason string }{
		{"another key", "x", "k", "no cluster key in common"},
		{"no key at the one that dials", "", "k", "the other has none"},
		{"no key at the one that is dialled", "k", "", "the other has none"},
		{"the old key alone after a rotation", "o", "n", "no cluster key in common"},
	} {
		t.Run(c.proves, func(t *testing.T) {
			refusesOnceAMinute(t, c.reason, func(a, b *Config) { a.Keys, b.Keys = keysOf(c.a), keysOf(c.b) })
		})
	}
}

// refusesOnceAMinute wants two nodes that are configured like that to refuse each other, and both to say why once a minute.
func refusesOnceAMinute(t *testing.T, reason string, change func(a, b *Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var logA, logB logLines
		p := newPair(t, func(a, b *Config) {
			overSockets(t, a, b)
			change(a, b)
			a.Logger, b.Logger = logA.logger(), logB.logger()
		})
		ended := p.read(1, time.Now().Add(10*time.Second))
		time.Sleep(50 * time.Second)
		want(t, ended, request.ErrUnreachable)
		for _, log := range []*logLines{&logA, &logB} {
			if n := log.count(reason); n != 1 {
				t.Errorf("%d lines in a minute, want 1: %v", n, log.all())
			}
		}
		if p.a.Up(nodeB) || p.serve.executed.Load() != 0 || p.a.Stats().Refused == 0 || p.b.Stats().Refused == 0 {
			t.Error("a stranger got in, or was not counted")
		}
		time.Sleep(15 * time.Second)
		if n := logA.count(reason); n != 2 {
			t.Errorf("%d lines in two minutes, want 2", n)
		}
		t.Log(logA.all(), logB.all())
	})
}

// overSockets moves two nodes to a network whose connections hold what was sent until it is read. TLS counts on that: its two sides
// may turn each other away at the same moment.
func overSockets(t *testing.T, a, b *Config) {
	t.Helper()
	network, hosts := nettest.New(1), map[ring.NodeID]string{nodeA: "127.0.0.1", nodeB: "127.0.0.2"}
	for id, cfg := range map[ring.NodeID]*Config{nodeA: a, nodeB: b} {
		host := network.Host(hosts[id])
		l, err := host.Listen(hosts[id] + ":7379")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Listener, cfg.Dial = l, host.Dial
		cfg.Addr = func(id ring.NodeID) (string, bool) { return hosts[id] + ":7379", true }
	}
}

// speak sends frames to a node that has a key and returns all that it answers until it closes.
func speak(t *testing.T, p *pair, frames ...[]byte) (answer []byte) {
	t.Helper()
	conn, err := p.net.dial(context.Background(), "b")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		for _, f := range frames {
			_, _ = conn.Write(f)
		}
	}()
	answer, _ = io.ReadAll(conn)
	return answer
}

// A stranger learns neither who the node is nor of which cluster, whatever it says first.
func TestStrangerIsToldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(a, b *Config) {
			a.Keys, b.Keys = keysOf("k"), keysOf("k")
			b.Name, b.Boot = "the-name", 0x1122334455667788
			b.Cluster, a.Cluster = ring.NodeID{5: 0xcc, 6: 0xdd, 7: 0xee}, ring.NodeID{5: 0xcc, 6: 0xdd, 7: 0xee}
		})
		h := hello{versionMin: 1, versionMax: 1, cluster: p.b.cfg.Cluster, q: 256, node: nodeA, to: nodeB, auth: make([]byte, proofBytes)}
		greeting := appendFrame(nil, frame{kind: kindHello}, h)
		asking := appendFrame(nil, frame{kind: kindChallenge}, raw(make([]byte, nonceBytes)))
		for proves, frames := range map[string][][]byte{
			"a hello at once":              {greeting},
			"a challenge, then a hello":    {asking, greeting},
			"a challenge, then a request":  {asking, appendFrame(nil, frame{kind: kindRead}, raw("12345678"))},
			"a challenge, then a refusal":  {asking, appendFrame(nil, frame{kind: kindRefusal | answerOf}, raw{1})},
			"a challenge that is cut":      {appendFrame(nil, frame{kind: kindChallenge}, raw("short"))},
			"a challenge, then nothing":    {asking},
			"a challenge, then the same":   {asking, asking},
			"the answer to what was asked": {appendFrame(nil, frame{kind: kindChallenge | answerOf}, raw(make([]byte, 64)))},
		} {
			answer := speak(t, p, frames...)
			if bytes.Contains(answer, []byte("the-name")) || bytes.Contains(answer, p.b.cfg.Cluster[5:8]) || bytes.Contains(answer, []byte{0x55, 0x44, 0x33}) {
				t.Errorf("%s: the node said who it is: %q", proves, answer)
			}
			if most := 2*headerBytes + nonceBytes + proofBytes + 1; len(answer) > most {
				t.Errorf("%s: %d bytes, want at most a challenge and a refusal", proves, len(answer))
			}
		}
		if p.serve.executed.Load() != 0 || p.b.Stats().Panics != 0 {
			t.Error("something was executed, or panicked")
		}
	})
}

// A recording keeps what passes in one direction.
type recording struct {
	net.Conn
	wrote bytes.Buffer
}

// Write implements net.Conn.
func (r *recording) Write(b []byte) (int, error) {
	r.wrote.Write(b)
	return r.Conn.Write(b)
}

func TestWhatWasOverheardProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(a, b *Config) { a.Keys, b.Keys = keysOf("k"), keysOf("k") })
		conn, err := p.net.dial(context.Background(), "b")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		heard := &recording{Conn: conn}
		ours := p.a.cfg.hello()
		ours.to = nodeB
		if _, _, err := greet(heard, ours, keysOf("k")(), p.a.cfg.Now); err != nil {
			t.Fatal(err)
		}
		refused := p.b.Stats().Refused
		speak(t, p, heard.wrote.Bytes())
		synctest.Wait()
		if got := p.b.Stats().Refused; got != refused+1 {
			t.Errorf("%d refusals, want one for the replay", got-refused)
		}
	})
}

// Proofs of one role, one pair of nonces, one hello or one key do not serve for another.
func TestProofIsBoundToAllThatItIsAbout(t *testing.T) {
	s := &secret{keys: keysOf("k")()}
	h := hello{versionMin: 1, versionMax: 1, q: 1, node: nodeA, to: nodeB, name: "a"}
	signed := s.sign(roleDialer, h)
	if !s.signed(roleDialer, signed) {
		t.Fatal("a good proof is refused")
	}
	other := signed
	other.node = ring.NodeID{9}
	elsewhere := &secret{keys: s.keys}
	elsewhere.nonces[nonceBytes] = 1
	for proves, held := range map[string]bool{
		"another role":  s.signed(roleAccepter, signed),
		"a challenge":   s.holds(signed.auth, roleChallenged, nil),
		"another hello": s.signed(roleDialer, other),
		"another nonce": elsewhere.signed(roleDialer, signed),
		"another key":   (&secret{keys: keysOf("x")()}).signed(roleDialer, signed),
		"no proof":      s.signed(roleDialer, h),
	} {
		if held {
			t.Errorf("the proof holds for %s", proves)
		}
	}
}

// certificates opens what an authority issued.
func certificates(t *testing.T, a *trusttest.Authority, until time.Time) *trust.Certificates {
	t.Helper()
	f := a.Issue("node", until)
	c, err := trust.OpenCertificates(f.Cert, f.Key, f.CA, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func under(cfg *Config, c *trust.Certificates) {
	if c != nil {
		cfg.Listener, cfg.Dial = c.Listener(cfg.Listener), c.Dial(cfg.Dial)
	}
}

func TestNodesUnderOneAuthorityMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := trusttest.NewAuthority(t, "ours")
		p := newPair(t, func(cfgA, cfgB *Config) {
			under(cfgA, certificates(t, a, time.Now().Add(time.Hour)))
			under(cfgB, certificates(t, a, time.Now().Add(time.Hour)))
			cfgA.Keys, cfgB.Keys = keysOf("k"), keysOf("k")
		})
		want(t, p.read(1, soon()), nil)
	})
}

func TestNodesWithoutAnAuthorityInCommonRefuse(t *testing.T) {
	for _, c := range []struct {
		proves, reason string
		a, b           func(t *testing.T, ours, theirs *trusttest.Authority) *trust.Certificates
	}{
		{"another authority", "good today and of the authority", good, foreign},
		{"another authority dials", "good today and of the authority", foreign, good},
		{"an expired certificate", "good today and of the authority", good, expired},
		{"an expired certificate dials", "good today and of the authority", expired, good},
		{"no TLS at the one that dials", "one of the two speaks TLS", none, good},
		{"no TLS at the one that is dialled", "one of the two speaks TLS", good, none},
	} {
		t.Run(c.proves, func(t *testing.T) {
			refusesOnceAMinute(t, c.reason, func(cfgA, cfgB *Config) {
				ours, theirs := trusttest.NewAuthority(t, "ours"), trusttest.NewAuthority(t, "theirs")
				under(cfgA, c.a(t, ours, theirs))
				under(cfgB, c.b(t, ours, theirs))
			})
		})
	}
}

// Who does not care whom it speaks to is refused all the same, for what it shows of itself.
func TestStrangerThatVerifiesNobodyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := trusttest.NewAuthority(t, "ours"), trusttest.NewAuthority(t, "theirs")
		p := newPair(t, func(a, b *Config) {
			overSockets(t, a, b)
			under(b, good(t, ours, theirs))
		})
		foreign := theirs.Issue("stranger", time.Now().Add(time.Hour))
		shown, err := tls.LoadX509KeyPair(foreign.Cert, foreign.Key)
		if err != nil {
			t.Fatal(err)
		}
		for proves, cfg := range map[string]*tls.Config{
			"no certificate":       {InsecureSkipVerify: true},
			"another's":            {InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }},
			"TLS before version 3": {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
		} {
			raw, err := p.a.cfg.Dial(t.Context(), "127.0.0.2:7379")
			if err != nil {
				t.Fatal(err)
			}
			hi := p.a.cfg.hello()
			hi.to = nodeB
			if _, _, err := greet(tls.Client(raw, cfg), hi, nil, p.a.cfg.Now); !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v, want a refusal", proves, err)
			}
			raw.Close()
		}
	})
}

func good(t *testing.T, ours, _ *trusttest.Authority) *trust.Certificates {
	return certificates(t, ours, time.Now().Add(time.Hour))
}

func foreign(t *testing.T, _, theirs *trusttest.Authority) *trust.Certificates {
	return certificates(t, theirs, time.Now().Add(time.Hour))
}

func expired(t *testing.T, ours, _ *trusttest.Authority) *trust.Certificates {
	return certificates(t, ours, time.Now().Add(-time.Second))
}

func none(*testing.T, *trusttest.Authority, *trusttest.Authority) *trust.Certificates { return nil }

// A certificate that is renewed is used by the next connection, and one that ends is not missed by those that stand.
func TestCertificateIsRenewedUnderLivingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := trusttest.NewAuthority(t, "ours")
		files := a.Issue("node", time.Now().Add(time.Minute))
		c, err := trust.OpenCertificates(files.Cert, files.Key, files.CA, time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p := newPair(t, func(cfgA, cfgB *Config) { under(cfgA, c); under(cfgB, c) })
		time.Sleep(2 * time.Minute)
		want(t, p.read(1, soon()), nil)
		p.b.closeConns()
		time.Sleep(2 * time.Second)
		if p.a.Up(nodeB) {
			t.Error("an expired certificate made a new connection")
		}
		a.Renew(files, "node", time.Now().Add(time.Hour))
		c.Look(time.Now())
		time.Sleep(2 * time.Second)
		want(t, p.read(1, soon()), nil)
	})
}

// A stranger's bytes before the hello end its connection and nothing else.
func FuzzWelcome(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(appendFrame(nil, frame{kind: kindChallenge}, raw(strings.Repeat("n", nonceBytes))))
	f.Add(appendFrame(appendFrame(nil, frame{kind: kindChallenge}, raw(strings.Repeat("n", nonceBytes))), frame{kind: kindHello}, hello{q: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, ours)
		go func() {
			ours.Write(b)
			ours.Close()
		}()
		now := func() time.Duration { return 0 }
		if _, err := welcome(theirs, hello{q: 1, versionMax: 255}, keysOf("k")(), now); err == nil {
			t.Fatal("a stranger is welcome")
		}
	})
}
