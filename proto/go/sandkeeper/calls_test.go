package sandkeeper_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"sandkeeper.dev/go/sandkeeper"
	"sandkeeper.dev/go/sandkeeperv1"
)

func TestASandboxIsAskedForWithTheKeyAndARequestID(t *testing.T) {
	var asked *sandkeeperv1.CreateSandboxRequest
	var headers metadata.MD
	server := &fakeServer{createSandbox: func(
		ctx context.Context, request *sandkeeperv1.CreateSandboxRequest,
	) (*sandkeeperv1.Sandbox, error) {
		asked = request
		headers, _ = metadata.FromIncomingContext(ctx)
		return &sandkeeperv1.Sandbox{SandboxId: sandboxID}, nil
	}}
	request := &sandkeeperv1.CreateSandboxRequest{Timeout: durationpb.New(90 * time.Second)}
	sandbox, err := connect(t, server.start(t).target).CreateSandbox(t.Context(), request)
	if err != nil || sandbox.GetSandboxId() != sandboxID {
		t.Fatalf("got %v, %v", sandbox, err)
	}
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if !uuid.MatchString(asked.GetRequestId()) || asked.GetTimeout().AsDuration() != 90*time.Second {
		t.Errorf("asked for %v", asked)
	}
	if request.GetRequestId() != "" {
		t.Error("the caller's request was changed")
	}
	if key := headers.Get("authorization"); len(key) != 1 || key[0] != "Bearer sk_test" {
		t.Errorf("authorization: %v", key)
	}
	if agent := headers.Get("user-agent"); len(agent) != 1 ||
		!regexp.MustCompile(`^sandkeeper-client-go/`).MatchString(agent[0]) {
		t.Errorf("user-agent: %v", agent)
	}
}

// failing answers with a failure so many times, then with a sandbox.
func failing(failures int32, failure error) (*fakeServer, *atomic.Int32) {
	var calls atomic.Int32
	return &fakeServer{getSandbox: func(context.Context) (*sandkeeperv1.Sandbox, error) {
		if calls.Add(1) <= failures {
			return nil, failure
		}
		return &sandkeeperv1.Sandbox{SandboxId: sandboxID}, nil
	}}, &calls
}

