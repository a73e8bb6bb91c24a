package sandkeeper_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"sandkeeper.dev/go/sandkeeper"
	"sandkeeper.dev/go/sandkeeperv1"
)

var discardLog = log.New(io.Discard, "", 0)

// A way is what a server does with the events before it gives them away; calls are counted from 1.
type way func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, call int) error

// oneExecution starts once however often it is asked for, and notes what was asked for.
type oneExecution struct {
	events []*sandkeeperv1.ExecutionEvent
	way    way

	mutex      sync.Mutex
	asked      []string
	requestIDs map[string]bool
}

func newExecution(events []*sandkeeperv1.ExecutionEvent, way way) *oneExecution {
	return &oneExecution{events: events, way: way, requestIDs: map[string]bool{}}
}

// wholly gives all events.
func wholly(stream eventStream, events []*sandkeeperv1.ExecutionEvent, _ int) error {
	return stream.sendAll(events)
}

// firstCall gives the first events, then fails, in the first call only.
func firstCall(count int, fail error) way {
	return func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, call int) error {
		if call > 1 {
			return stream.sendAll(events)
		}
		if err := stream.sendAll(events[:count]); err != nil {
			return err
		}
		return fail
	}
}

func (o *oneExecution) server() *fakeServer {
	return &fakeServer{
		execute: func(request *sandkeeperv1.ExecuteRequest, stream eventStream) error {
			call := o.note("execute", request.GetRequestId())
			return o.way(stream, o.events, call)
		},
		attach: func(request *sandkeeperv1.AttachExecutionRequest, stream eventStream) error {
			if request.GetExecutionId() != executionID {
				return status.Error(codes.NotFound, "no such execution")
			}
			call := o.note(fmt.Sprintf("attach %d", request.GetAfterSequence()), "")
			return o.way(stream, o.events[request.GetAfterSequence():], call)
		},
	}
}

func (o *oneExecution) note(asked, requestID string) int {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.asked = append(o.asked, asked)
	if requestID != "" {
		o.requestIDs[requestID] = true
	}
	return len(o.asked)
}

func (o *oneExecution) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if !slices.Equal(o.asked, want) {
		t.Errorf("the server was asked for %q, want %q", o.asked, want)
	}
	if len(o.requestIDs) > 1 {
		t.Errorf("the program was asked for under %d request ids", len(o.requestIDs))
	}
}

