package main

import "syscall"

// childAttributes keeps the terminal's signals from the nodes, which dev stops in order, and has the kernel kill them when the
// thread that started them ends. SIGKILL, since a node that is stopped (SIGSTOP) must not outlive dev either; an acknowledged
// write survives it at --sync os.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
