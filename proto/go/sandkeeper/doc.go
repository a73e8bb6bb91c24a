// Package sandkeeper runs the code of AI agents in Sandkeeper's sandboxes.
//
// A [Client] is one connection, safe for use by many goroutines at once. [Client.Execute] runs a command or a piece of
// code and gives its events; a stream that breaks is attached again by itself, and every event is delivered once. Calls
// that are refused or fail return an [*Error].
//
// What the client has no method for, its stubs give as the contract has it; the messages are in
// sandkeeper.dev/go/sandkeeperv1.
package sandkeeper