func execute(t *testing.T, client *sandkeeper.Client) *sandkeeper.Execution {
	t.Helper()
	execution, err := client.Execute(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	return execution
}

func readAll(t *testing.T, execution *sandkeeper.Execution) []*sandkeeperv1.ExecutionEvent {
	t.Helper()
	events, err := read(execution)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestEveryEventIsDeliveredOnceInOrder(t *testing.T) {
	fake := newExecution(someEvents(50), wholly)
	execution := execute(t, connect(t, fake.server().start(t).target))
	if execution.ID() != executionID || execution.LastSequence() != 0 {
		t.Errorf("before the first event: id %q, last sequence %d", execution.ID(), execution.LastSequence())
	}
	wantEvents(t, readAll(t, execution), fake.events)
	if execution.LastSequence() != 52 || execution.Reattachments() != 0 {
		t.Errorf("last sequence %d, %d reattachments", execution.LastSequence(), execution.Reattachments())
	}
	fake.wantAsked(t, "execute")
	if _, err := execution.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// Cuts fall between frames, into their heads and into their data.
func TestEveryEventIsDeliveredOnceHoweverManyBytesComeBeforeACut(t *testing.T) {
	events := someEvents(40)
	size := sizeOnTheWire(t, events)
	if size < 500 {
		t.Fatalf("only %d bytes", size)
	}
	var reattached atomic.Int64
	t.Run("cut", func(t *testing.T) {
		slots := make(chan struct{}, 16)
		for bytes := int64(1); bytes < size; bytes += 13 {
			t.Run(fmt.Sprint(bytes), func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				fake := newExecution(events, wholly)
				relay := startRelay(t, fake.server().start(t).target, bytes, bytes/2)
				execution := execute(t, connect(t, relay.target))
				wantEvents(t, readAll(t, execution), events)
				if len(fake.requestIDs) != 1 {
					t.Errorf("the program ran %d times", len(fake.requestIDs))
				}
				reattached.Add(int64(execution.Reattachments()))
			})
		}
	})
	if reattached.Load() < size/13/2 {
		t.Errorf("reattached only %d times", reattached.Load())
	}
}

func sizeOnTheWire(t *testing.T, events []*sandkeeperv1.ExecutionEvent) int64 {
	t.Helper()
	relay := startRelay(t, newExecution(events, wholly).server().start(t).target)
	readAll(t, execute(t, connect(t, relay.target)))
	return relay.sent.Load()
}

func TestAStreamThatBreaksIsOpenedAgainBehindTheLastEvent(t *testing.T) {
	breaks := map[string]error{
		"the server says UNAVAILABLE":          refusal(codes.Unavailable, "SHUTTING_DOWN"),
		"a proxy says UNAVAILABLE":             status.Error(codes.Unavailable, "no upstream"),
		"a proxy says INTERNAL":                status.Error(codes.Internal, "upstream broke"),
		"a proxy says UNKNOWN":                 status.Error(codes.Unknown, "upstream broke"),
		"a proxy says CANCELLED":               status.Error(codes.Canceled, "upstream broke"),
		"the stream ends without the finished": nil,
	}
	for name, fail := range breaks {
		t.Run("before the first event: "+name, func(t *testing.T) {
			t.Parallel()
			fake := newExecution(someEvents(5), firstCall(0, fail))
			execution := execute(t, connect(t, fake.server().start(t).target))
			wantEvents(t, readAll(t, execution), fake.events)
			fake.wantAsked(t, "execute", "execute")
			if execution.Reattachments() != 1 {
				t.Errorf("%d reattachments", execution.Reattachments())
			}
		})
		t.Run("after some events: "+name, func(t *testing.T) {
			t.Parallel()
			fake := newExecution(someEvents(5), firstCall(3, fail))
			execution := execute(t, connect(t, fake.server().start(t).target))
			wantEvents(t, readAll(t, execution), fake.events)
			fake.wantAsked(t, "execute", "attach 3")
		})
	}

	answers := map[string]func(http.ResponseWriter){
		"RST_STREAM":              func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"an end without trailers": func(w http.ResponseWriter) { w.Header().Set("content-type", "application/grpc") },
		"a proxy's page":          func(w http.ResponseWriter) { http.Error(w, "Try later", http.StatusServiceUnavailable) },
	}
	for name, answer := range answers {
		t.Run("at once: "+name, func(t *testing.T) {
			t.Parallel()
			fake := newExecution(someEvents(5), wholly)
			server := fake.server().start(t)
			var calls atomic.Int32
			intercept := func(w http.ResponseWriter, _ *http.Request) bool {
				if calls.Add(1) > 2 {
					return false
				}
				answer(w)
				return true
			}
			server.intercept.Store(&intercept)
			execution := execute(t, connect(t, server.target))
			wantEvents(t, readAll(t, execution), fake.events)
			if execution.Reattachments() != 2 {
				t.Errorf("%d reattachments", execution.Reattachments())
			}
		})
	}

	t.Run("in the middle: RST_STREAM", func(t *testing.T) {
		t.Parallel()
		fake := newExecution(someEvents(5), wholly)
		server := fake.server().start(t)
		var calls atomic.Int32
		intercept := func(w http.ResponseWriter, _ *http.Request) bool {
			if calls.Add(1) > 1 {
				return false
			}
			w.Header().Set("content-type", "application/grpc")
			for _, event := range fake.events[:3] {
				message, _ := proto.Marshal(&sandkeeperv1.ExecuteResponse{Event: event})
				frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
				_, _ = w.Write(append(frame, message...))
			}
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		server.intercept.Store(&intercept)
		wantEvents(t, readAll(t, execute(t, connect(t, server.target))), fake.events)
		fake.wantAsked(t, "attach 3")
	})

	t.Run("in the middle: a reset of the connection", func(t *testing.T) {
		t.Parallel()
		var server *running
		fake := newExecution(someEvents(5), func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, call int) error {
			if call > 1 {
				return stream.sendAll(events)
			}
			if err := stream.sendAll(events[:3]); err != nil {
				return err
			}
			<-stream.Done()
			return nil
		})
		server = fake.server().start(t)
		execution := execute(t, connect(t, server.target))
		var got []*sandkeeperv1.ExecutionEvent
		for event, err := range execution.Events() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, event)
			if len(got) == 3 {
				server.cut()
			}
		}
		wantEvents(t, got, fake.events)
		fake.wantAsked(t, "execute", "attach 3")
	})

	t.Run("the server is away for a while", func(t *testing.T) {
		t.Parallel()
		fake := newExecution(someEvents(5), firstCall(3, refusal(codes.Unavailable, "SHUTTING_DOWN")))
		relay := startRelay(t, fake.server().start(t).target, 100_000, 0, 0, 0)
		wantEvents(t, readAll(t, execute(t, connect(t, relay.target))), fake.events)
	})

	t.Run("an attached one too", func(t *testing.T) {
		t.Parallel()
		fake := newExecution(someEvents(9), firstCall(3, status.Error(codes.Unavailable, "broke")))
		client := connect(t, fake.server().start(t).target)
		execution := client.Attach(t.Context(), executionID, sandkeeper.AttachOptions{AfterSequence: 4})
		wantEvents(t, readAll(t, execution), fake.events[4:])
		fake.wantAsked(t, "attach 4", "attach 7")
	})

	t.Run("as often as it breaks, while there is progress", func(t *testing.T) {
		t.Parallel()
		fake := newExecution(someEvents(30), func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, _ int) error {
			if err := stream.sendAll(events[:2]); err != nil || len(events) == 2 {
				return err
			}
			return status.Error(codes.Unavailable, "broke")
		})
		// Shorter than all the waits together: progress starts the clock anew.
		client := connect(t, fake.server().start(t).target, sandkeeper.WithGiveUpAfter(500*time.Millisecond))
		execution := execute(t, client)
		wantEvents(t, readAll(t, execution), fake.events)
		if execution.Reattachments() != 15 {
			t.Errorf("%d reattachments", execution.Reattachments())
		}
	})
}

