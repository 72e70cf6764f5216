package cart

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Client is what the service needs of a go-redis client.
type Client interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

// carts reads and writes carts through any of the clients: every node of the cluster takes every command.
type carts struct {
	clients []Client
	now     func() time.Time
}

// versions are all concurrent versions of a cart, merged, and the context that covers them.
type versions struct {
	cart    Cart
	context string
}

// read returns the cart as one node's quorum has it.
func (s *carts) read(ctx context.Context, node Client, user string) (versions, error) {
	reply, err := node.Do(ctx, "GETV", key(user)).Slice()
	if err != nil {
		return versions{}, err
	}
	if len(reply) != 2 {
		return versions{}, fmt.Errorf("cart: GETV answers %d fields, want 2", len(reply))
	}
	seen, isText := reply[0].(string)
	siblings, isList := reply[1].([]any)
	if !isText || !isList {
		return versions{}, errors.New("cart: GETV does not answer a context and a list")
	}
	v := versions{context: seen}
	for _, sibling := range siblings {
		value, ok := sibling.(string)
		if !ok {
			return versions{}, errors.New("cart: GETV's list has something else than strings")
		}
		c, err := Decode([]byte(value))
		if err != nil {
			return versions{}, err
		}
		v.cart = Merge(v.cart, c)
	}
	return v, nil
}

// load returns the cart.
func (s *carts) load(ctx context.Context, user string) (Cart, error) {
	var v versions
	err := s.try(ctx, func(node Client) (err error) {
		v, err = s.read(ctx, node, user)
		return err
	})
	return v.cart, err
}

// change reads the cart, changes it, and writes it over all versions that were read.
//
// Every failure may be tried again from the beginning, even -MAYBE and a lost connection, after which the write may have
// happened: a change that is applied to a cart that has it already alters nothing (Add and Remove go by ids that the request
// brings along). If it had not happened yet and happens later, it turns up as a concurrent version with the same ids,
// and merging counts them once. PUTCTX with the context of the read never overwrites what somebody else wrote meanwhile.
func (s *carts) change(ctx context.Context, user string, change func(Cart) (Cart, error)) (Cart, error) {
	var changed Cart
	err := s.try(ctx, func(node Client) error {
		v, err := s.read(ctx, node, user)
		if err != nil {
			return err
		}
		if changed, err = change(v.cart); err != nil {
			return err
		}
		changed = changed.Forget(s.now())
		return node.Do(ctx, "PUTCTX", key(user), v.context, changed.Encode()).Err()
	})
	return changed, err
}

// try runs act on one node after the other until it succeeds, fails for good, or the budget is spent.
func (s *carts) try(ctx context.Context, act func(Client) error) error {
	var err error
	for i := range TriesMax {
		if err = act(s.clients[i%len(s.clients)]); err == nil || final(err) {
			return err
		}
		select {
		case <-time.After(retryPause << i):
		case <-ctx.Done():
			return fmt.Errorf("cart: no node answered in time: %w", err)
		}
	}
	return fmt.Errorf("cart: %d tries failed: %w", TriesMax, err)
}

// final reports whether trying again cannot help: the cart itself is the trouble, or a node refuses the command as such. What
// a node says of its present condition is worth another try, on another node.
func final(err error) bool {
	if errors.Is(err, ErrFull) || errors.Is(err, ErrDamaged) {
		return true
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false // the network
	}
	for _, passing := range []string{"NOQUORUM", "MAYBE", "TRYAGAIN", "BADCONTEXT", "TOOBIG", "LOADING", "CLUSTERDOWN"} {
		if strings.HasPrefix(reply.Error(), passing) {
			return false
		}
	}
	return true
}

func key(user string) string { return "cart:" + user }
