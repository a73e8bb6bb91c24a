package sandkeeper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"sandkeeper.dev/go/sandkeeper"
	"sandkeeper.dev/go/sandkeeperv1"
)

var (
	sandboxID   = "ssssssssssssssssssss"
	executionID = "eeeeeeeeeeeeeeeeeeee"
	work        = sandkeeper.ExecuteOptions{SandboxID: sandboxID, Shell: "work"}
)

// fakeServer answers as a test tells it. What is not told is not implemented.
type fakeServer struct {
	sandkeeperv1.UnimplementedSandboxServiceServer
	sandkeeperv1.UnimplementedFileServiceServer
	sandkeeperv1.UnimplementedQuotaServiceServer

	createSandbox func(context.Context, *sandkeeperv1.CreateSandboxRequest) (*sandkeeperv1.Sandbox, error)
	getSandbox    func(context.Context) (*sandkeeperv1.Sandbox, error)
	setLimit      func() error
	execute       func(*sandkeeperv1.ExecuteRequest, eventStream) error
	attach        func(*sandkeeperv1.AttachExecutionRequest, eventStream) error
	writeFile     func(grpc.ClientStreamingServer[sandkeeperv1.WriteFileRequest, sandkeeperv1.WriteFileResponse]) error
	readFile      func(*sandkeeperv1.ReadFileRequest, grpc.ServerStreamingServer[sandkeeperv1.ReadFileResponse]) error
}

// An eventStream is what both kinds of stream have in common.
type eventStream struct {
	context.Context
	send func(*sandkeeperv1.ExecutionEvent) error
}

func (s eventStream) sendAll(events []*sandkeeperv1.ExecutionEvent) error {
	for _, event := range events {
		if err := s.send(event); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeServer) CreateSandbox(
	ctx context.Context, request *sandkeeperv1.CreateSandboxRequest,
) (*sandkeeperv1.CreateSandboxResponse, error) {
	sandbox, err := f.createSandbox(ctx, request)
	return &sandkeeperv1.CreateSandboxResponse{Sandbox: sandbox}, err
}

func (f *fakeServer) GetSandbox(
	ctx context.Context, _ *sandkeeperv1.GetSandboxRequest,
) (*sandkeeperv1.GetSandboxResponse, error) {
	sandbox, err := f.getSandbox(ctx)
	return &sandkeeperv1.GetSandboxResponse{Sandbox: sandbox}, err
}

func (f *fakeServer) SetLimit(
	context.Context, *sandkeeperv1.SetLimitRequest,
) (*sandkeeperv1.SetLimitResponse, error) {
	return &sandkeeperv1.SetLimitResponse{}, f.setLimit()
}

func (f *fakeServer) Execute(
	request *sandkeeperv1.ExecuteRequest, stream grpc.ServerStreamingServer[sandkeeperv1.ExecuteResponse],
) error {
	return f.execute(request, eventStream{stream.Context(), func(event *sandkeeperv1.ExecutionEvent) error {
		return stream.Send(&sandkeeperv1.ExecuteResponse{Event: event})
	}})
}

func (f *fakeServer) AttachExecution(
	request *sandkeeperv1.AttachExecutionRequest,
	stream grpc.ServerStreamingServer[sandkeeperv1.AttachExecutionResponse],
) error {
	return f.attach(request, eventStream{stream.Context(), func(event *sandkeeperv1.ExecutionEvent) error {
		return stream.Send(&sandkeeperv1.AttachExecutionResponse{Event: event})
	}})
}

func (f *fakeServer) WriteFile(
	stream grpc.ClientStreamingServer[sandkeeperv1.WriteFileRequest, sandkeeperv1.WriteFileResponse],
) error {
	return f.writeFile(stream)
}

func (f *fakeServer) ReadFile(
	request *sandkeeperv1.ReadFileRequest, stream grpc.ServerStreamingServer[sandkeeperv1.ReadFileResponse],
) error {
	return f.readFile(request, stream)
}

// A running server can be made to fail in every way.
type running struct {
	target    string
	intercept atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	listener  *countingListener
}

func (f *fakeServer) handler() http.Handler {
	calls := grpc.NewServer()
	sandkeeperv1.RegisterSandboxServiceServer(calls, f)
	sandkeeperv1.RegisterFileServiceServer(calls, f)
	sandkeeperv1.RegisterQuotaServiceServer(calls, f)
	return calls
}

// start serves gRPC through Go's own HTTP/2 server, which lets a test break single streams.
func (f *fakeServer) start(t *testing.T) *running {
	t.Helper()
	calls := f.handler()
	r := &running{listener: listen(t)}
	r.target = r.listener.Addr().String()
	server := &http.Server{
		Protocols: new(http.Protocols),
		ErrorLog:  discardLog,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if intercept := r.intercept.Load(); intercept != nil && (*intercept)(w, request) {
				return
			}
			calls.ServeHTTP(w, request)
		}),
	}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(r.listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return r
}

