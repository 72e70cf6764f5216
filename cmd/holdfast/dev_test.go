package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// ghosts accepts the connections of fake nodes and tells when one ends, which the kernel sees to however the node ends.
type ghosts struct {
	addr string
	born chan string // "name pid"
	died chan string
}

func watchNodes(t *testing.T) *ghosts {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	g := &ghosts{l.Addr().String(), make(chan string, 64), make(chan string, 64)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				r := bufio.NewReader(conn)
				line, _ := r.ReadString('\n')
				who := strings.TrimSpace(line)
				g.born <- who
				_, _ = io.Copy(io.Discard, r)
				g.died <- who
			}()
		}
	}()
	return g
}

// expectBirth waits for a node to start and returns its pid.
func (g *ghosts) expectBirth(t *testing.T) int {
	t.Helper()
	select {
	case who := <-g.born:
		pid, err := strconv.Atoi(who[strings.IndexByte(who, ' ')+1:])
		if err != nil {
			t.Fatal(err)
		}
		return pid
	case <-time.After(patience):
		t.Fatalf("no node started in %v", patience)
		return 0
	}
}

// expectDeaths waits until these have died, in any order.
func (g *ghosts) expectDeaths(t *testing.T, want ...string) {
	t.Helper()
	left := map[string]bool{}
	for _, who := range want {
		left[who] = true
	}
	for deadline := time.After(patience); len(left) > 0; {
		select {
		case who := <-g.died:
			delete(left, who)
		case <-deadline:
			t.Fatalf("still alive after %v: %v", patience, left)
		}
	}
}

// devProcess is a `holdfast dev` under test.
type devProcess struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string
	ended  chan struct{}
	ghosts *ghosts
	pids   map[string]int // of nodes, as printed last
	dir    string         // of node-1, as printed
	pid    int            // of dev, as printed
	stderr lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// anyPorts lets dev take whatever ports are free.
func anyPorts() []string {
	return []string{"--resp-port", "0", "--memcache-port", "0", "--http-port", "0", "--peer-port", "0", "--gossip-port", "0"}
}

func startDev(t *testing.T, args ...string) *devProcess {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startProgram(t, exec.Command(program, append(append([]string{"dev"}, anyPorts()...), args...)...), "holdfast")
}

// startProgram starts cmd, which plays the role. Its temporary directories go with the test.
func startProgram(t *testing.T, cmd *exec.Cmd, role string, variables ...string) *devProcess {
	t.Helper()
	d := &devProcess{t: t, cmd: cmd, lines: make(chan string, 256), ended: make(chan struct{}), ghosts: watchNodes(t), pids: map[string]int{}}
	d.cmd.Env = append(append(os.Environ(), roleVariable+"="+role, watchVariable+"="+d.ghosts.addr, "TMPDIR="+t.TempDir()), variables...)
	d.cmd.Stderr = &d.stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			d.lines <- lines.Text()
		}
		_ = d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		if d.pid > 0 && d.pid != d.cmd.Process.Pid && t.Failed() {
			_ = syscall.Kill(d.pid, syscall.SIGKILL) // dev below another process, which did not take it along
		}
		<-d.ended
		if t.Failed() {
			t.Logf("stderr of dev:\n%s", d.stderr.String())
		}
	})
	return d
}

// expect waits for the next line, which must match, and returns its groups.
func (d *devProcess) expect(pattern string) []string {
	d.t.Helper()
	select {
	case line := <-d.lines:
		groups := regexp.MustCompile("^" + pattern + "$").FindStringSubmatch(line)
		if groups == nil {
			d.t.Fatalf("got line %q, want %q", line, pattern)
		}
		return groups
	case <-time.After(patience):
		d.t.Fatalf("no line in %v, want %q", patience, pattern)
	}
	return nil
}

const addrPattern = `127\.0\.0\.1:[0-9]+`

// expectNode waits for a node's line.
func (d *devProcess) expectNode(name string) {
	d.t.Helper()
	groups := d.expect(fmt.Sprintf(`%s pid=([0-9]+) resp=%s memcache=%s http=%s dir=(.*)`, name, addrPattern, addrPattern, addrPattern))
	pid, err := strconv.Atoi(groups[1])
	if err != nil {
		d.t.Fatal(err)
	}
	d.pids[name] = pid
	d.dir = filepath.Dir(groups[2])
}