func TestWhatTheServerRefusesIsFinal(t *testing.T) {
	refusals := map[string]codes.Code{
		"EXECUTION_NOT_FOUND": codes.NotFound,
		"SEQUENCE_NOT_KEPT":   codes.OutOfRange,
		"SANDBOX_NOT_RUNNING": codes.FailedPrecondition,
		"INTERNAL":            codes.Internal,
		"GRPC_CANCELLED":      codes.Canceled,
		"GRPC_UNKNOWN":        codes.Unknown,
		"INVALID_CREDENTIALS": codes.Unauthenticated,
	}
	for reason, code := range refusals {
		t.Run("at once: "+reason, func(t *testing.T) {
			t.Parallel()
			fake := newExecution(someEvents(5), firstCall(0, refusal(code, reason)))
			_, err := connect(t, fake.server().start(t).target).Execute(t.Context(), work)
			wantError(t, err, code, reason)
			fake.wantAsked(t, "execute")
		})
		t.Run("after some events: "+reason, func(t *testing.T) {
			t.Parallel()
			fake := newExecution(someEvents(5), firstCall(3, refusal(code, reason)))
			execution := execute(t, connect(t, fake.server().start(t).target))
			events, err := read(execution)
			wantError(t, err, code, reason)
			wantEvents(t, events, fake.events[:3])
			if execution.LastSequence() != 3 {
				t.Errorf("last sequence %d", execution.LastSequence())
			}
			fake.wantAsked(t, "execute")
		})
	}

	t.Run("after a break too", func(t *testing.T) {
		t.Parallel()
		fake := newExecution(someEvents(5), func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, call int) error {
			if call > 1 {
				return refusal(codes.OutOfRange, "SEQUENCE_NOT_KEPT")
			}
			if err := stream.sendAll(events[:2]); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "broke")
		})
		_, err := read(execute(t, connect(t, fake.server().start(t).target)))
		wantError(t, err, codes.OutOfRange, "SEQUENCE_NOT_KEPT")
		fake.wantAsked(t, "execute", "attach 2")
	})

	t.Run("a request that cannot be written", func(t *testing.T) {
		t.Parallel()
		client := connect(t, newExecution(nil, wholly).server().start(t).target)
		_, err := client.Execute(t.Context(), sandkeeper.ExecuteOptions{SandboxID: sandboxID, Shell: "\xff"})
		wantError(t, err, codes.Internal, "INTERNAL")
	})
}

