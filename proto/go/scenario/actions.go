package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"sandkeeper.dev/go/sandkeeper"
	"sandkeeper.dev/go/sandkeeperv1"
)

// arguments are those of every action.
type arguments struct {
	Method        string
	Request       json.RawMessage
	ExecutionID   string
	AfterSequence int64 `json:",string"`
	SandboxID     string
	Path          string
	Size          int
	Offset        int64
	Length        int64
}

func perform(ctx context.Context, client *sandkeeper.Client, action string, given json.RawMessage) (any, error) {
	var a arguments
	if err := json.Unmarshal(given, &a); err != nil {
		return nil, err
	}
	switch action {
	case "call":
		return call(ctx, client, a.Method, a.Request)
	case "execute":
		return execute(ctx, client, a.Request)
	case "attach":
		options := sandkeeper.AttachOptions{AfterSequence: a.AfterSequence}
		return read(client.Attach(ctx, a.ExecutionID, options))
	case "upload":
		return upload(ctx, client, a)
	case "download":
		return download(ctx, client, a)
	case "costs":
		return costs(ctx, client, a.SandboxID)
	default:
		return nil, fmt.Errorf("no such action: %s", action)
	}
}

// call makes one call, by the client's own method where it has one.
func call(ctx context.Context, client *sandkeeper.Client, method string, request json.RawMessage) (any, error) {
	switch method {
	case "CreateSandbox":
		return unary(request, "sandbox", func(r *sandkeeperv1.CreateSandboxRequest) (proto.Message, error) {
			return client.CreateSandbox(ctx, r)
		})
	case "GetSandbox":
		return unary(request, "sandbox", func(r *sandkeeperv1.GetSandboxRequest) (proto.Message, error) {
			return client.GetSandbox(ctx, r.GetSandboxId())
		})
	case "TerminateSandbox":
		return unary(request, "sandbox", func(r *sandkeeperv1.TerminateSandboxRequest) (proto.Message, error) {
			return client.TerminateSandbox(ctx, r.GetSandboxId(), r.GetGrace().AsDuration())
		})
	case "GetSandboxUsage":
		return unary(request, "usage", func(r *sandkeeperv1.GetSandboxUsageRequest) (proto.Message, error) {
			return client.GetUsage(ctx, r.GetSandboxId())
		})
	case "SetLimit":
		return unary(request, "limit", func(r *sandkeeperv1.SetLimitRequest) (proto.Message, error) {
			return client.SetLimit(ctx, r)
		})
	case "DeleteLimit":
		return unary(request, "", func(r *sandkeeperv1.DeleteLimitRequest) (proto.Message, error) {
			return &sandkeeperv1.DeleteLimitResponse{}, client.DeleteLimit(ctx, r.GetLimitId())
		})
	case "GetQuota":
		return unary(request, "", func(r *sandkeeperv1.GetQuotaRequest) (proto.Message, error) {
			return client.Quotas.GetQuota(ctx, r)
		})
	case "ListDirectory":
		return unary(request, "", func(r *sandkeeperv1.ListDirectoryRequest) (proto.Message, error) {
			return client.Files.ListDirectory(ctx, r)
		})
	case "Stat":
		return unary(request, "", func(r *sandkeeperv1.StatRequest) (proto.Message, error) {
			return client.Files.Stat(ctx, r)
		})
	default:
		return nil, fmt.Errorf("this runner has no method %s", method)
	}
}

// unary reads a request, makes the call and puts the answer under the field of the response it was taken from.
func unary[M any, P interface {
	*M
	proto.Message
}](text json.RawMessage, field string, call func(P) (proto.Message, error)) (any, error) {
	request := P(new(M))
	if err := protojson.Unmarshal(text, request); err != nil {
		return nil, err
	}
	answer, err := call(request)
	if err != nil {
		return nil, err
	}
	if field == "" {
		return message(answer)
	}
	part, err := message(answer)
	return object{field: part}, err
}

// message writes a message as ProtoJSON.
func message(m proto.Message) (json.RawMessage, error) {
	return protojson.Marshal(m)
}

func execute(ctx context.Context, client *sandkeeper.Client, text json.RawMessage) (any, error) {
	request := &sandkeeperv1.ExecuteRequest{}
	if err := protojson.Unmarshal(text, request); err != nil {
		return nil, err
	}
	options := sandkeeper.ExecuteOptions{
		SandboxID:        request.GetSandboxId(),
		Shell:            request.GetCommand().GetShell(),
		Code:             request.GetCode().GetSource(),
		Language:         request.GetCode().GetLanguage(),
		WorkingDirectory: request.GetWorkingDirectory(),
		Environment:      request.GetEnvironment(),
		Stdin:            request.GetStdin(),
		Deadline:         request.GetDeadline().AsDuration(),
		Attribution:      request.GetAttribution(),
	}
	if command := request.GetCommand(); command != nil && command.GetShell() == "" {
		options.Argv = append([]string{}, command.GetArgv()...)
	}
	execution, err := client.Execute(ctx, options)
	if err != nil {
		return nil, err
	}
	return read(execution)
}