// expectReady waits for dev's lines up to ready.
func (d *devProcess) expectReady(nodes ...string) {
	d.t.Helper()
	groups := d.expect(`dev pid=([0-9]+)`)
	d.pid, _ = strconv.Atoi(groups[1])
	for _, name := range nodes {
		d.expectNode(name)
	}
	d.expect(d.readyPattern(nodes[len(nodes)-1]))
}

func (d *devProcess) readyPattern(last string) string {
	return fmt.Sprintf(`ready: kill a node with kill -9 %d \(%s\), bring it back with kill -USR1 %d, stop all with ctrl-c or kill %d`, d.pids[last], last, d.pid, d.pid)
}

func (d *devProcess) signal(pid int, sig syscall.Signal) {
	d.t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		d.t.Fatal(err)
	}
}

// expectEnd waits for the end of the program itself and returns its exit code, -1 if it was killed.
func (d *devProcess) expectEnd() int {
	d.t.Helper()
	select {
	case <-d.ended:
		return d.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		d.t.Fatalf("still runs after %v", patience)
		return 0
	}
}

// all returns the nodes that were printed last, as ghosts name them.
func (d *devProcess) all() (who []string) {
	for name, pid := range d.pids {
		who = append(who, fmt.Sprintf("%s %d", name, pid))
	}
	return who
}

func TestDevPrintsItsLinesAndEveryStopSignalEndsAll(t *testing.T) {
	// Under nohup, which the program heeds, the tests' own processes would inherit that a hang-up is ignored; what is caught they do not.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Setenv("HOLDFAST_CONFIG", "nowhere.conf") // a flag of server, which dev must not hand on
			d := startDev(t)
			d.expectReady("node-1", "node-2", "node-3")
			if d.pid != d.cmd.Process.Pid {
				t.Errorf("dev printed pid %d, and is %d", d.pid, d.cmd.Process.Pid)
			}
			d.signal(d.pid, sig)
			if code := d.expectEnd(); code != exitDone {
				t.Errorf("exit code %d", code)
			}
			d.ghosts.expectDeaths(t, d.all()...)
			if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
				t.Errorf("the temporary directory %s is still there", d.dir)
			}
		})
	}
}

func TestDevNoticesADeathAndRevives(t *testing.T) {
	d := startDev(t, "--nodes", "2")
	d.expectReady("node-1", "node-2")
	victim := d.pids["node-2"]
	d.signal(victim, syscall.SIGKILL)
	d.expect(fmt.Sprintf(`node-2 \(pid %d\) ended: killed; bring it back: kill -USR1 %d`, victim, d.pid))
	d.signal(d.pid, syscall.SIGUSR1)
	d.expectNode("node-2")
	d.expect(d.readyPattern("node-2"))
	if d.pids["node-2"] == victim {
		t.Error("the revived node has the pid of the dead one")
	}
	if !strings.Contains(d.stderr.String(), "node-2: time=") {
		t.Errorf("no warning of node-2 was shown:\n%s", d.stderr.String())
	}
	log, err := os.ReadFile(filepath.Join(d.dir, "node-2.log"))
	if err != nil || strings.Count(string(log), "msg=listening") != 2 {
		t.Errorf("the log of node-2 does not tell of two starts: %v\n%s", err, log)
	}
}

func TestDevStaysWithEveryNodeDeadAndRevivesAll(t *testing.T) {
	d := startDev(t, "--nodes", "2")
	d.expectReady("node-1", "node-2")
	for _, name := range []string{"node-1", "node-2"} {
		d.signal(d.pids[name], syscall.SIGKILL)
		d.expect(name + ` .* ended: killed; .*`)
	}
	d.signal(d.pid, syscall.SIGUSR1)
	d.expectNode("node-1")
	d.expectNode("node-2")
	d.expect(d.readyPattern("node-2"))
}

