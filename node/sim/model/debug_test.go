package model

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/holdfastdb/holdfast/node/sim/check"
)

func TestDebug(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		t.Skip()
	}
	s := Generate(seed, nil)
	h, _ := Run(s)
	v := check.All(h)
	if len(v) == 0 {
		t.Fatal("ok")
	}
	name := v[0].Name
	s = Shrink(s, 2000, func(s *Script) bool {
		h, _ := Run(s)
		for _, v := range check.All(h) {
			if v.Name == name {
				return true
			}
		}
		return false
	})
	h, _ = Run(s)
	fmt.Print(s)
	for _, v := range check.All(h) {
		fmt.Println(v)
	}
	for _, op := range h.Ops {
		fmt.Printf("%+v\n", *op)
	}
	for _, m := range h.Mints {
		fmt.Printf("%+v\n", *m)
	}
	for _, r := range h.Reads {
		fmt.Printf("%+v\n", *r)
	}
}
