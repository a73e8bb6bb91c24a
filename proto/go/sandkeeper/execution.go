package sandkeeper

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"sandkeeper.dev/go/sandkeeperv1"
)

// ExecuteOptions say what to run, where and how. Exactly one of Argv, Shell and Code is given.
type ExecuteOptions struct {
	// SandboxID names the sandbox to run in.
	SandboxID string
	// Argv is a program and its arguments, run without a shell.
	Argv []string
	// Shell is a line for the sandbox's /bin/bash.
	Shell string
	// Code is a piece of code in Language.
	Code string
	// Language is that of Code.
	Language sandkeeperv1.Language

	// RequestID is a UUID: the same one attaches to the same execution. Empty: the client makes one.
	RequestID string
	// WorkingDirectory is relative to /home/user. Empty: /home/user. Only for commands and Bash.
	WorkingDirectory string
	// Environment comes on top of the sandbox's. Only for commands and Bash.
	Environment map[string]string
	// Stdin is what the program reads from its standard input, at most 10 MiB. Only for commands and Bash.
	Stdin []byte
	// Deadline is how long it may run, 1 millisecond to 24 hours; then its whole process tree is ended. 0: 5 minutes.
	Deadline time.Duration
	// Attribution says for whom it runs. Nil: the sandbox's own.
	Attribution *sandkeeperv1.Attribution
	// Heartbeats says whether heartbeats, which have no sequence number, are delivered too.
	Heartbeats bool
}

// request makes the request of the contract.
func (o *ExecuteOptions) request() (*sandkeeperv1.ExecuteRequest, error) {
	request := &sandkeeperv1.ExecuteRequest{
		SandboxId:        o.SandboxID,
		RequestId:        o.RequestID,
		WorkingDirectory: o.WorkingDirectory,
		Environment:      o.Environment,
		Stdin:            o.Stdin,
		Attribution:      o.Attribution,
	}
	if request.RequestId == "" {
		request.RequestId = newRequestID()
	}
	if o.Deadline != 0 {
		request.Deadline = durationpb.New(o.Deadline)
	}
	command := func(c *sandkeeperv1.Command) { request.Run = &sandkeeperv1.ExecuteRequest_Command{Command: c} }
	given := 0
	if o.Argv != nil {
		given++
		command(&sandkeeperv1.Command{Argv: o.Argv})
	}
	if o.Shell != "" {
		given++
		command(&sandkeeperv1.Command{Shell: o.Shell})
	}
	if o.Code != "" {
		given++
		request.Run = &sandkeeperv1.ExecuteRequest_Code{
			Code: &sandkeeperv1.Code{Language: o.Language, Source: o.Code},
		}
	}
	if given != 1 {
		return nil, localError(codes.InvalidArgument, "exactly one of Argv, Shell and Code must be given")
	}
	return request, nil
}

// AttachOptions say how the events of an execution that was started before are followed.
type AttachOptions struct {
	// AfterSequence is the number of the last event already had. 0: all events.
	AfterSequence int64
	// Heartbeats says whether heartbeats, which have no sequence number, are delivered too.
	Heartbeats bool
}

// An Execution is the events of an execution, each once and in order; finished is the last.
//
// A stream that breaks is attached again by itself, behind the last event that came. When there was no progress for the
// time the client was given, the last failure is returned. Closing it, or ending its context, ends the stream and leaves
// the program running; [Client.Attach] goes on later.
//
// Events are read as they are asked for: a reader who takes its time holds the stream back. Not safe for use by several
// goroutines at once, but for Close.
type Execution struct {
	ctx         context.Context
	cancel      context.CancelFunc
	open        func() (receiver, error)
	giveUpAfter time.Duration
	heartbeats  bool

	receive       receiver
	outage        *outage
	id            string
	received      int64
	finished      bool
	reattachments int

	first     *sandkeeperv1.ExecutionEvent
	delivered int64
	end       error
}

// A receiver waits for the next event of one stream.
type receiver func() (*sandkeeperv1.ExecutionEvent, error)

// An outage is the time since a stream broke without a new event.
type outage struct {
	since time.Time
	waits *backoff
}