// A script that kills and revives in one breath must not depend on when dev learns of the death.
func TestReviveInTheSameBreathAsTheKill(t *testing.T) {
	d := startDev(t, "--nodes", "1")
	d.expectReady("node-1")
	for range 5 {
		d.signal(d.pids["node-1"], syscall.SIGKILL)
		d.signal(d.pid, syscall.SIGUSR1)
		d.expect(`node-1 .* ended: killed; .*`)
		d.expectNode("node-1")
		d.expect(d.readyPattern("node-1"))
	}
}

func TestKilledDevLeavesNoNode(t *testing.T) {
	d := startDev(t)
	d.expectReady("node-1", "node-2", "node-3")
	d.signal(d.pids["node-2"], syscall.SIGSTOP) // a paused node must not stay either
	d.signal(d.pid, syscall.SIGKILL)
	d.expectEnd()
	d.ghosts.expectDeaths(t, d.all()...)
}

// A killed dev cannot remove its temporary directory; the next one does, and leaves alone what a living one uses.
func TestTheNextDevSweepsAfterAKilledOne(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func() *devProcess {
		cmd := exec.Command(program, append([]string{"dev", "--nodes", "1"}, anyPorts()...)...)
		d := startProgram(t, cmd, "holdfast", "TMPDIR="+os.TempDir())
		d.expectReady("node-1")
		return d
	}
	killed, living := start(), start()
	killed.signal(killed.pid, syscall.SIGKILL)
	killed.expectEnd()
	start()
	if _, err := os.Stat(killed.dir); !os.IsNotExist(err) {
		t.Errorf("%s of the killed dev is still there", killed.dir)
	}
	if _, err := os.Stat(living.dir); err != nil {
		t.Errorf("the directory of the living dev: %v", err)
	}
}

func TestKilledGoRunLeavesNothing(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			goTool := filepath.Join(t.TempDir(), "go") // the name is all by which dev knows it
			if err := os.Symlink(program, goTool); err != nil {
				t.Fatal(err)
			}
			d := startProgram(t, exec.Command(goTool, append([]string{"dev"}, anyPorts()...)...), "go")
			d.expectReady("node-1", "node-2", "node-3")
			if d.pid == d.cmd.Process.Pid {
				t.Fatal("the test does not run dev below another process")
			}
			d.signal(d.cmd.Process.Pid, sig)
			d.expectEnd() // comes when the last process that holds stdout has ended: dev too
			d.ghosts.expectDeaths(t, d.all()...)
			if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
				t.Errorf("the temporary directory %s is still there", d.dir)
			}
		})
	}
}

func TestASecondSignalKillsNodesThatDoNotEnd(t *testing.T) {
	t.Setenv(stuckVariable, "1")
	d := startDev(t, "--nodes", "2")
	d.expectReady("node-1", "node-2")
	d.signal(d.pid, syscall.SIGTERM)
	d.signal(d.pid, syscall.SIGINT)
	if code := d.expectEnd(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	d.ghosts.expectDeaths(t, d.all()...)
}

func TestDevKeepsItsDirectory(t *testing.T) {
	dir := t.TempDir()
	d := startDev(t, "--nodes", "1", "--dir", dir)
	d.expectReady("node-1")
	if d.dir != dir {
		t.Errorf("the data is in %s", d.dir)
	}
	second := runHere(t, openFake, append([]string{"dev", "--dir", dir}, anyPorts()...)...)
	want := fmt.Sprintf("holdfast dev: --dir %s is in use by another holdfast dev (pid %d)\n", dir, d.pid)
	if second.code != exitRefused || second.stderr != want || second.stdout != "" {
		t.Errorf("a second dev in the directory: %+v, want %q", second, want)
	}
	d.signal(d.pid, syscall.SIGTERM)
	d.expectEnd()
	if _, err := os.Stat(filepath.Join(dir, "node-1")); err != nil {
		t.Errorf("the node's directory is gone: %v", err)
	}
	again := startDev(t, "--nodes", "1", "--dir", dir)
	again.expectReady("node-1")
}

func TestDevEndsWhenANodeRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "node-2"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node-2", "foreign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, "--dir", dir)
	if code := d.expectEnd(); code != exitRefused {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"node-2: holdfast server: --dir " + filepath.Join(dir, "node-2") + ": belongs to another cluster\n",
		"holdfast dev: node-2 refused to start; its reason stands above and in " + filepath.Join(dir, "node-2") + ".log\n",
	} {
		if !strings.Contains(d.stderr.String(), want) {
			t.Errorf("stderr lacks %q", want)
		}
	}
}

