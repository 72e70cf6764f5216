package main

import (
	"context"
	"fmt"
)

func runLeave(ctx context.Context, p *process, args []string) error {
	fs := newFlags("leave")
	t := targetFlags(fs)
	if err := p.parse(fs, args); err != nil {
		return err
	}
	return t.command(ctx, p, "LEAVE")
}

func runRemove(ctx context.Context, p *process, args []string) error {
	fs := newFlags("remove")
	t := targetFlags(fs)
	var name string
	if err := p.parse(fs, args, &name); err != nil {
		return err
	}
	return t.command(ctx, p, "REMOVE", name)
}

// command asks the node to do something and prints what it says.
func (t *target) command(ctx context.Context, p *process, words ...string) error {
	reply, err := t.ask(ctx, append([]string{"HOLDFAST"}, words...)...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", reply)
	return err
}
