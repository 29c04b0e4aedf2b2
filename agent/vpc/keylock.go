package vpc

import (
	"context"
	"sync"
)

// keyLock lets one caller at a time work on one key. The zero value is ready.
type keyLock struct {
	mu   sync.Mutex // guards busy
	busy map[string]chan struct{}
}

// lock waits until nobody works on the key; the returned function lets the next one in.
func (k *keyLock) lock(ctx context.Context, key string) (func(), error) {
	for {
		k.mu.Lock()
		wait, taken := k.busy[key]
		if !taken {
			free := make(chan struct{})
			if k.busy == nil {
				k.busy = map[string]chan struct{}{}
			}
			k.busy[key] = free
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.busy, key)
				k.mu.Unlock()
				close(free)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