func TestDevOutlivesTheReaderOfItsLines(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	g := watchNodes(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append([]string{"dev", "--nodes", "1"}, anyPorts()...)...)
	cmd.Env = append(os.Environ(), roleVariable+"=holdfast", watchVariable+"="+g.addr, "TMPDIR="+t.TempDir())
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(r)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "ready") {
	}
	_, _ = r.Close(), w.Close()
	// A death and a revival, whose lines nobody reads.
	if err := syscall.Kill(g.expectBirth(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	g.expectBirth(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("dev did not end in order: %v", err)
	}
}

// takeSecondOfTwo listens on a port whose predecessor is free, below those that the system gives to outgoing connections:
// nobody takes the free one in passing.
func takeSecondOfTwo(t *testing.T) net.Listener {
	t.Helper()
	for port := 20000 + os.Getpid()%5000*2; port < 32000; port += 2 {
		first, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		second, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port+1))
		first.Close()
		if err == nil {
			return second
		}
	}
	t.Fatal("no two ports in a row are free")
	return nil
}

func TestDevRefusesATakenPortBeforeItStartsAnything(t *testing.T) {
	taken := takeSecondOfTwo(t)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	dir := filepath.Join(t.TempDir(), "data")
	for name, base := range map[string]int{"node-1": port, "node-2": port - 1} {
		args := append(append([]string{"dev"}, anyPorts()...), "--dir", dir, "--http-port", strconv.Itoa(base), "--nodes", name[len(name)-1:])
		got := runHere(t, openFake, args...)
		want := fmt.Sprintf("holdfast dev: 127.0.0.1:%d is taken by %s (pid %d); stop that, or move this with --http-port\n", port, processName(os.Getpid()), os.Getpid())
		if got.code != exitRefused || got.stderr != want || got.stdout != "" {
			t.Errorf("the port of %s: got %+v, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was made")
	}
}

func TestDevRefusesFlagsThatItsNodesWould(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--nodes 0", "--nodes 0: want 1 to 16"},
		{"--nodes 17", "--nodes 17: want 1 to 16"},
		{"--nodes 2 --resp-port 65535", "--resp-port 65535: node-2 would get 65536, and 65535 is the last"},
		{"--resp-port 70000", "--resp-port 70000: want 0 to 65535"},
		{"--sync sometimes", `--sync "sometimes": want always, os or none`},
		{"--memory 1MiB", "--memory: want at least 16 MiB"},
	} {
		args := append(append([]string{"dev"}, anyPorts()...), strings.Fields(c.args)...)
		got := runHere(t, openFake, args...)
		if want := "holdfast dev: " + c.want + "\n"; got.code != exitRefused || got.stderr != want {
			t.Errorf("%s: got %+v, want %q", c.args, got, want)
		}
	}
}

func TestAtMostSixteenNodes(t *testing.T) {
	f := devFlags{nodes: DevNodesMax, sync: "os", logLevel: "info", memory: 128 << 20}
	if err := f.check(); err != nil {
		t.Error(err)
	}
	nodes, err := f.plan()
	if err != nil || len(nodes) != DevNodesMax {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
}

func TestNodesShareTheCores(t *testing.T) {
	for name, c := range map[string]struct {
		environ      []string
		nodes, cores int
		want         []string
	}{
		"each node has at least one core":       {nil, 3, 2, []string{"GOMAXPROCS=1"}},
		"what does not divide is rounded up":    {nil, 3, 8, []string{"GOMAXPROCS=3"}},
		"one node has them all":                 {nil, 1, 8, []string{"GOMAXPROCS=8"}},
		"what the user set stays":               {[]string{"GOMAXPROCS=5"}, 3, 8, []string{"GOMAXPROCS=5"}},
		"flags were for dev, other things pass": {[]string{"HOLDFAST_NODES=3", "TZ=UTC"}, 3, 3, []string{"TZ=UTC", "GOMAXPROCS=1"}},
	} {
		if got := nodeEnviron(c.environ, c.nodes, c.cores); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
