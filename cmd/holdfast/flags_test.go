package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "holdfast.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagOverVariableOverFile(t *testing.T) {
	path := writeConfig(t, "# a comment\n\nzone file\nmemory 64MiB\n  sync \t none  \ninsecure\njoin a:1, b:2\ncluster c#d\n")
	if cfg := seen(t, "--dir", "d", "--cluster", "c", "--config", path); cfg.Zone != "file" || cfg.Memory != 64<<20 || cfg.Sync != "none" || !cfg.Insecure ||
		!slices.Equal(cfg.Join, []string{"a:1", "b:2"}) || cfg.Cluster != "c" {
		t.Errorf("from the file: %+v", cfg)
	}
	t.Setenv("HOLDFAST_ZONE", "variable")
	t.Setenv("HOLDFAST_LOG_LEVEL", "error")
	t.Setenv("HOLDFAST_SERVICE_HOST", "10.0.0.1") // an orchestrator's, not ours
	if cfg := seen(t, "--dir", "d", "--cluster", "c", "--config", path); cfg.Zone != "variable" || cfg.Sync != "none" {
		t.Errorf("a variable beside the file: %+v", cfg)
	}
	if cfg := seen(t, "--dir", "d", "--cluster", "c", "--config", path, "--zone", "flag"); cfg.Zone != "flag" {
		t.Errorf("a flag beside both: %+v", cfg)
	}
	t.Setenv("HOLDFAST_CONFIG", path)
	t.Setenv("HOLDFAST_DIR", "v")
	if cfg := seen(t, "--cluster", "c"); cfg.Dir != "v" || cfg.Memory != 64<<20 {
		t.Errorf("the file named by a variable: %+v", cfg)
	}
}

func TestConfigFileErrorsNameFileAndLine(t *testing.T) {
	long := strings.Repeat("x", ConfigLineBytes)
	for _, c := range []struct{ name, text, want string }{
		{"an unknown name", "zone a\n\nfrob 1\n", `:3: config file flag "frob" not defined in flag set`},
		{"a bad value", "memory much\n", `:1: error setting flag "memory" from config file: want a size like 512MiB or 2GiB`},
		{"a name given twice", "zone a\nzone b\n", ":2: zone is given twice"},
		{"a line over the cap", "zone " + long + "\n", ": bufio.Scanner: token too long"},
		{"a file over the cap", strings.Repeat("#"+long[:1023]+"\n", ConfigFileBytes>>10), ": longer than 65536 bytes"},
	} {
		path := writeConfig(t, c.text)
		got := runHere(t, nil, "server", "--dir", "d", "--config", path)
		if want := "holdfast server: " + path + c.want + "\n"; got != (outcome{exitRefused, "", want}) {
			t.Errorf("%s: got %+v, want %q", c.name, got, want)
		}
	}
}

func TestConfigFileAtTheCaps(t *testing.T) {
	line := "#" + strings.Repeat("x", ConfigLineBytes-2) + "\n"
	seen(t, "--dir", "d", "--name", "a", "--config", writeConfig(t, strings.Repeat(line, ConfigFileBytes/len(line))))
}

func FuzzConfigLine(f *testing.F) {
	for _, seed := range []string{"", "#", "name value", "--name value # x", "\tflag", "a\x00b c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		calls := 0
		_ = configLine(line, map[string]bool{}, func(name, value string) error {
			calls++
			if strings.ContainsAny(name, " \t") || value == "" || value != strings.TrimSpace(value) {
				t.Errorf("%q gives %q, %q", line, name, value)
			}
			return nil
		})
		if calls > 1 {
			t.Errorf("%q sets %d flags", line, calls)
		}
	})
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"512MiB": 512 << 20, "1GiB": 1 << 30, "2G": 2 << 30, "1.5GiB": 3 << 29, "64K": 64 << 10, "1048576": 1 << 20, "10B": 10, "0": 0} {
		var s sizeFlag
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%s: got %d, %v; want %d", text, s, err, want)
		}
		var again sizeFlag
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%s prints as %s, which reads as %d, %v", text, s.String(), again, err)
		}
	}
	for _, text := range []string{"", "MiB", "512MB", "-1", "1e30G", "NaN", "Inf", "1 GiB", "9999999TiB", "1GiBB", "0x10K", "1iB"} {
		var s sizeFlag
		if err := s.Set(text); err == nil {
			t.Errorf("%q reads as %d", text, s)
		}
	}
}

