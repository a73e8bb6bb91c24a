package sandkeeper

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An Error says why a call was refused or failed. A program that fails is not one: that is a finished event with its
// exit code.
type Error struct {
	// Code is the canonical code. A connection that broke or was never made is codes.Unavailable.
	Code codes.Code
	// Reason is the server's, such as QUOTA_EXCEEDED; the code's name when the failure is not the server's own.
	Reason string
	// Message says in one line what to do.
	Message string
	// Metadata holds the varying parts of the message by lower camel case keys.
	Metadata map[string]string
	// Violations are the fields that were not accepted; empty unless the request was invalid.
	Violations []FieldViolation
	// RetryDelay is after how long another try may succeed; 0 when waiting does not help.
	RetryDelay time.Duration
	// Quota holds the figures of a refusal by a limit; nil for anything else.
	Quota *QuotaExceeded

	status *status.Status
	cause  error
}

// A FieldViolation is a field of a request that the server did not accept.
type FieldViolation struct {
	// Field is its path, such as resources.cpu_cores; empty for the message as a whole.
	Field string
	// Description says what is wrong with it.
	Description string
}

// QuotaExceeded holds the figures of a refusal because a limit has not enough left; those of money in nano-USD: 1 USD is
// 1,000,000,000.
type QuotaExceeded struct {
	// LimitID names the limit that refused; of several, the one that resets last.
	LimitID string
	// Resource is what it limits, such as ALL_SPEND or CONCURRENT_SANDBOXES.
	Resource string
	// RemainingNanoUSD is what is left of a limit of money.
	RemainingNanoUSD int64
	// NeededNanoUSD is what the call needed of a limit of money.
	NeededNanoUSD int64
	// Remaining is what is left of a limit of sandboxes, cores or MiB.
	Remaining int64
	// ResetTime is when its next period begins; zero for a limit that never resets.
	ResetTime time.Time
}

// Error tells everything in one line.
func (e *Error) Error() string {
	var line strings.Builder
	name := codeName(e.Code)
	line.WriteString(name)
	if e.Reason != name {
		line.WriteString(" " + e.Reason)
	}
	if e.Message != "" {
		line.WriteString(": " + e.Message)
	}
	if len(e.Metadata) > 0 {
		var figures []string
		for _, key := range slices.Sorted(maps.Keys(e.Metadata)) {
			figures = append(figures, key+"="+e.Metadata[key])
		}
		line.WriteString(" {" + strings.Join(figures, ", ") + "}")
	}
	for _, violation := range e.Violations {
		fmt.Fprintf(&line, "; %s: %s", violation.Field, violation.Description)
	}
	return line.String()
}

// Unwrap returns the context's error when the call ended with its context or its deadline.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus returns what gRPC said, for status.FromError.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// hopeless is how gRPC words what another try would not help: a message that cannot be written or read, a closed client.
var hopeless = regexp.MustCompile(
	`^grpc: (error while marshaling|failed to unmarshal|the client connection is closing)`)

// toError turns what gRPC returns into what callers see. Details of unknown types are passed over: newer servers may add
// some.
func toError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	said := status.Convert(err)
	e := &Error{Code: said.Code(), Message: said.Message(), status: said, cause: ctx.Err()}
	if e.Code == codes.DeadlineExceeded {
		// The server, which is told of the deadline, may see it pass before the context does.
		e.cause = context.DeadlineExceeded
	}
	own := false
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			own = true
			e.Reason = detail.GetReason()
			e.Metadata = detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				e.Violations = append(e.Violations, FieldViolation{violation.GetField(), violation.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryDelay = detail.GetRetryDelay().AsDuration()
		}
	}
	if !own {
		if lost(e.Code) && e.cause == nil && !hopeless.MatchString(e.Message) {
			e.Code = codes.Unavailable
		}
		e.Reason = codeName(e.Code)
	}
	if e.Reason == "QUOTA_EXCEEDED" {
		e.Quota = quotaExceeded(e.Metadata)
	}
	return e
}

// lost says whether a connection that breaks may show itself as a code. The server's own refusals carry ErrorInfo and are
// told by that.
func lost(code codes.Code) bool {
	switch code {
	case codes.Unavailable, codes.Aborted, codes.Canceled, codes.Internal, codes.Unknown:
		return true
	default:
		return false
	}
}

// quotaExceeded reads the figures; one that a newer server leaves out stays zero.
func quotaExceeded(metadata map[string]string) *QuotaExceeded {
	quota := &QuotaExceeded{LimitID: metadata["limitId"], Resource: metadata["resource"]}
	quota.Remaining, _ = strconv.ParseInt(metadata["remaining"], 10, 64)
	quota.RemainingNanoUSD, _ = strconv.ParseInt(metadata["remainingNanoUsd"], 10, 64)
	quota.NeededNanoUSD, _ = strconv.ParseInt(metadata["neededNanoUsd"], 10, 64)
	quota.ResetTime, _ = time.Parse(time.RFC3339Nano, metadata["resetTime"])
	return quota
}

// localError makes the error for a failure that the client itself found.
func localError(c codes.Code, format string, arguments ...any) *Error {
	said := status.Newf(c, format, arguments...)
	return &Error{Code: c, Reason: codeName(c), Message: said.Message(), status: said}
}

// codeName returns the canonical name of a code, such as RESOURCE_EXHAUSTED.
func codeName(c codes.Code) string { return code.Code(c).String() }
