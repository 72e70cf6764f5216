package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// portHolder says who listens on the address's port, " by redis-server (pid 812)", or "" if that cannot be found out: other
// users' processes are hidden from all but root. Cost: a look at every file that every process has open.
func portHolder(addr string) string {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return ""
	}
	var sockets []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		sockets = append(sockets, listenersOn(filepath.Join("/proc/net", table), uint16(port))...)
	}
	return socketHolder(sockets)
}

// listenersOn returns the sockets that one of the kernel's tables shows to listen on the port, as /proc names them. In such a
// table the fields are: number, local address, remote address, state (0A listens, 07 is any UDP socket), ..., inode (tenth).
func listenersOn(path string, port uint16) (sockets []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			continue
		}
		if fields[3] == "0A" || fields[3] == "07" {
			sockets = append(sockets, "socket:["+fields[9]+"]")
		}
	}
	return sockets
}

// socketHolder finds a process that has one of the sockets open.
func socketHolder(sockets []string) string {
	if len(sockets) == 0 {
		return ""
	}
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range open {
		if file, err := os.Readlink(fd); err != nil || !slices.Contains(sockets, file) {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		n, err := strconv.Atoi(pid)
		if err != nil {
			continue
		}
		return fmt.Sprintf(" by %s (pid %d)", processName(n), n)
	}
	return ""
}

// processName returns the name of a running program, or "another program".
func processName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "another program"
	}
	return strings.TrimSpace(string(name))
}
