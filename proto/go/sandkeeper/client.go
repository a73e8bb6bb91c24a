package sandkeeper

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"sandkeeper.dev/go/sandkeeperv1"
)

// Version is the client's own.
const Version = "0.1.0"

// maxMessageBytes is the largest answer: a bundle of results may be larger than gRPC's default of 4 MiB.
const maxMessageBytes = 32 << 20

// A Client is a connection to Sandkeeper, safe for use by many goroutines at once.
//
// Calls that are safe to repeat are tried up to three times while the server is unavailable, within the time of the call.
// The stubs give every other call of the contract as it is, without repetition, and return the same errors.
type Client struct {
	// Sandboxes creates, runs and ends sandboxes.
	Sandboxes sandkeeperv1.SandboxServiceClient
	// Executions looks at executions and signals them.
	Executions sandkeeperv1.ExecutionServiceClient
	// Files reads and writes files.
	Files sandkeeperv1.FileServiceClient
	// Contexts keeps contexts, whose variables live on.
	Contexts sandkeeperv1.ContextServiceClient
	// Templates lists the templates.
	Templates sandkeeperv1.TemplateServiceClient
	// Engines shows what runs the sandboxes.
	Engines sandkeeperv1.EngineServiceClient
	// Pricing keeps the prices.
	Pricing sandkeeperv1.PricingServiceClient
	// Quotas keeps the limits.
	Quotas sandkeeperv1.QuotaServiceClient
	// Costs shows what was billed.
	Costs sandkeeperv1.CostServiceClient
	// Webhooks sends alerts to webhooks.
	Webhooks sandkeeperv1.WebhookServiceClient
	// Secrets keeps secrets by name.
	Secrets sandkeeperv1.SecretServiceClient
	// Audit shows and verifies who did what.
	Audit sandkeeperv1.AuditServiceClient
	// Admin keeps tenants and API keys.
	Admin sandkeeperv1.AdminServiceClient

	connection  *grpc.ClientConn
	callTimeout time.Duration
	giveUpAfter time.Duration
}

// An Option changes how a client connects and calls.
type Option func(*settings)

type settings struct {
	credentials credentials.TransportCredentials
	callTimeout time.Duration
	giveUpAfter time.Duration
}

// WithPlaintext speaks without TLS: for a server on this machine, or behind something that adds TLS.
func WithPlaintext() Option {
	return func(s *settings) { s.credentials = insecure.NewCredentials() }
}

// WithTLS sets what TLS trusts and shows, in place of the machine's own certificates.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.credentials = credentials.NewTLS(config) }
}

// WithCallTimeout sets how long a call that is not a stream may take, with its repetitions: more than zero; 30 seconds by
// default.
func WithCallTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.callTimeout = timeout }
}

// WithGiveUpAfter sets how long a broken stream is tried again without progress: 60 seconds by default, 0 for not at all.
func WithGiveUpAfter(time time.Duration) Option {
	return func(s *settings) { s.giveUpAfter = time }
}

// Connect makes a client of the server at host:port; it connects with its first call. It speaks TLS unless told otherwise.
func Connect(target, key string, options ...Option) (*Client, error) {
	s := settings{
		credentials: credentials.NewTLS(nil),
		callTimeout: 30 * time.Second,
		giveUpAfter: 60 * time.Second,
	}
	for _, option := range options {
		option(&s)
	}
	if s.callTimeout <= 0 {
		return nil, fmt.Errorf("call timeout: %v (expected: more than 0)", s.callTimeout)
	}
	if s.giveUpAfter < 0 {
		return nil, fmt.Errorf("give up after: %v (expected: at least 0)", s.giveUpAfter)
	}
	authorization := "Bearer " + key
	connection, err := grpc.NewClient(
		target,
		grpc.WithTransportCredentials(s.credentials),
		grpc.WithUserAgent("sandkeeper-client-go/"+Version),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// gRPC's own waits grow to two minutes, in which no stream could be opened again.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: firstWait, Multiplier: 2, Jitter: 0.2, MaxDelay: maxWait},
			MinConnectTimeout: 20 * time.Second,
		}),
		grpc.WithUnaryInterceptor(unaryInterceptor(authorization)),
		grpc.WithStreamInterceptor(streamInterceptor(authorization)),
	)
	if err != nil {
		return nil, fmt.Errorf("target: %q (expected: host:port): %w", target, err)
	}
	return &Client{
		Sandboxes:   sandkeeperv1.NewSandboxServiceClient(connection),
		Executions:  sandkeeperv1.NewExecutionServiceClient(connection),
		Files:       sandkeeperv1.NewFileServiceClient(connection),
		Contexts:    sandkeeperv1.NewContextServiceClient(connection),
		Templates:   sandkeeperv1.NewTemplateServiceClient(connection),
		Engines:     sandkeeperv1.NewEngineServiceClient(connection),
		Pricing:     sandkeeperv1.NewPricingServiceClient(connection),
		Quotas:      sandkeeperv1.NewQuotaServiceClient(connection),
		Costs:       sandkeeperv1.NewCostServiceClient(connection),
		Webhooks:    sandkeeperv1.NewWebhookServiceClient(connection),
		Secrets:     sandkeeperv1.NewSecretServiceClient(connection),
		Audit:       sandkeeperv1.NewAuditServiceClient(connection),
		Admin:       sandkeeperv1.NewAdminServiceClient(connection),
		connection:  connection,
		callTimeout: s.callTimeout,
		giveUpAfter: s.giveUpAfter,
	}, nil
}

