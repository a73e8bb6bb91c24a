package sandkeeper

import (
	"slices"
	"testing"
	"time"
)

func TestWaitsDoubleUpToTheLongest(t *testing.T) {
	b := backoff{next: firstWait, max: 5 * time.Second, random: func() float64 { return 0 }}
	var waits []int64
	for range 8 {
		waits = append(waits, b.wait(0).Milliseconds())
	}
	if !slices.Equal(waits, []int64{100, 200, 400, 800, 1600, 3200, 5000, 5000}) {
		t.Errorf("waits: %v ms", waits)
	}
}

func TestChanceShortensAWaitByUpToAHalf(t *testing.T) {
	b := backoff{next: firstWait, max: 5 * time.Second, random: func() float64 { return 1 }}
	if wait := b.wait(0); wait != 50*time.Millisecond {
		t.Errorf("wait: %v", wait)
	}
}

func TestAWaitIsNeverShorterThanTheServerAskedFor(t *testing.T) {
	if wait := newBackoff(maxWait).wait(9 * time.Second); wait != 9*time.Second {
		t.Errorf("wait: %v", wait)
	}
}
