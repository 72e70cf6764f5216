package resp

import (
	"bytes"
	"testing"
)

// The buffer stays bounded though nobody flushes, and what is sent is what was written, in order.
func TestWriterSpills(t *testing.T) {
	var sent, want bytes.Buffer
	w := writer{dst: &sent, version: 2}
	value := bytes.Repeat([]byte("v"), DirectBytesMin-1)
	for range 100 {
		w.bulk(value)
		want.WriteString(bulk(string(value)))
		if len(w.buf) >= SpillBytes || cap(w.buf) > 4*SpillBytes {
			t.Fatalf("%d of %d bytes held back", len(w.buf), cap(w.buf))
		}
	}
	if err := w.flush(); err != nil || !bytes.Equal(sent.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes sent, want %d, %v", sent.Len(), want.Len(), err)
	}
}

func TestWriterAbandonsOnlyTheReplyInProgress(t *testing.T) {
	var sent bytes.Buffer
	w := writer{dst: &sent, version: 2}
	w.simple("first")
	w.begin()
	w.array(2)
	if !w.abandon() {
		t.Error("nothing was sent, yet it cannot be taken back")
	}
	w.fault("ERR x\r\ny")
	w.flush()
	if got := sent.String(); got != "+first\r\n-ERR x  y\r\n" {
		t.Errorf("%q", got)
	}
	w.begin()
	w.bulk(make([]byte, DirectBytesMin))
	if w.abandon() {
		t.Error("what was sent is taken back")
	}
}