func TestEventsThatCameBeforeAreDropped(t *testing.T) {
	fake := newExecution(someEvents(9), nil)
	fake.way = func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, call int) error {
		if call > 1 {
			return stream.sendAll(fake.events)
		}
		if err := stream.sendAll(events[:5]); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "broke")
	}
	wantEvents(t, readAll(t, execute(t, connect(t, fake.server().start(t).target))), fake.events)
}

func TestAMissingEventIsAnError(t *testing.T) {
	events := someEvents(9)
	fake := newExecution(slices.Delete(slices.Clone(events), 3, 4), wholly)
	got, err := read(execute(t, connect(t, fake.server().start(t).target)))
	wantError(t, err, codes.DataLoss, "DATA_LOSS")
	wantEvents(t, got, events[:3])
}

func TestHeartbeatsAreShownToWhoAsksForThem(t *testing.T) {
	events := someEvents(2)
	fake := newExecution(events, func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, _ int) error {
		for _, event := range events {
			if err := stream.sendAll([]*sandkeeperv1.ExecutionEvent{heartbeat(), event}); err != nil {
				return err
			}
		}
		return nil
	})
	client := connect(t, fake.server().start(t).target)
	wantEvents(t, readAll(t, execute(t, client)), events)

	execution := client.Attach(t.Context(), executionID, sandkeeper.AttachOptions{Heartbeats: true})
	got := readAll(t, execution)
	var want []*sandkeeperv1.ExecutionEvent
	for _, event := range events {
		want = append(want, heartbeat(), event)
	}
	wantEvents(t, got, want)
	if execution.LastSequence() != 4 {
		t.Errorf("last sequence %d", execution.LastSequence())
	}
}

func TestGivingUp(t *testing.T) {
	t.Run("without progress, with the last failure", func(t *testing.T) {
		t.Parallel()
		fake := newExecution(someEvents(5), func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, call int) error {
			if call > 1 {
				return refusal(codes.Unavailable, "DATABASE_UNAVAILABLE")
			}
			if err := stream.sendAll(events[:2]); err != nil {
				return err
			}
			return refusal(codes.Unavailable, "SHUTTING_DOWN")
		})
		client := connect(t, fake.server().start(t).target, sandkeeper.WithGiveUpAfter(time.Second))
		_, err := read(execute(t, client))
		wantError(t, err, codes.Unavailable, "DATABASE_UNAVAILABLE")
		if len(fake.asked) < 3 {
			t.Errorf("tried only %v", fake.asked)
		}
	})

	t.Run("when nothing listens any more", func(t *testing.T) {
		t.Parallel()
		listener := listen(t)
		_ = listener.Close()
		client := connect(t, listener.Addr().String(), sandkeeper.WithGiveUpAfter(300*time.Millisecond))
		_, err := client.Execute(t.Context(), work)
		wantError(t, err, codes.Unavailable, "UNAVAILABLE")
	})

	t.Run("at once, when told so", func(t *testing.T) {
		t.Parallel()
		fake := newExecution(someEvents(5), firstCall(2, status.Error(codes.Unavailable, "broke")))
		client := connect(t, fake.server().start(t).target, sandkeeper.WithGiveUpAfter(0))
		_, err := read(execute(t, client))
		wantError(t, err, codes.Unavailable, "UNAVAILABLE")
		fake.wantAsked(t, "execute")
	})

	t.Run("when the server asks to wait longer than that", func(t *testing.T) {
		t.Parallel()
		later := refusal(codes.Unavailable, "ENGINE_UNAVAILABLE", retryAfter(900*time.Millisecond))
		fake := newExecution(someEvents(5), firstCall(0, later))
		client := connect(t, fake.server().start(t).target, sandkeeper.WithGiveUpAfter(800*time.Millisecond))
		_, err := client.Execute(t.Context(), work)
		wantError(t, err, codes.Unavailable, "ENGINE_UNAVAILABLE")
		fake.wantAsked(t, "execute")
	})
}

