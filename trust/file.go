package trust

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// readFile reads a file of at most FileBytesMax.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, FileBytesMax+1))
	if err == nil && len(b) > FileBytesMax {
		err = fmt.Errorf("%s: longer than %d bytes", path, FileBytesMax)
	}
	return b, err
}

// A reader reads the same files again and again, and tells what is new. It is for one goroutine.
type reader struct {
	paths []string
	last  [][]byte // as read last, whether or not it could be used
	log   *slog.Logger
	told  time.Time // when the log was last told that the files cannot be used
	why   string    // what it was told
}

// read returns the files' contents, and whether any differs from the last time.
func (r *reader) read() (contents [][]byte, news bool, err error) {
	for _, path := range r.paths {
		b, err := readFile(path)
		if err != nil {
			return nil, false, err
		}
		contents = append(contents, b)
	}
	news = r.last == nil
	for i := range r.last {
		news = news || !bytes.Equal(r.last[i], contents[i])
	}
	r.last = contents
	return contents, news, nil
}

// complain tells why the files cannot be used: when that is news, and again once a minute. nil ends the matter.
func (r *reader) complain(err error, now time.Time) {
	if err == nil {
		r.why = ""
		return
	}
	if err.Error() == r.why && now.Sub(r.told) < tellEvery {
		return
	}
	r.told, r.why = now, err.Error()
	r.log.Error("a file cannot be used, what was read before stays in use; put it right, no restart is needed", "file", r.paths[0], "error", err)
}
