//go:build unix

package replica

import "syscall"

// reserve returns zeroed memory outside Go's heap. The system lends a page of it when the page is first written.
func reserve(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

// unreserve gives the memory back. Who touches it after that ends the process.
func unreserve(memory []byte) error { return syscall.Munmap(memory) }