// Close ends every call that is under way and closes the connection. Sandboxes and executions live on.
func (c *Client) Close() error { return c.connection.Close() }

// CreateSandbox creates a sandbox and returns when it is ready. A nil request asks for the defaults;
// an absent request id is made by the client.
func (c *Client) CreateSandbox(
	ctx context.Context, request *sandkeeperv1.CreateSandboxRequest,
) (*sandkeeperv1.Sandbox, error) {
	repeatable := &sandkeeperv1.CreateSandboxRequest{RequestId: newRequestID()}
	proto.Merge(repeatable, request)
	return retry(ctx, c.callTimeout, func(ctx context.Context) (*sandkeeperv1.Sandbox, error) {
		response, err := c.Sandboxes.CreateSandbox(ctx, repeatable)
		return response.GetSandbox(), err
	})
}

// GetSandbox returns a sandbox, also one that has ended.
func (c *Client) GetSandbox(ctx context.Context, sandboxID string) (*sandkeeperv1.Sandbox, error) {
	request := &sandkeeperv1.GetSandboxRequest{SandboxId: sandboxID}
	return retry(ctx, c.callTimeout, func(ctx context.Context) (*sandkeeperv1.Sandbox, error) {
		response, err := c.Sandboxes.GetSandbox(ctx, request)
		return response.GetSandbox(), err
	})
}

// TerminateSandbox ends a sandbox and returns it as it is then; on an ended one it changes nothing. Its processes may take
// up to the grace, 0 to 4 seconds, after SIGTERM.
func (c *Client) TerminateSandbox(
	ctx context.Context, sandboxID string, grace time.Duration,
) (*sandkeeperv1.Sandbox, error) {
	request := &sandkeeperv1.TerminateSandboxRequest{SandboxId: sandboxID, Grace: durationpb.New(grace)}
	return retry(ctx, c.callTimeout, func(ctx context.Context) (*sandkeeperv1.Sandbox, error) {
		response, err := c.Sandboxes.TerminateSandbox(ctx, request)
		return response.GetSandbox(), err
	})
}

// GetUsage returns what a sandbox used and what was booked for it, running or ended.
func (c *Client) GetUsage(ctx context.Context, sandboxID string) (*sandkeeperv1.SandboxUsage, error) {
	request := &sandkeeperv1.GetSandboxUsageRequest{SandboxId: sandboxID}
	return retry(ctx, c.callTimeout, func(ctx context.Context) (*sandkeeperv1.SandboxUsage, error) {
		response, err := c.Sandboxes.GetSandboxUsage(ctx, request)
		return response.GetUsage(), err
	})
}

// ListCostRecords returns a page of cost records, newest first.
func (c *Client) ListCostRecords(
	ctx context.Context, request *sandkeeperv1.ListCostRecordsRequest,
) (*sandkeeperv1.ListCostRecordsResponse, error) {
	return retry(ctx, c.callTimeout, func(ctx context.Context) (*sandkeeperv1.ListCostRecordsResponse, error) {
		return c.Costs.ListCostRecords(ctx, request)
	})
}

// SetLimit sets what a tenant may spend in a period.
func (c *Client) SetLimit(ctx context.Context, request *sandkeeperv1.SetLimitRequest) (*sandkeeperv1.Limit, error) {
	ctx, cancel := context.WithTimeout(ctx, c.callTimeout)
	defer cancel()
	response, err := c.Quotas.SetLimit(ctx, request)
	return response.GetLimit(), err
}

// DeleteLimit deletes a limit; what was spent stays booked.
func (c *Client) DeleteLimit(ctx context.Context, limitID string) error {
	ctx, cancel := context.WithTimeout(ctx, c.callTimeout)
	defer cancel()
	_, err := c.Quotas.DeleteLimit(ctx, &sandkeeperv1.DeleteLimitRequest{LimitId: limitID})
	return err
}

func unaryInterceptor(authorization string) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, response any, connection *grpc.ClientConn,
		invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
		return toError(ctx, invoke(ctx, method, request, response, connection, options...))
	}
}

func streamInterceptor(authorization string) grpc.StreamClientInterceptor {
	return func(
		ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
		open grpc.Streamer, options ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
		stream, err := open(ctx, description, connection, method, options...)
		if err != nil {
			return nil, toError(ctx, err)
		}
		return translated{stream, ctx}, nil
	}
}

// translated is a stream whose failures are Errors.
type translated struct {
	grpc.ClientStream
	// caller is the caller's context; the stream's own ends with the stream, whoever ended it.
	caller context.Context
}

func (t translated) RecvMsg(message any) error { return t.translate(t.ClientStream.RecvMsg(message)) }

func (t translated) SendMsg(message any) error { return t.translate(t.ClientStream.SendMsg(message)) }

func (t translated) translate(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	return toError(t.caller, err)
}

// newRequestID makes a random UUID.
func newRequestID() string {
	var id [16]byte
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}
