package sandkeeper

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstWait = 100 * time.Millisecond
	// maxWait is the longest wait before a broken stream, or its connection, is opened again.
	maxWait = 5 * time.Second
)

// A backoff gives the waits between tries: doubling, each shortened at random by up to a half.
type backoff struct {
	next, max time.Duration
	random    func() float64
}

func newBackoff(max time.Duration) *backoff {
	return &backoff{next: firstWait, max: max, random: rand.Float64}
}

// wait returns how long to wait next: never less than the server asked for.
func (b *backoff) wait(asked time.Duration) time.Duration {
	wait := time.Duration(float64(b.next) * (1 - b.random()/2))
	b.next = min(2*b.next, b.max)
	return max(wait, asked)
}

// pause waits, at most until the context ends.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