// cut ends every connection as if a cable were cut.
func (r *running) cut() { r.listener.cut() }

// A countingListener knows its connections.
type countingListener struct {
	net.Listener
	mutex       sync.Mutex
	connections []*net.TCPConn
}

func listen(t *testing.T) *countingListener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &countingListener{Listener: listener}
}

func (l *countingListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.connections = append(l.connections, connection.(*net.TCPConn))
	return connection, nil
}

func (l *countingListener) cut() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, connection := range l.connections {
		_ = connection.SetLinger(0)
		_ = connection.Close()
	}
	l.connections = nil
}

// A relay forwards connections to a server, and cuts some of them when the client was sent so many bytes.
type relay struct {
	target string
	sent   atomic.Int64
}

// startRelay cuts each connection after its own number of bytes; those after the last number are not cut.
func startRelay(t *testing.T, target string, cutAfter ...int64) *relay {
	t.Helper()
	listener := listen(t)
	r := &relay{target: listener.Addr().String()}
	t.Cleanup(func() {
		_ = listener.Close()
		listener.cut()
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			limit := int64(1) << 62
			if len(cutAfter) > 0 {
				limit, cutAfter = cutAfter[0], cutAfter[1:]
			}
			go r.forward(client, target, limit)
		}
	}()
	return r
}

func (r *relay) forward(client net.Conn, target string, limit int64) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(io.MultiWriter(client, counter{&r.sent}), io.LimitReader(server, limit))
}

type counter struct{ bytes *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.bytes.Add(int64(len(p)))
	return len(p), nil
}

// connect makes a client that the test closes.
func connect(t *testing.T, target string, options ...sandkeeper.Option) *sandkeeper.Client {
	t.Helper()
	options = append([]sandkeeper.Option{
		sandkeeper.WithPlaintext(), sandkeeper.WithGiveUpAfter(20 * time.Second),
	}, options...)
	client, err := sandkeeper.Connect(target, "sk_test", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// someEvents are the events of an execution that writes so many times.
func someEvents(writes int) []*sandkeeperv1.ExecutionEvent {
	events := []*sandkeeperv1.ExecutionEvent{{Event: &sandkeeperv1.ExecutionEvent_Started{
		Started: &sandkeeperv1.Started{ExecutionId: executionID, Pid: 9},
	}}}
	for i := range writes {
		output := &sandkeeperv1.Output{Data: fmt.Appendf(nil, "line %d\n", i)}
		event := &sandkeeperv1.ExecutionEvent{Event: &sandkeeperv1.ExecutionEvent_Stdout{Stdout: output}}
		if i%3 == 2 {
			event.Event = &sandkeeperv1.ExecutionEvent_Stderr{Stderr: output}
		}
		events = append(events, event)
	}
	events = append(events, &sandkeeperv1.ExecutionEvent{Event: &sandkeeperv1.ExecutionEvent_Finished{
		Finished: &sandkeeperv1.Finished{
			Reason: sandkeeperv1.FinishReason_FINISH_REASON_COMPLETED, ExitCode: proto.Int32(0),
		},
	}})
	for i, event := range events {
		event.Sequence = int64(i + 1)
	}
	return events
}

func heartbeat() *sandkeeperv1.ExecutionEvent {
	return &sandkeeperv1.ExecutionEvent{Event: &sandkeeperv1.ExecutionEvent_Heartbeat{Heartbeat: &sandkeeperv1.Heartbeat{}}}
}

// refusal is an error as the server sends it.
func refusal(code codes.Code, reason string, details ...protoadapt.MessageV1) error {
	return refusalWith(code, reason, nil, details...)
}

func refusalWith(
	code codes.Code, reason string, metadata map[string]string, details ...protoadapt.MessageV1,
) error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: "sandkeeper.dev", Metadata: metadata}
	said, err := status.New(code, "Refused.").WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil {
		panic(err)
	}
	return said.Err()
}

func retryAfter(delay time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}
}

// read collects the events of a stream up to its end or its failure.
func read(execution *sandkeeper.Execution) ([]*sandkeeperv1.ExecutionEvent, error) {
	var events []*sandkeeperv1.ExecutionEvent
	for event, err := range execution.Events() {
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
	return events, nil
}

func wantEvents(t *testing.T, got, want []*sandkeeperv1.ExecutionEvent) {
	t.Helper()
	same := func(a, b *sandkeeperv1.ExecutionEvent) bool { return proto.Equal(a, b) }
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("got %d events %v, want %d events %v", len(got), got, len(want), want)
	}
}

// wantError says what went wrong when an error is not the one that is wanted.
func wantError(t *testing.T, err error, code codes.Code, reason string) *sandkeeper.Error {
	t.Helper()
	var failure *sandkeeper.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got error %v, want an *Error", err)
	}
	if failure.Code != code || failure.Reason != reason {
		t.Errorf("got error %v, want %v %s", failure, code, reason)
	}
	return failure
}
