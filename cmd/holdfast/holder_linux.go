package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// portHolder says who listens where the address would, " by redis-server (pid 812)", or "" if that cannot be found out: other
// users' processes are hidden from all but root. Cost: a look at every file that every process has open.
func portHolder(addr string) string {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return ""
	}
	ip, _ := netip.ParseAddr(host) // a name, or none, may be any address
	var sockets []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		sockets = append(sockets, listenersOn(filepath.Join("/proc/net", table), netip.AddrPortFrom(ip.Unmap(), uint16(port)))...)
	}
	return socketHolder(sockets)
}

// listenersOn returns the sockets that one of the kernel's tables shows to listen where addr would, as /proc names them. In such a
// table the fields are: number, local address, remote address, state (0A listens, 07 is any UDP socket), ..., inode (tenth).
func listenersOn(path string, addr netip.AddrPort) (sockets []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || !clashes(fields[1], addr) {
			continue
		}
		if fields[3] == "0A" || fields[3] == "07" {
			sockets = append(sockets, "socket:["+fields[9]+"]")
		}
	}
	return sockets
}

// clashes reports whether a listener at a local address as the kernel prints it, "0100007F:18EB", leaves no room for one at addr:
// the port is the same, and so is the address, or either means all. Other loopback addresses are other places.
func clashes(local string, addr netip.AddrPort) bool {
	text, port, _ := strings.Cut(local, ":")
	words, err := hex.DecodeString(text)
	if err != nil || port != fmt.Sprintf("%04X", addr.Port()) {
		return false
	}
	for i := 0; i+4 <= len(words); i += 4 { // printed as numbers of this machine, four bytes each
		binary.BigEndian.PutUint32(words[i:], binary.NativeEndian.Uint32(words[i:]))
	}
	theirs, ok := netip.AddrFromSlice(words)
	return ok && (theirs.IsUnspecified() || !addr.Addr().IsValid() || addr.Addr().IsUnspecified() || theirs.Unmap() == addr.Addr())
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