// endless goes on for ever after four events, and tells when its call was cancelled.
func endless() (fake *oneExecution, cancelled <-chan struct{}) {
	done := make(chan struct{})
	return newExecution(someEvents(3), func(stream eventStream, events []*sandkeeperv1.ExecutionEvent, _ int) error {
		// The reader may end the call before all four are sent.
		defer close(done)
		if err := stream.sendAll(events[:4]); err != nil {
			return err
		}
		<-stream.Done()
		return nil
	}), done
}

func TestAnEndByTheReaderEndsTheCallOnly(t *testing.T) {
	t.Run("leaving the loop", func(t *testing.T) {
		t.Parallel()
		fake, cancelled := endless()
		client := connect(t, fake.server().start(t).target)
		for range execute(t, client).Events() {
			break
		}
		<-cancelled
		fake.wantAsked(t, "execute")
	})

	t.Run("closing it in a wait for the next event", func(t *testing.T) {
		t.Parallel()
		fake, cancelled := endless()
		execution := execute(t, connect(t, fake.server().start(t).target))
		for event, err := range execution.Events() {
			if err != nil {
				wantError(t, err, codes.Canceled, "CANCELLED")
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v is not context.Canceled", err)
				}
				break
			}
			if event.GetSequence() == 4 {
				go execution.Close()
			}
		}
		<-cancelled
		fake.wantAsked(t, "execute")
	})

	t.Run("ending the context", func(t *testing.T) {
		t.Parallel()
		fake, cancelled := endless()
		client := connect(t, fake.server().start(t).target)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		execution, err := client.Execute(ctx, work)
		if err != nil {
			t.Fatal(err)
		}
		_, err = read(execution)
		wantError(t, err, codes.DeadlineExceeded, "DEADLINE_EXCEEDED")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not context.DeadlineExceeded", err)
		}
		<-cancelled
		fake.wantAsked(t, "execute")
	})

	t.Run("closing the client", func(t *testing.T) {
		t.Parallel()
		fake, cancelled := endless()
		client := connect(t, fake.server().start(t).target)
		for event, err := range execute(t, client).Events() {
			if err != nil {
				wantError(t, err, codes.Canceled, "CANCELLED")
				break
			}
			if event.GetSequence() == 4 {
				_ = client.Close()
			}
		}
		<-cancelled
		_, err := client.GetSandbox(t.Context(), sandboxID)
		wantError(t, err, codes.Canceled, "CANCELLED")
		fake.wantAsked(t, "execute")
	})
}

