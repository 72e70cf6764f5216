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
	"time"
)

// work is where the sandbox keeps what a run writes. It is in memory, and no other process sees it.
const work = "/run/faults"

// outside runs this program again in a sandbox for each cluster, one after the other, and sums up.
func outside(ctx context.Context, o options) error {
	if why := impossible(); why != nil {
		if os.Getenv("CI") == "true" {
			return fmt.Errorf("CI=true, and yet: %w", why)
		}
		fmt.Println("faults: not run:", why)
		return nil
	}
	failed := 0
	for _, size := range o.sizes {
		if err := sandbox(ctx, o, size); err != nil {
			failed++
			fmt.Printf("faults: %d nodes: %v\n", size, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d clusters failed; again with: make faults DURATION=%v SEED=%d", failed, len(o.sizes), o.duration, o.seed)
	}
	fmt.Printf("faults: ok: %d clusters under faults for %v, seed %d\n", len(o.sizes), o.duration, o.seed)
	return nil
}

// sandbox runs one cluster for its share of the duration. The sandbox's first process ends with this one, and everything in it
// with that.
func sandbox(ctx context.Context, o options, size int) error {
	// The kernel kills the child when the thread that started it ends, so that this one must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-inside", "-holdfast", o.program, "-logs", fmt.Sprintf("%s-%d", o.logs, size),
		"-duration", (o.duration / time.Duration(len(o.sizes))).String(), "-seed", fmt.Sprint(o.seed), "-nodes", fmt.Sprint(size),
		"-clients", fmt.Sprint(o.clients), "-pace", o.pace.String(), "-faults", o.only, "-plant", o.plant)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Unshareflags: syscall.CLONE_NEWNS, // Go makes all mounts private with this
		Setpgid:      true,                // an interrupt at the terminal is this process's alone
		Pdeathsig:    syscall.SIGKILL,
	}
	return cmd.Run()
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
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, fmt.Sprint("size=", runBytes)); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return errors.Join(os.Mkdir("/run/netns", 0o755), os.Mkdir(work, 0o755))
}
