package main

import (
	"os/exec"
	"syscall"
	"testing"
)

func TestAKilledProcessIsKnownAtOnce(t *testing.T) {
	for range 50 {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid := cmd.Process.Pid
		if dying(pid) {
			t.Error("one that lives passes for dead")
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
		if !dying(pid) {
			t.Error("killed, and not known yet")
		}
		_ = cmd.Wait()
		if !dying(pid) {
			t.Error("gone, and not known")
		}
	}
}
