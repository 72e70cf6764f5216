package replica

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestPeekReadsADocumentAndChangesNothing(t *testing.T) {
	fs := vfs.NewMem()
	if b, err := PeekMeta(fs, "node", "ring"); b != nil || err != nil {
		t.Errorf("where there is nothing: %q, %v", b, err)
	}
	if before := vfs.NewMem().String(); fs.String() != before {
		t.Errorf("looking made something: %s", fs.String())
	}
	s := openStore(t, memConfig(fs))
	if err := s.PutMeta("ring", []byte("document")); err != nil {
		t.Fatal(err)
	}
	if _, err := PeekMeta(fs, "node", "ring"); !errors.Is(err, ErrInUse) {
		t.Errorf("of an open directory: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := fs.String()
	for name, want := range map[string]string{"ring": "document", "other": ""} {
		if b, err := PeekMeta(fs, "node", name); string(b) != want || err != nil {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if after := fs.String(); after != before {
		t.Errorf("looking changed the directory:\n%s\nbefore:\n%s", after, before)
	}
}
