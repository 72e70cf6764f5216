package replica

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/request"
)

// What a node owes or keeps for others is not nothing, and neither is a tombstone; and after a crash, before anything is counted, it is known.
func TestBareIsExactAtAnyTime(t *testing.T) {
	for name, keep := range map[string]func(s *Store) []*request.Write{
		"nothing": func(*Store) []*request.Write { return nil },
		"a row":   func(s *Store) []*request.Write { return []*request.Write{setter(s, "k", "v")} },
		"a tombstone": func(s *Store) []*request.Write {
			return []*request.Write{setter(s, "k", "v"), {Key: keyOf("k"), Mint: &put{}}}
		},
		"a hint with data": func(s *Store) []*request.Write { return []*request.Write{standingIn(setter(s, "k", "v"), targetA)} },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			s := openStore(t, memConfig(fs))
			for _, w := range keep(s) {
				write(t, s, w)
			}
			if want := name == "nothing"; s.Bare() != want {
				t.Errorf("bare: %v", !want)
			}
			if err := s.Durable(t.Context()); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, memConfig(fs.CrashClone(vfs.CrashCloneCfg{})))
			if want := name == "nothing"; s.Bare() != want {
				t.Errorf("bare after a crash: %v", !want)
			}
		})
	}
}
