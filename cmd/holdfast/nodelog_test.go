package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNodeLogShowsWhatPeopleShouldSee(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	var screen bytes.Buffer
	l, err := openNodeLog("a", path, LogFileBytes, &screen)
	if err != nil {
		t.Fatal(err)
	}
	said := "time=1 level=INFO msg=\" level=WARN\"\ntime=1 level=WARN msg=w\ntime=1 level=ERROR msg=e\npanic: p\nunfinished"
	for i := range len(said) { // in the smallest pieces
		if _, err := l.Write([]byte(said[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "a: time=1 level=WARN msg=w\na: time=1 level=ERROR msg=e\na: panic: p\na: unfinished\n"; screen.String() != want {
		t.Errorf("shown:\n%s\nwant:\n%s", screen.String(), want)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != said+"\n" {
		t.Errorf("the file has\n%s", text)
	}
}

func TestNodeLogCutsLongLinesAtTheCap(t *testing.T) {
	var screen bytes.Buffer
	l, err := openNodeLog("a", filepath.Join(t.TempDir(), "a.log"), LogFileBytes, &screen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	whole := strings.Repeat("x", LogLineBytes-1) + "\n" // at the cap, its end included
	over := strings.Repeat("y", LogLineBytes) + "\n"
	if _, err := l.Write([]byte(whole + over)); err != nil {
		t.Fatal(err)
	}
	if want := "a: " + whole + "a: " + over + "a: \n"; screen.String() != want {
		t.Errorf("got lines of %d bytes in all, want %d", screen.Len(), len(want))
	}
}

func TestNodeLogMovesAtItsCap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := openNodeLog("a", path, 10, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"5678\n", "9\n", "0\n"} { // the first fills it, the second is one too many
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{path + ".old": "1234\n5678\n", path: "9\n0\n"} {
		if text, err := os.ReadFile(file); err != nil || string(text) != want {
			t.Errorf("%s has %q, want %q", filepath.Base(file), text, want)
		}
	}
}
