package cart

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode"
	"unicode/utf8"
)

// New returns the service over the clients, of which there is at least one, each connected to some node of one cluster:
//
//	POST   /cart/{user}/items         {"item": "book", "qty": 1}
//	DELETE /cart/{user}/items/{item}
//	GET    /cart/{user}
//
// Each answers the cart as {"items": [{"item", "qty"}]}, or {"error": "..."} with 400 (what is wrong with the request), 409 (the
// cart is full), 500 (what is stored is not a cart) or 503 (the cluster did not take it; it may still turn up, and doing
// it again does no harm if the POST bears an Idempotency-Key header: additions of the same key count once). Takes 5 s at most.
func New(clients ...Client) http.Handler {
	if len(clients) == 0 {
		panic("cart: no clients")
	}
	h := &handler{&carts{clients: clients, now: time.Now}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cart/{user}/items", h.answer(h.add))
	mux.HandleFunc("DELETE /cart/{user}/items/{item}", h.answer(h.remove))
	mux.HandleFunc("GET /cart/{user}", h.answer(h.show))
	return mux
}

type handler struct{ carts *carts }

// badRequest is the client's mistake, in words.
type badRequest string

func (b badRequest) Error() string { return string(b) }

func (h *handler) add(ctx context.Context, user string, r *http.Request) (Cart, error) {
	var line Line
	body := json.NewDecoder(r.Body)
	body.DisallowUnknownFields()
	if err := body.Decode(&line); err != nil {
		return Cart{}, badRequest(`want {"item": "book", "qty": 1}: ` + err.Error())
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return Cart{}, badRequest("want one object, and nothing after it")
	}
	if err := checkText("item", line.Item, ItemBytesMax); err != nil {
		return Cart{}, err
	}
	if line.Qty < 1 || line.Qty > QtyMax {
		return Cart{}, badRequest(fmt.Sprintf("qty: want 1 to %d", QtyMax))
	}
	id := r.Header.Get("Idempotency-Key")
	if id == "" {
		id = rand.Text()
	}
	if err := checkText("Idempotency-Key", id, IDBytesMax); err != nil {
		return Cart{}, err
	}
	return h.carts.change(ctx, user, func(c Cart) (Cart, error) { return c.Add(id, line.Item, line.Qty) })
}

// remove takes away the additions that the first read shows, and in later tries the same ones: an addition that arrives
// between two tries was not seen by whoever asked, and stays.
func (h *handler) remove(ctx context.Context, user string, r *http.Request) (Cart, error) {
	item := r.PathValue("item")
	if err := checkText("item", item, ItemBytesMax); err != nil {
		return Cart{}, err
	}
	c, err := h.carts.load(ctx, user)
	if err != nil {
		return Cart{}, err
	}
	ids := c.Seen(item)
	if len(ids) == 0 {
		return c, nil
	}
	return h.carts.change(ctx, user, func(c Cart) (Cart, error) { return c.Remove(ids, h.carts.now()), nil })
}

func (h *handler) show(ctx context.Context, user string, _ *http.Request) (Cart, error) {
	return h.carts.load(ctx, user)
}

// answer wraps what all requests share: bounds, the user, and the reply.
func (h *handler) answer(act func(context.Context, string, *http.Request) (Cart, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestBudget)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, BodyBytesMax)
		user := r.PathValue("user")
		err := checkText("user", user, UserBytesMax)
		var c Cart
		if err == nil {
			c, err = act(ctx, user, r)
		}
		if err != nil {
			reply(w, statusOf(err), map[string]string{"error": err.Error()})
			return
		}
		reply(w, http.StatusOK, map[string][]Line{"items": c.Lines()})
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone away needs no answer
}

// statusOf turns an error into the HTTP status that says whose trouble it is.
func statusOf(err error) int {
	switch {
	case errors.As(err, new(badRequest)):
		return http.StatusBadRequest
	case errors.Is(err, ErrFull):
		return http.StatusConflict
	case errors.Is(err, ErrDamaged):
		return http.StatusInternalServerError
	}
	return http.StatusServiceUnavailable
}

// checkText allows what can stand in a key and be read by people.
func checkText(what, text string, bytesMax int) error {
	if text == "" || len(text) > bytesMax || !utf8.ValidString(text) {
		return badRequest(fmt.Sprintf("%s: want 1 to %d bytes of UTF-8", what, bytesMax))
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return badRequest(what + ": has a control character")
		}
	}
	return nil
}
