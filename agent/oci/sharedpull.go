package oci

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"go.podman.io/image/v5/docker/reference"

	"berth/agent"
)

// sharedPull is one pull that several callers wait for. It ends early only when none is left.
type sharedPull struct {
	done   chan struct{}
	cancel context.CancelCauseFunc
	img    agent.Image
	err    error
	users  int // guarded by Images.mu

	// mu guards what follows.
	mu          sync.Mutex
	progress    []func(done, total int64)
	last, total int64
}

func (p *sharedPull) report(done, total int64) {
	p.mu.Lock()
	p.last, p.total = done, total
	fs := p.progress
	p.mu.Unlock()
	for _, f := range fs {
		f(done, total)
	}
}

func (p *sharedPull) join(f func(done, total int64)) {
	if f == nil {
		return
	}
	p.mu.Lock()
	p.progress = append(p.progress[:len(p.progress):len(p.progress)], f)
	last, total := p.last, p.total
	p.mu.Unlock()
	if total > 0 {
		f(last, total)
	}
}

// pullShared pulls, or waits for a pull of the same image with the same login that is under way.
func (im *Images) pullShared(ctx context.Context, named reference.Named, opts agent.PullOptions, tries int) (agent.Image, error) {
	key := fmt.Sprintf("%s %x", named, sha256.Sum256([]byte(opts.Username+"\x00"+opts.Password)))
	im.mu.Lock()
	p := im.pulls[key]
	if p == nil {
		pctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		p = &sharedPull{done: make(chan struct{}), cancel: cancel}
		im.pulls[key] = p
		go func() {
			o := opts
			o.Progress = p.report
			p.img, p.err = im.pull(pctx, named, o, tries)
			im.mu.Lock()
			if im.pulls[key] == p {
				delete(im.pulls, key)
			}
			im.mu.Unlock()
			cancel(nil)
			close(p.done)
		}()
	}
	p.users++
	im.mu.Unlock()
	p.join(opts.Progress)
	select {
	case <-p.done:
		return p.img, p.err
	case <-ctx.Done():
	}
	im.mu.Lock()
	p.users--
	last := p.users == 0
	if last && im.pulls[key] == p {
		delete(im.pulls, key)
	}
	im.mu.Unlock()
	if last {
		p.cancel(context.Canceled)
		<-p.done
	}
	err := context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return agent.Image{}, pullError("pull timed out: "+err.Error(), err)
	}
	return agent.Image{}, pullError("context canceled", err)
}
