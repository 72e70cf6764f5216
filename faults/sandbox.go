//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// work is where the sandbox keeps what a run writes. It is in memory, and no other process sees it.
const work = "/run/faults"

// outside runs this program again in a sandbox and waits for its end. The sandbox's first process ends with this one, and
// everything in it with that.
func outside(ctx context.Context) error {
	if why := impossible(); why != nil {
		if os.Getenv("CI") == "true" {
			return fmt.Errorf("CI=true, and yet: %w", why)
		}
		fmt.Println("faults: not run:", why)
		return nil
	}
	// The kernel kills the child when the thread that started it ends, so that this one must stay.
	runtime.LockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"-inside"}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Unshareflags: syscall.CLONE_NEWNS, // Go makes all mounts private with this
		Setpgid:      true,                // an interrupt at the terminal is this process's alone
		Pdeathsig:    syscall.SIGKILL,
	}
	err := cmd.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ctx.Err() == nil {
		os.Exit(ended.ExitCode()) // it has told why
	}
	return err
}

// impossible returns what is missing for a run; nil if nothing is.
func impossible() error {
	if os.Geteuid() != 0 {
		return errors.New("only root may make network namespaces and mounts")
	}
	for _, tool := range []struct{ name, from string }{{"ip", "iproute2"}, {"tc", "iproute2"}, {"nft", "nftables"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			return fmt.Errorf("%w (Debian: apt-get install %s)", err, tool.from)
		}
	}
	return nil
}

// furnish mounts what the sandbox needs of its own: its processes, and a place for files and named networks.
func furnish() error {
	if os.Getpid() != 1 {
		return errors.New("-inside is for the sandbox's first process")
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return errors.Join(os.Mkdir("/run/netns", 0o755), os.Mkdir(work, 0o755))
}