// Execute runs a command or a piece of code and returns when it has started. The context holds for the whole stream.
func (c *Client) Execute(ctx context.Context, options ExecuteOptions) (*Execution, error) {
	request, err := options.request()
	if err != nil {
		return nil, err
	}
	e := c.follow(ctx, "", AttachOptions{Heartbeats: options.Heartbeats})
	e.open = func() (receiver, error) {
		if e.id != "" {
			return c.attach(e)
		}
		stream, err := c.Sandboxes.Execute(e.ctx, request)
		return events(stream), err
	}
	for e.first == nil || e.first.GetHeartbeat() != nil {
		if e.first, err = e.next(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Attach follows an execution that was started before. It calls when the first event is asked for. The context holds for
// the whole stream.
func (c *Client) Attach(ctx context.Context, executionID string, options AttachOptions) *Execution {
	e := c.follow(ctx, executionID, options)
	e.open = func() (receiver, error) { return c.attach(e) }
	return e
}

func (c *Client) follow(ctx context.Context, id string, options AttachOptions) *Execution {
	e := &Execution{giveUpAfter: c.giveUpAfter, heartbeats: options.Heartbeats, id: id}
	e.ctx, e.cancel = context.WithCancel(ctx)
	e.received, e.delivered = options.AfterSequence, options.AfterSequence
	return e
}

func (c *Client) attach(e *Execution) (receiver, error) {
	request := &sandkeeperv1.AttachExecutionRequest{ExecutionId: e.id, AfterSequence: e.received}
	stream, err := c.Sandboxes.AttachExecution(e.ctx, request)
	return events(stream), err
}

// events makes either kind of stream one of events.
func events[M any, P interface {
	*M
	GetEvent() *sandkeeperv1.ExecutionEvent
}](stream grpc.ServerStreamingClient[M]) receiver {
	return func() (*sandkeeperv1.ExecutionEvent, error) {
		message, err := stream.Recv()
		return P(message).GetEvent(), err
	}
}

// ID returns the execution's id; empty when it could not be started.
func (e *Execution) ID() string { return e.id }

// LastSequence returns the sequence number of the last event that was delivered; 0 before the first.
func (e *Execution) LastSequence() int64 { return e.delivered }

// Reattachments returns how often a broken stream was opened again.
func (e *Execution) Reattachments() int { return e.reattachments }

// Close ends the stream, not the program; also while another goroutine waits for the next event.
func (e *Execution) Close() { e.cancel() }

// Events gives every event to a loop. A failure comes last, with a nil event. Leaving the loop early closes the stream.
func (e *Execution) Events() iter.Seq2[*sandkeeperv1.ExecutionEvent, error] {
	return func(yield func(*sandkeeperv1.ExecutionEvent, error) bool) {
		defer e.Close()
		for {
			event, err := e.Next()
			if errors.Is(err, io.EOF) || !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Wait reads to the end, hands on what the program writes, and returns how it ended. A nil writer drops that output. When
// a writer fails, its error is returned and the stream is closed.
func (e *Execution) Wait(stdout, stderr io.Writer) (*sandkeeperv1.Finished, error) {
	var finished *sandkeeperv1.Finished
	for event, err := range e.Events() {
		if err != nil {
			return nil, err
		}
		switch event := event.GetEvent().(type) {
		case *sandkeeperv1.ExecutionEvent_Stdout:
			err = write(stdout, event.Stdout)
		case *sandkeeperv1.ExecutionEvent_Stderr:
			err = write(stderr, event.Stderr)
		case *sandkeeperv1.ExecutionEvent_Finished:
			finished = event.Finished
		}
		if err != nil {
			return nil, err
		}
	}
	if finished == nil {
		return nil, localError(codes.FailedPrecondition, "the stream was read to its end before")
	}
	return finished, nil
}

func write(to io.Writer, output *sandkeeperv1.Output) error {
	if to == nil {
		return nil
	}
	_, err := to.Write(output.GetData())
	return err
}

// Next waits for the next event. It returns io.EOF after the last, and an *Error when the call was refused, or the stream
// broke and could not be attached again.
func (e *Execution) Next() (*sandkeeperv1.ExecutionEvent, error) {
	event := e.first
	e.first = nil
	if event == nil {
		var err error
		if event, err = e.next(); err != nil {
			return nil, err
		}
	}
	if event.GetHeartbeat() == nil {
		e.delivered = event.GetSequence()
	}
	return event, nil
}

// next waits for an event that was not received before.
func (e *Execution) next() (*sandkeeperv1.ExecutionEvent, error) {
	for e.end == nil {
		event, err := e.read()
		if err != nil {
			e.end = e.recover(err)
			continue
		}
		deliver, err := e.note(event)
		if err != nil {
			e.end = err
		} else if deliver {
			return event, nil
		}
	}
	e.cancel()
	return nil, e.end
}

// read waits for an event of the stream, which it opens when there is none.
func (e *Execution) read() (*sandkeeperv1.ExecutionEvent, error) {
	if e.receive == nil {
		receive, err := e.open()
		if err != nil {
			return nil, err
		}
		e.receive = receive
	}
	event, err := e.receive()
	if errors.Is(err, io.EOF) {
		err = localError(codes.Unavailable, "the stream ended before the execution did")
	}
	return event, err
}

// note counts an event that comes next, and tells it from one that was received before the stream broke.
func (e *Execution) note(event *sandkeeperv1.ExecutionEvent) (deliver bool, err error) {
	if event.GetHeartbeat() != nil {
		e.outage = nil
		return e.heartbeats, nil
	}
	if event.GetSequence() <= e.received {
		return false, nil
	}
	if event.GetSequence() != e.received+1 {
		return false, localError(codes.DataLoss, "event %d is missing: event %d came", e.received+1, event.GetSequence())
	}
	e.outage = nil
	e.received++
	switch event := event.GetEvent().(type) {
	case *sandkeeperv1.ExecutionEvent_Started:
		e.id = event.Started.GetExecutionId()
	case *sandkeeperv1.ExecutionEvent_Finished:
		e.finished = true
	}
	return true, nil
}

// recover waits until a stream that broke may be opened again, or returns why it is not.
func (e *Execution) recover(err error) error {
	if e.finished {
		return io.EOF
	}
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != codes.Unavailable {
		return err
	}
	if e.outage == nil {
		e.outage = &outage{since: time.Now(), waits: newBackoff(maxWait)}
	}
	wait := e.outage.waits.wait(failure.RetryDelay)
	if time.Since(e.outage.since)+wait > e.giveUpAfter {
		return err
	}
	pause(e.ctx, wait)
	e.receive = nil
	e.reattachments++
	return nil
}
