// Follows the table of proto/scenario/README.md with the installed client.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sandkeeper.dev/go/sandkeeper"
)

// A step is a row of the table.
type step struct {
	Name        string            `json:"name"`
	Action      string            `json:"action"`
	Arguments   json.RawMessage   `json:"arguments"`
	Target      string            `json:"target"`
	Key         string            `json:"key"`
	Expect      json.RawMessage   `json:"expect"`
	ExpectError json.RawMessage   `json:"expectError"`
	Save        map[string]string `json:"save"`
}

// object is any JSON object; its numbers are float64, as encoding/json reads them.
type object = map[string]any

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: runner TABLE")
		os.Exit(2)
	}
	if err := follow(os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func follow(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var table struct{ Steps []step }
	if err := json.Unmarshal(text, &table); err != nil {
		return err
	}
	values := map[string]string{"run": randomUUID()}
	for _, step := range table.Steps {
		if err := take(step, values); err != nil {
			return fmt.Errorf("failed %s: %w", step.Name, err)
		}
		fmt.Println("ok", step.Name)
	}
	fmt.Printf("%d passed, 0 failed\n", len(table.Steps))
	return nil
}

func randomUUID() string {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// take performs a step and compares what comes with what is expected.
func take(step step, values map[string]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	client, err := connect(step)
	if err != nil {
		return err
	}
	defer client.Close()
	result, err := perform(ctx, client, step.Action, filled(step.Arguments, values))
	var failure *sandkeeper.Error
	if errors.As(err, &failure) && step.ExpectError != nil {
		return compare(describe(failure), filled(step.ExpectError, values))
	}
	if err != nil {
		return err
	}
	if step.ExpectError != nil {
		return fmt.Errorf(": expected an error, got %v", result)
	}
	// What a result holds is compared as the JSON that it is.
	got, err := normal(result)
	if err != nil {
		return err
	}
	if err := compare(got, filled(step.Expect, values)); err != nil {
		return err
	}
	for name, path := range step.Save {
		values[name] = fmt.Sprint(at(got, path))
	}
	return nil
}

func connect(step step) (*sandkeeper.Client, error) {
	target, key := os.Getenv("SANDKEEPER_TARGET"), os.Getenv("SANDKEEPER_KEY")
	if step.Target == "cut" {
		target = os.Getenv("SANDKEEPER_CUT_TARGET")
	}
	if step.Key != "" {
		key = step.Key
	}
	return sandkeeper.Connect(target, key, sandkeeper.WithPlaintext())
}

var variable = regexp.MustCompile(`\$\{(\w+)\}`)

// filled puts saved values into a part of a step.
func filled(part json.RawMessage, values map[string]string) json.RawMessage {
	return variable.ReplaceAllFunc(part, func(reference []byte) []byte {
		text, err := json.Marshal(values[string(reference[2:len(reference)-1])])
		if err != nil {
			panic(err) // Strings can always be written.
		}
		return text[1 : len(text)-1]
	})
}

// normal turns a result into what encoding/json reads of it.
func normal(result any) (object, error) {
	text, err := json.Marshal(result)
	if err != nil {
		return nil, err
	}
	var read object
	return read, json.Unmarshal(text, &read)
}

func compare(result object, expected json.RawMessage) error {
	var expectations object
	if err := json.Unmarshal(expected, &expectations); err != nil {
		return err
	}
	for path, want := range expectations {
		got := at(result, path)
		ok, err := holds(want, got)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s: expected %v, got %v", path, want, got)
		}
	}
	return nil
}

// at walks through a result; nil where there is nothing.
func at(result any, path string) any {
	for _, name := range strings.Split(path, ".") {
		switch part := result.(type) {
		case object:
			result = part[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(part) {
				return nil
			}
			result = part[i]
		default:
			return nil
		}
	}
	return result
}

func holds(want, got any) (bool, error) {
	condition, ok := want.(object)
	if !ok {
		return reflect.DeepEqual(want, got), nil
	}
	if pattern, ok := condition["matches"].(string); ok {
		text, ok := got.(string)
		found, err := regexp.MatchString(pattern, text)
		return ok && found, err
	}
	if least, ok := condition["atLeast"].(float64); ok {
		number, err := strconv.ParseFloat(fmt.Sprint(got), 64)
		return err == nil && number >= least, nil
	}
	return false, fmt.Errorf("no such expectation: %v", want)
}