// read reads a stream to its end.
func read(execution *sandkeeper.Execution) (any, error) {
	result := object{}
	var stdout, stderr bytes.Buffer
	var sequences []int64
	for event, err := range execution.Events() {
		if err != nil {
			return nil, err
		}
		sequences = append(sequences, event.GetSequence())
		switch event := event.GetEvent().(type) {
		case *sandkeeperv1.ExecutionEvent_Started:
			result["executionId"] = event.Started.GetExecutionId()
		case *sandkeeperv1.ExecutionEvent_Stdout:
			stdout.Write(event.Stdout.GetData())
		case *sandkeeperv1.ExecutionEvent_Stderr:
			stderr.Write(event.Stderr.GetData())
		case *sandkeeperv1.ExecutionEvent_Result:
			result["result"] = string(event.Result.GetData()["text/plain"])
		case *sandkeeperv1.ExecutionEvent_Error:
			if result["error"], err = message(event.Error); err != nil {
				return nil, err
			}
		case *sandkeeperv1.ExecutionEvent_Finished:
			result["reason"] = event.Finished.GetReason().String()
			result["exitCode"] = event.Finished.ExitCode
			result["signal"] = event.Finished.Signal
		}
	}
	gaps := 0
	for i := 1; i < len(sequences); i++ {
		if sequences[i] != sequences[i-1]+1 {
			gaps++
		}
	}
	result["stdout"] = strings.ToValidUTF8(stdout.String(), "\ufffd")
	result["stderr"] = strings.ToValidUTF8(stderr.String(), "\ufffd")
	result["stdoutBytes"] = strconv.Itoa(stdout.Len())
	result["stdoutSha256"] = hash(stdout.Bytes())
	result["firstSequence"] = fmt.Sprint(sequences[0])
	result["lastSequence"] = fmt.Sprint(sequences[len(sequences)-1])
	result["gaps"] = gaps
	result["reattachments"] = execution.Reattachments()
	return result, nil
}

func upload(ctx context.Context, client *sandkeeper.Client, a arguments) (any, error) {
	data := make([]byte, a.Size)
	for i := range data {
		data[i] = byte((31*i + 7) % 251)
	}
	response, err := client.Upload(ctx, a.SandboxID, a.Path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return message(response.GetFile())
}

func download(ctx context.Context, client *sandkeeper.Client, a arguments) (any, error) {
	var data bytes.Buffer
	if _, err := client.DownloadRange(ctx, a.SandboxID, a.Path, a.Offset, a.Length, &data); err != nil {
		return nil, err
	}
	return object{"bytes": strconv.Itoa(data.Len()), "sha256": hash(data.Bytes())}, nil
}

func costs(ctx context.Context, client *sandkeeper.Client, sandboxID string) (any, error) {
	var sum int64
	records := []json.RawMessage{}
	request := &sandkeeperv1.ListCostRecordsRequest{SandboxId: sandboxID}
	for {
		page, err := client.ListCostRecords(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, record := range page.GetCostRecords() {
			sum += record.GetAmountNanoUsd()
			text, err := message(record)
			if err != nil {
				return nil, err
			}
			records = append(records, text)
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return object{"count": len(records), "sumNanoUsd": fmt.Sprint(sum), "records": records}, nil
		}
	}
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// describe shows an error as the table speaks of it.
func describe(failure *sandkeeper.Error) object {
	metadata := object{}
	for key, value := range failure.Metadata {
		metadata[key] = value
	}
	violations := []any{}
	for _, violation := range failure.Violations {
		violations = append(violations, object{"field": violation.Field, "description": violation.Description})
	}
	described := object{
		"code":       code.Code(failure.Code).String(),
		"reason":     failure.Reason,
		"metadata":   metadata,
		"violations": violations,
	}
	if quota := failure.Quota; quota != nil {
		described["limitId"] = quota.LimitID
		described["remainingNanoUsd"] = fmt.Sprint(quota.RemainingNanoUSD)
		if !quota.ResetTime.IsZero() {
			described["resetTime"] = quota.ResetTime.Format(time.RFC3339Nano)
		}
	}
	return described
}
