package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dying reports whether a process of ours has ended, or will without ever coming back to its program: SIGKILL is among the signals that
// wait for the whole process. The kernel puts it there before kill(2) returns, and leaves it there until the process is a zombie; what
// waits for one thread is taken earlier. Source: proc(5), /proc/PID/status.
func dying(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return os.IsNotExist(err)
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); name {
		case "State":
			if strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X") {
				return true
			}
		case "ShdPnd":
			pending, err := strconv.ParseUint(value, 16, 64)
			return err == nil && pending&(1<<(syscall.SIGKILL-1)) != 0
		}
	}
	return false
}