func TestACallThatIsSafeToRepeat(t *testing.T) {
	soon := refusal(codes.Unavailable, "DATABASE_UNAVAILABLE", retryAfter(20*time.Millisecond))
	t.Run("is tried three times", func(t *testing.T) {
		t.Parallel()
		server, calls := failing(2, soon)
		_, err := connect(t, server.start(t).target).GetSandbox(t.Context(), sandboxID)
		if err != nil || calls.Load() != 3 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
	t.Run("is not tried a fourth time", func(t *testing.T) {
		t.Parallel()
		server, calls := failing(4, soon)
		_, err := connect(t, server.start(t).target).GetSandbox(t.Context(), sandboxID)
		wantError(t, err, codes.Unavailable, "DATABASE_UNAVAILABLE")
		if calls.Load() != 3 {
			t.Errorf("%d calls", calls.Load())
		}
	})
	t.Run("is not tried again when it was refused", func(t *testing.T) {
		t.Parallel()
		server, _ := failing(1, refusal(codes.Internal, "INTERNAL"))
		_, err := connect(t, server.start(t).target).GetSandbox(t.Context(), sandboxID)
		wantError(t, err, codes.Internal, "INTERNAL")
	})
	t.Run("is not tried again when the server asks to wait longer than the call may take", func(t *testing.T) {
		t.Parallel()
		server, _ := failing(1, refusal(codes.Unavailable, "ENGINE_UNAVAILABLE", retryAfter(time.Minute)))
		_, err := connect(t, server.start(t).target).GetSandbox(t.Context(), sandboxID)
		wantError(t, err, codes.Unavailable, "ENGINE_UNAVAILABLE")
	})
	t.Run("is tried again over a new connection", func(t *testing.T) {
		t.Parallel()
		fake, calls := failing(0, nil)
		server := fake.start(t)
		cuts := 0
		intercept := func(http.ResponseWriter, *http.Request) bool {
			if cuts++; cuts <= 2 {
				server.cut()
			}
			return cuts <= 2
		}
		server.intercept.Store(&intercept)
		_, err := connect(t, server.target).GetSandbox(t.Context(), sandboxID)
		if err != nil || calls.Load() != 1 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
	t.Run("a creation keeps its request id", func(t *testing.T) {
		t.Parallel()
		ids := map[string]int{}
		server := &fakeServer{createSandbox: func(
			_ context.Context, request *sandkeeperv1.CreateSandboxRequest,
		) (*sandkeeperv1.Sandbox, error) {
			ids[request.GetRequestId()]++
			if ids[request.GetRequestId()] < 3 {
				return nil, soon
			}
			return &sandkeeperv1.Sandbox{}, nil
		}}
		if _, err := connect(t, server.start(t).target).CreateSandbox(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if len(ids) != 1 {
			t.Errorf("request ids: %v", ids)
		}
	})
}

func TestALimitIsNotSetTwice(t *testing.T) {
	calls := 0
	server := &fakeServer{setLimit: func() error {
		calls++
		return refusal(codes.Unavailable, "DATABASE_UNAVAILABLE", retryAfter(time.Millisecond))
	}}
	_, err := connect(t, server.start(t).target).SetLimit(t.Context(), &sandkeeperv1.SetLimitRequest{})
	wantError(t, err, codes.Unavailable, "DATABASE_UNAVAILABLE")
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestACallThatIsNotAnsweredInTimeIsGivenUp(t *testing.T) {
	server := &fakeServer{getSandbox: func(ctx context.Context) (*sandkeeperv1.Sandbox, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	client := connect(t, server.start(t).target, sandkeeper.WithCallTimeout(100*time.Millisecond))
	_, err := client.GetSandbox(t.Context(), sandboxID)
	wantError(t, err, codes.DeadlineExceeded, "DEADLINE_EXCEEDED")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not context.DeadlineExceeded", err)
	}
}

// refused calls a server that refuses, by its stub.
func refused(t *testing.T, failure error) error {
	t.Helper()
	server := &fakeServer{createSandbox: func(
		context.Context, *sandkeeperv1.CreateSandboxRequest,
	) (*sandkeeperv1.Sandbox, error) {
		return nil, failure
	}}
	client := connect(t, server.start(t).target)
	_, err := client.Sandboxes.CreateSandbox(t.Context(), &sandkeeperv1.CreateSandboxRequest{})
	return err
}

func TestARefusalByALimitCarriesItsFigures(t *testing.T) {
	figures := map[string]string{
		"limitId":          "7",
		"neededNanoUsd":    "9007199254740993",
		"period":           "HOUR",
		"remainingNanoUsd": "9007199254740995",
		"resetTime":        "2026-11-20T22:00:00Z",
	}
	err := refused(t, refusalWith(codes.ResourceExhausted, "QUOTA_EXCEEDED", figures))
	failure := wantError(t, err, codes.ResourceExhausted, "QUOTA_EXCEEDED")
	want := sandkeeper.QuotaExceeded{
		LimitID:          "7",
		RemainingNanoUSD: 9007199254740995,
		NeededNanoUSD:    9007199254740993,
		ResetTime:        time.Date(2026, 11, 20, 22, 0, 0, 0, time.UTC),
	}
	if failure.Quota == nil || *failure.Quota != want {
		t.Errorf("quota: %+v, want %+v", failure.Quota, want)
	}
	if !maps.Equal(failure.Metadata, figures) {
		t.Errorf("metadata: %v", failure.Metadata)
	}
	line := "RESOURCE_EXHAUSTED QUOTA_EXCEEDED: Refused. {limitId=7, neededNanoUsd=9007199254740993, " +
		"period=HOUR, remainingNanoUsd=9007199254740995, resetTime=2026-11-20T22:00:00Z}"
	if failure.Error() != line {
		t.Errorf("error: %s, want %s", failure, line)
	}

	lifetime := refused(t, refusalWith(codes.ResourceExhausted, "QUOTA_EXCEEDED", map[string]string{"limitId": "7"}))
	if failure := wantError(t, lifetime, codes.ResourceExhausted, "QUOTA_EXCEEDED"); !failure.Quota.ResetTime.IsZero() {
		t.Errorf("reset time: %v", failure.Quota.ResetTime)
	}
}

func TestARefusalSaysWhy(t *testing.T) {
	err := refused(t, refusal(codes.InvalidArgument, "INVALID_FIELD", &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "resources.cpu_cores", Description: "9 (expected: 1 to 8)"},
		},
	}))
	failure := wantError(t, err, codes.InvalidArgument, "INVALID_FIELD")
	line := "INVALID_ARGUMENT INVALID_FIELD: Refused.; resources.cpu_cores: 9 (expected: 1 to 8)"
	if failure.Error() != line || len(failure.Violations) != 1 || failure.Quota != nil {
		t.Errorf("error: %+v", failure)
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("gRPC sees %v", status.Code(err))
	}

	err = refused(t, refusal(codes.Aborted, "CONCURRENT_CHANGE", retryAfter(250*time.Millisecond)))
	if failure := wantError(t, err, codes.Aborted, "CONCURRENT_CHANGE"); failure.RetryDelay != 250*time.Millisecond {
		t.Errorf("retry delay: %v", failure.RetryDelay)
	}

	err = refused(t, status.Error(codes.Unimplemented, "No such page."))
	wantError(t, err, codes.Unimplemented, "UNIMPLEMENTED")
}

func TestWhatCannotBeMeantIsRefusedAtOnce(t *testing.T) {
	for _, option := range []sandkeeper.Option{
		sandkeeper.WithCallTimeout(0), sandkeeper.WithGiveUpAfter(-time.Second),
	} {
		if _, err := sandkeeper.Connect("127.0.0.1:1", "sk_test", option); err == nil {
			t.Error("accepted")
		}
	}
	if _, err := sandkeeper.Connect("\x00", "sk_test"); err == nil {
		t.Error("accepted")
	}
}

func TestTLSIsSpokenUnlessToldOtherwise(t *testing.T) {
	fake, calls := failing(0, nil)
	server := httptest.NewUnstartedServer(fake.handler())
	server.Config.ErrorLog = discardLog
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	options := map[string]sandkeeper.Option{
		"the machine's certificates": sandkeeper.WithCallTimeout(time.Minute),
		"plaintext":                  sandkeeper.WithPlaintext(),
		"its own certificate":        sandkeeper.WithTLS(&tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS13}),
	}
	for trust, option := range options {
		client, err := sandkeeper.Connect(server.Listener.Addr().String(), "sk_test", option)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.GetSandbox(t.Context(), sandboxID)
		if trust != "its own certificate" {
			wantError(t, err, codes.Unavailable, "UNAVAILABLE")
		} else if err != nil {
			t.Errorf("trusting %s: %v", trust, err)
		}
		_ = client.Close()
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls came through", calls.Load())
	}
}

func TestADeadlineThatTheServerSeesFirstIsTheContextsErrorToo(t *testing.T) {
	err := refused(t, refusal(codes.DeadlineExceeded, "DEADLINE_EXCEEDED"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not context.DeadlineExceeded", err)
	}
}
