package sandkeeper_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"sandkeeper.dev/go/sandkeeper"
	"sandkeeper.dev/go/sandkeeperv1"
)

func Example() {
	ctx := context.Background()
	client, err := sandkeeper.Connect("127.0.0.1:7400", os.Getenv("KEY"), sandkeeper.WithPlaintext())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sandbox, err := client.CreateSandbox(ctx, &sandkeeperv1.CreateSandboxRequest{Timeout: durationpb.New(2 * time.Minute)})
	if err != nil {
		log.Fatal(err)
	}
	defer client.TerminateSandbox(ctx, sandbox.GetSandboxId(), 0)
	execution, err := client.Execute(ctx, sandkeeper.ExecuteOptions{
		SandboxID: sandbox.GetSandboxId(),
		Code:      "print(6 * 7)",
		Language:  sandkeeperv1.Language_LANGUAGE_PYTHON,
	})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range execution.Events() {
		if err != nil {
			log.Fatal(err)
		}
		switch event := event.GetEvent().(type) {
		case *sandkeeperv1.ExecutionEvent_Stdout:
			os.Stdout.Write(event.Stdout.GetData())
		case *sandkeeperv1.ExecutionEvent_Finished:
			fmt.Println("exit code", event.Finished.GetExitCode())
		}
	}
}

func ExampleError() {
	var err error // of any call
	var failure *sandkeeper.Error
	if errors.As(err, &failure) && failure.Quota != nil {
		quota := failure.Quota
		fmt.Printf("limit %s has %d nano-USD left until %s\n", quota.LimitID, quota.RemainingNanoUSD, quota.ResetTime)
	}
}