func TestReadableSizesAndSpans(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1 << 10: "1.0 KiB", 1536: "1.5 KiB", 10 << 20: "10 MiB", 5 << 40: "5.0 TiB"} {
		if got := readableBytes(n); got != want {
			t.Errorf("%d bytes: got %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m 1s", 2*time.Hour + 3*time.Minute: "2h 3m", 49 * time.Hour: "2d 1h"} {
		if got := readableDuration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestTheProgramsOwnAnswers(t *testing.T) {
	for _, c := range []struct {
		args string
		want outcome
	}{
		{"", outcome{exitDone, helpText("holdfast"), ""}},
		{"help", outcome{exitDone, helpText("holdfast"), ""}},
		{"--help", outcome{exitDone, helpText("holdfast"), ""}},
		{"help dev", outcome{exitDone, helpText("dev"), ""}},
		{"server -h", outcome{exitDone, helpText("server"), ""}},
		{"remove --help", outcome{exitDone, helpText("remove"), ""}},
		{"help frob", outcome{exitRefused, "", "holdfast help: no such command: frob; `holdfast help` lists them\n"}},
		{"frob", outcome{exitRefused, "", "holdfast frob: no such command; `holdfast help` lists them\n"}},
		{"remove", outcome{exitRefused, "", "holdfast remove: an argument is missing; see `holdfast remove --help`\n"}},
		{"version now", outcome{exitRefused, "", "holdfast version: unexpected argument \"now\"; see `holdfast version --help`\n"}},
	} {
		if got := runHere(t, nil, strings.Fields(c.args)...); got != c.want {
			t.Errorf("%q: got %+v, want %+v", c.args, got, c.want)
		}
	}
	if got := runHere(t, nil, "version"); got.code != exitDone || !regexp.MustCompile(`^holdfast .*go1\.[^\n]*\n$`).MatchString(got.stdout) {
		t.Errorf("version: %+v", got)
	}
}

// Help is written by hand, so that it reads well; this holds it to the flags.
func TestHelpNamesEveryFlagAndNoOther(t *testing.T) {
	ask := func(more ...string) func(*flag.FlagSet) {
		return func(fs *flag.FlagSet) {
			targetFlags(fs)
			for _, name := range more {
				fs.String(name, "", "")
			}
		}
	}
	for name, register := range map[string]func(*flag.FlagSet){
		"dev": new(devFlags).register, "server": new(serverFlags).register, "status": ask("json", "watch"), "ring": ask("json", "all"),
		"repair": ask("json", "partition", "scan"), "leave": ask(), "remove": ask(), "ready": ask("http"), "version": func(*flag.FlagSet) {},
	} {
		fs := newFlags(name)
		register(fs)
		text, _, _ := strings.Cut(helpText(name), "\nExample")
		told := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^  --([a-z][a-z0-9-]*)`).FindAllStringSubmatch(text, -1) {
			told[m[1]] = true
			if fs.Lookup(m[1]) == nil {
				t.Errorf("help of %s tells of --%s, which is no flag", name, m[1])
			}
		}
		fs.VisitAll(func(f *flag.Flag) {
			if !told[f.Name] && f.Name != "dev-parent" {
				t.Errorf("help of %s lacks --%s", name, f.Name)
			}
		})
		for line := range strings.Lines(helpText(name)) {
			if len(line) > 130 {
				t.Errorf("help of %s: a line of %d characters", name, len(line))
			}
		}
	}
}

func TestCommandsAndHelpAgree(t *testing.T) {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	if !slices.Equal(names, commandNames()) {
		t.Errorf("%v and %v", names, commandNames())
	}
}

func TestRefusalsAreFoundThroughWrapping(t *testing.T) {
	inner := errors.New("inner")
	if err := refuse("outer: %w", inner); !errors.Is(err, inner) || !errors.As(err, new(refusal)) {
		t.Error(err)
	}
}