func TestAReaderWhoDoesNotReadHoldsTheServerBackAndNobodyElse(t *testing.T) {
	const chunks = 100
	var sent atomic.Int32
	data := make([]byte, 256<<10)
	server := &fakeServer{execute: func(_ *sandkeeperv1.ExecuteRequest, stream eventStream) error {
		events := someEvents(chunks)
		for _, event := range events {
			if stdout := event.GetStdout(); stdout != nil {
				stdout.Data = data
			}
			if stderr := event.GetStderr(); stderr != nil {
				stderr.Data = data
			}
			if err := stream.send(event); err != nil {
				return err
			}
			sent.Add(1)
		}
		return nil
	}}
	server.getSandbox = func(context.Context) (*sandkeeperv1.Sandbox, error) { return &sandkeeperv1.Sandbox{}, nil }
	client := connect(t, server.start(t).target)
	execution := execute(t, client)
	for before := int32(-1); before != sent.Load(); {
		before = sent.Load()
		time.Sleep(100 * time.Millisecond)
	}
	if sent.Load() > 64 {
		t.Errorf("%d messages of 256 KiB were taken from the server", sent.Load())
	}
	if _, err := client.GetSandbox(t.Context(), sandboxID); err != nil {
		t.Errorf("another call: %v", err)
	}
	bytes := counter{new(atomic.Int64)}
	if _, err := execution.Wait(bytes, bytes); err != nil {
		t.Fatal(err)
	}
	if bytes.bytes.Load() != chunks*int64(len(data)) {
		t.Errorf("%d bytes came", bytes.bytes.Load())
	}
}

func TestWaitHandsOnBothOutputsAndReturnsTheEnd(t *testing.T) {
	client := connect(t, newExecution(someEvents(4), wholly).server().start(t).target)
	var stdout, stderr bytes.Buffer
	finished, err := execute(t, client).Wait(&stdout, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if stdout.String() != "line 0\nline 1\nline 3\n" || stderr.String() != "line 2\n" {
		t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
	}
	if finished.GetReason() != sandkeeperv1.FinishReason_FINISH_REASON_COMPLETED {
		t.Errorf("finished: %v", finished)
	}

	failing := errors.New("the disk is full")
	if _, err := execute(t, client).Wait(failingWriter{failing}, nil); !errors.Is(err, failing) {
		t.Errorf("a failing writer gave %v", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

func TestWhatIsToBeRunIsSentAsItWasGiven(t *testing.T) {
	var got []*sandkeeperv1.ExecuteRequest
	client := connect(t, (&fakeServer{execute: func(request *sandkeeperv1.ExecuteRequest, stream eventStream) error {
		got = append(got, request)
		return stream.sendAll(someEvents(0))
	}}).start(t).target)
	for _, options := range []sandkeeper.ExecuteOptions{
		{Argv: []string{"ls", "-l"}, Stdin: []byte("in"), Deadline: 1500 * time.Millisecond},
		{Shell: "ls", WorkingDirectory: "/tmp", Environment: map[string]string{"A": "b"}},
		{Code: "6 * 7", Language: sandkeeperv1.Language_LANGUAGE_PYTHON, RequestID: "r"},
	} {
		options.SandboxID = sandboxID
		execution, err := client.Execute(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, execution)
	}
	want := []string{
		`sandbox_id:"ssssssssssssssssssss" command:{argv:"ls" argv:"-l"} stdin:"in" deadline:{seconds:1 nanos:500000000}`,
		`sandbox_id:"ssssssssssssssssssss" command:{shell:"ls"} working_directory:"/tmp" environment:{key:"A" value:"b"}`,
		`sandbox_id:"ssssssssssssssssssss" code:{language:LANGUAGE_PYTHON source:"6 * 7"}`,
	}
	if got[2].GetRequestId() != "r" {
		t.Errorf("request id %q", got[2].GetRequestId())
	}
	for i, request := range got {
		request.RequestId = ""
		wanted := &sandkeeperv1.ExecuteRequest{}
		if err := prototext.Unmarshal([]byte(want[i]), wanted); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(request, wanted) {
			t.Errorf("got %v, want %v", request, wanted)
		}
	}

	_, err := client.Execute(t.Context(), sandkeeper.ExecuteOptions{SandboxID: sandboxID})
	wantError(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	_, err = client.Execute(t.Context(), sandkeeper.ExecuteOptions{SandboxID: sandboxID, Shell: "ls", Code: "1"})
	wantError(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
}
