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
	return t.command(ctx, p, "it hands what it holds to the others, and ends once its clients have gone", "LEAVE")
}

func runRemove(ctx context.Context, p *process, args []string) error {
	fs := newFlags("remove")
	t := targetFlags(fs)
	var name string
	if err := p.parse(fs, args, &name); err != nil {
		return err
	}
	return t.command(ctx, p, name+" is struck off; the others take its share over", "REMOVE", name)
}

// command asks the node to do something, and prints what follows from that.
func (t *target) command(ctx context.Context, p *process, follows string, words ...string) error {
	if _, err := t.ask(ctx, append([]string{"HOLDFAST"}, words...)...); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "%s: holdfast status --watch shows how far it is\n", follows)
	return err
}
