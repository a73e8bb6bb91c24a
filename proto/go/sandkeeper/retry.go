package sandkeeper

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	maxTries     = 3
	maxRetryWait = 2 * time.Second
)

// retry makes a call that is safe to repeat, up to three times while the answer is Unavailable. The timeout is for all
// tries and the waits between them.
func retry[T any](ctx context.Context, timeout time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	end, _ := ctx.Deadline()
	waits := newBackoff(maxRetryWait)
	for tries := 1; ; tries++ {
		answer, err := call(ctx)
		var failure *Error
		if !errors.As(err, &failure) || failure.Code != codes.Unavailable || tries == maxTries {
			return answer, err
		}
		wait := failure.RetryDelay
		if wait == 0 {
			wait = waits.wait(0)
		}
		if time.Until(end) <= wait {
			return answer, err
		}
		pause(ctx, wait)
	}
}
