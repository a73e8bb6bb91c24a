// Follows executions of a real HTTP/2 server through every kind of cut.
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { describe, test } from "node:test";
import { create, toJson } from "@bufbuild/protobuf";
import type { ExecuteRequest, ExecutionEvent } from "../src/index.js";
import { ExecuteRequestSchema, Language } from "../src/index.js";
import { client, fails } from "./clients.js";
import { Code, ConnectError, EXECUTION_ID, FakeServer, heartbeat, Relay, refusal, someEvents } from "./fake-server.js";

const RUN = { sandboxId: "s".repeat(20), shell: "work" };

/** What a server does with the events before it gives them away. */
type Way = (events: ExecutionEvent[], call: number) => AsyncIterable<ExecutionEvent> | Iterable<ExecutionEvent>;

/** Runs one execution, which starts once however often it is asked for, and notes what was asked for. */
class OneExecution {
  readonly asked: string[] = [];
  readonly requestIds = new Set<string>();
  #calls = 0;

  constructor(
    readonly events: ExecutionEvent[],
    readonly way: Way = (events) => events,
  ) {}

  start(): Promise<FakeServer> {
    const self = this;
    return FakeServer.start({
      sandboxes: {
        async *execute({ requestId }) {
          self.asked.push("execute");
          self.requestIds.add(requestId);
          for await (const event of self.way(self.events, ++self.#calls)) {
            yield { event };
          }
        },
        async *attachExecution({ executionId, afterSequence }) {
          self.asked.push(`attach ${afterSequence}`);
          assert.equal(executionId, EXECUTION_ID);
          for await (const event of self.way(self.events.slice(Number(afterSequence)), ++self.#calls)) {
            yield { event };
          }
        },
      },
    });
  }
}

/** Gives the first events, then does something else, in the first call only. */
function firstCall(count: number, then: () => void): Way {
  return function* (events, call) {
    yield* call === 1 ? events.slice(0, count) : events;
    if (call === 1) {
      then();
    }
  };
}

async function all(events: AsyncIterable<ExecutionEvent>): Promise<ExecutionEvent[]> {
  const got: ExecutionEvent[] = [];
  for await (const event of events) {
    got.push(event);
  }
  return got;
}

test("every event is delivered once, in order, and the stream ends with finished", async () => {
  const execution = new OneExecution(someEvents(50));
  await using server = await execution.start();
  using sandkeeper = client(server.target);

  const stream = sandkeeper.execute(RUN);
  assert.deepEqual(await all(stream), execution.events);

  assert.equal(stream.executionId, EXECUTION_ID);
  assert.equal(stream.lastSequence, 52n);
  assert.equal(stream.reattachments, 0);
  assert.deepEqual(execution.asked, ["execute"]);
});

test("every event is delivered once however many bytes come before the connection is cut", async () => {
  const events = someEvents(40);
  const size = await sizeOnTheWire(events);
  assert.ok(size > 500, `${size} bytes`);
  let reattached = 0;
  const cutAfter = async (bytes: number) => {
    const execution = new OneExecution(events);
    await using server = await execution.start();
    await using relay = await Relay.start(server.target, [bytes, Math.floor(bytes / 2)]);
    using sandkeeper = client(relay.target);
    const stream = sandkeeper.execute(RUN);
    assert.deepEqual(await all(stream), events, `cut after ${bytes} bytes`);
    assert.equal(execution.requestIds.size, 1, "the program ran once");
    reattached += stream.reattachments;
  };
  // Cuts fall between frames, into their heads and into their data.
  for (let from = 1; from < size; from += 520) {
    const batch = Array.from({ length: 40 }, (_, i) => from + i * 13).filter((bytes) => bytes < size);
    await Promise.all(batch.map(cutAfter));
  }
  assert.ok(reattached > size / 13 / 2, `${reattached} times`);
});

/** How many bytes a server sends to a client that reads these events. */
async function sizeOnTheWire(events: ExecutionEvent[]): Promise<number> {
  await using server = await new OneExecution(events).start();
  await using relay = await Relay.start(server.target, []);
  using sandkeeper = client(relay.target);
  await all(sandkeeper.execute(RUN));
  return relay.sent;
}

describe("a stream that breaks is opened again behind the last event", () => {
  const breaks: [name: string, fail: () => void][] = [
    [
      "the server says UNAVAILABLE",
      () => {
        throw refusal(Code.Unavailable, "SHUTTING_DOWN");
      },
    ],
    [
      "a proxy says UNAVAILABLE",
      () => {
        throw new ConnectError("no upstream", Code.Unavailable);
      },
    ],
    [
      "a proxy says INTERNAL",
      () => {
        throw new ConnectError("upstream broke", Code.Internal);
      },
    ],
    [
      "a proxy says UNKNOWN",
      () => {
        throw new ConnectError("upstream broke", Code.Unknown);
      },
    ],
    [
      "a proxy says CANCELLED",
      () => {
        throw new ConnectError("upstream broke", Code.Canceled);
      },
    ],
    ["the stream ends without finished", () => {}],
  ];
  for (const [name, fail] of breaks) {
    test(`before the first event: ${name}`, async () => {
      const execution = new OneExecution(someEvents(5), firstCall(0, fail));
      await using server = await execution.start();
      using sandkeeper = client(server.target);
      const stream = sandkeeper.execute(RUN);
      assert.deepEqual(await all(stream), execution.events);
      assert.deepEqual(execution.asked, ["execute", "execute"]);
      assert.equal(execution.requestIds.size, 1, "under the same request id");
      assert.equal(stream.reattachments, 1);
    });
    test(`after some events: ${name}`, async () => {
      const execution = new OneExecution(someEvents(5), firstCall(3, fail));
      await using server = await execution.start();
      using sandkeeper = client(server.target);
      const stream = sandkeeper.execute(RUN);
      assert.deepEqual(await all(stream), execution.events);
      assert.deepEqual(execution.asked, ["execute", "attach 3"]);
      assert.equal(stream.reattachments, 1);
    });
  }

  const resets: [name: string, reset: (stream: ServerHttp2Stream, server: FakeServer) => void][] = [
    ["RST_STREAM NO_ERROR", (stream) => stream.close(constants.NGHTTP2_NO_ERROR)],
    ["RST_STREAM PROTOCOL_ERROR", (stream) => stream.close(constants.NGHTTP2_PROTOCOL_ERROR)],
    ["RST_STREAM INTERNAL_ERROR", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
    ["RST_STREAM REFUSED_STREAM", (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM)],
    ["RST_STREAM CANCEL", (stream) => stream.close(constants.NGHTTP2_CANCEL)],
    ["GOAWAY", (stream) => stream.session?.destroy()],
    ["GOAWAY with an error", (stream) => stream.session?.destroy(undefined, constants.NGHTTP2_INTERNAL_ERROR)],
    ["a reset of the connection", (_, server) => server.cut()],
  ];
  const answers: typeof resets = [
    [
      "an end without trailers",
      (stream) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
        stream.end();
      },
    ],
    [
      "a proxy's page",
      (stream) => {
        stream.respond({ ":status": 503, "content-type": "text/html" });
        stream.end("<h1>Try later</h1>");
      },
    ],
  ];
  for (const [name, reset] of [...resets, ...answers]) {
    test(`at once: ${name}`, async () => {
      const execution = new OneExecution(someEvents(5));
      await using server = await execution.start();
      let streams = 0;
      server.intercept = (stream) => {
        if (++streams <= 2) {
          reset(stream, server);
        }
      };
      using sandkeeper = client(server.target);
      const stream = sandkeeper.execute(RUN);
      assert.deepEqual(await all(stream), execution.events);
      assert.equal(stream.reattachments, 2);
    });
  }
  for (const [name, reset] of resets) {
    test(`in the middle: ${name}`, async () => {
      const execution = new OneExecution(someEvents(5), async function* (events, call) {
        yield* call === 1 ? events.slice(0, 3) : events;
        if (call === 1) {
          await new Promise(() => {});
        }
      });
      await using server = await execution.start();
      const streams: ServerHttp2Stream[] = [];
      server.intercept = (stream) => streams.push(stream);
      using sandkeeper = client(server.target);
      const stream = sandkeeper.execute(RUN);
      const got: ExecutionEvent[] = [];
      for await (const event of stream) {
        if (got.push(event) === 3 && streams[0]) {
          reset(streams[0], server);
        }
      }
      assert.deepEqual(got, execution.events);
      assert.equal(stream.reattachments, 1);
    });
  }

  test("the server is away for a while", async () => {
    const execution = new OneExecution(
      someEvents(5),
      firstCall(3, () => {
        throw refusal(Code.Unavailable, "SHUTTING_DOWN");
      }),
    );
    await using server = await execution.start();
    await using relay = await Relay.start(server.target, [100_000, 0, 0, 0]);
    using sandkeeper = client(relay.target);
    const events = sandkeeper.execute(RUN);
    assert.deepEqual(await all(events), execution.events);
  });

  test("an attached one too", async () => {
    const execution = new OneExecution(
      someEvents(9),
      firstCall(3, () => {
        throw new ConnectError("", Code.Unavailable);
      }),
    );
    await using server = await execution.start();
    using sandkeeper = client(server.target);
    const stream = sandkeeper.attach(EXECUTION_ID, 4n);
    assert.deepEqual(await all(stream), execution.events.slice(4));
    assert.deepEqual(execution.asked, ["attach 4", "attach 7"]);
  });

  test("as often as it breaks, while there is progress", async () => {
    const execution = new OneExecution(someEvents(30), function* (events) {
      yield* events.slice(0, 2);
      if (events.length > 2) {
        throw new ConnectError("", Code.Unavailable);
      }
    });
    await using server = await execution.start();
    // Shorter than all the waits together: progress starts the clock anew.
    using sandkeeper = client(server.target, { giveUpAfterMs: 500 });
    const stream = sandkeeper.execute(RUN);
    assert.deepEqual(await all(stream), execution.events);
    assert.equal(stream.reattachments, 15);
  });
});

describe("what the server refuses is final", () => {
  const refusals: [code: Code, reason: string][] = [
    [Code.NotFound, "EXECUTION_NOT_FOUND"],
    [Code.OutOfRange, "SEQUENCE_NOT_KEPT"],
    [Code.FailedPrecondition, "SANDBOX_NOT_RUNNING"],
    [Code.Internal, "INTERNAL"],
    [Code.Canceled, "GRPC_CANCELLED"],
    [Code.Unknown, "GRPC_UNKNOWN"],
    [Code.Unauthenticated, "INVALID_CREDENTIALS"],
  ];
  for (const [code, reason] of refusals) {
    test(reason, async () => {
      const execution = new OneExecution(
        someEvents(5),
        firstCall(3, () => {
          throw refusal(code, reason);
        }),
      );
      await using server = await execution.start();
      using sandkeeper = client(server.target);
      const stream = sandkeeper.execute(RUN);
      await assert.rejects(all(stream), fails(code, reason));
      assert.deepEqual(execution.asked, ["execute"]);
      assert.equal(stream.lastSequence, 3n, "what was delivered stays known");
    });
  }

  test("after a break too", async () => {
    const execution = new OneExecution(someEvents(5), function* (events, call) {
      yield* events.slice(0, 2);
      throw call === 1 ? new ConnectError("", Code.Unavailable) : refusal(Code.OutOfRange, "SEQUENCE_NOT_KEPT");
    });
    await using server = await execution.start();
    using sandkeeper = client(server.target);
    await assert.rejects(all(sandkeeper.execute(RUN)), fails(Code.OutOfRange, "SEQUENCE_NOT_KEPT"));
    assert.deepEqual(execution.asked, ["execute", "attach 2"]);
  });

  test("a request that cannot be written", async () => {
    await using server = await new OneExecution(someEvents(1)).start();
    using sandkeeper = client(server.target);
    await assert.rejects(
      all(sandkeeper.attach(EXECUTION_ID, 0.5 as unknown as bigint)),
      fails(Code.Internal, "INTERNAL"),
    );
  });
});

test("events that came before are dropped", async () => {
  const execution = new OneExecution(someEvents(9), function* (events, call) {
    if (call === 1) {
      yield* events.slice(0, 5);
      throw new ConnectError("", Code.Unavailable);
    }
    yield* execution.events;
  });
  await using server = await execution.start();
  using sandkeeper = client(server.target);
  assert.deepEqual(await all(sandkeeper.execute(RUN)), execution.events);
});

test("a missing event is an error", async () => {
  const execution = new OneExecution(someEvents(9), (events) => events.filter(({ sequence }) => sequence !== 4n));
  await using server = await execution.start();
  using sandkeeper = client(server.target);
  const stream = sandkeeper.execute(RUN);
  await assert.rejects(all(stream), fails(Code.DataLoss, "DATA_LOSS"));
  assert.equal(stream.lastSequence, 3n);
});

describe("heartbeats", () => {
  const execution = () => new OneExecution(someEvents(2), (events) => events.flatMap((event) => [heartbeat(), event]));

  test("are shown to nobody", async () => {
    const quiet = execution();
    await using server = await quiet.start();
    using sandkeeper = client(server.target);
    assert.deepEqual(await all(sandkeeper.execute(RUN)), quiet.events);
  });

  test("are shown to who asks for them", async () => {
    await using server = await execution().start();
    using sandkeeper = client(server.target);
    const events = await all(sandkeeper.execute({ ...RUN, heartbeats: true }));
    assert.deepEqual(
      events.map(({ event }) => event.case),
      ["heartbeat", "started", "heartbeat", "stdout", "heartbeat", "stdout", "heartbeat", "finished"],
    );
  });
});

describe("giving up", () => {
  test("without progress, with the last failure", async () => {
    const execution = new OneExecution(someEvents(5), function* (events, call) {
      yield* call === 1 ? events.slice(0, 2) : [];
      throw refusal(Code.Unavailable, call === 1 ? "SHUTTING_DOWN" : "DATABASE_UNAVAILABLE");
    });
    await using server = await execution.start();
    using sandkeeper = client(server.target, { giveUpAfterMs: 1_000 });
    await assert.rejects(all(sandkeeper.execute(RUN)), fails(Code.Unavailable, "DATABASE_UNAVAILABLE"));
    assert.ok(execution.asked.length >= 3, String(execution.asked));
  });

  test("when nothing listens any more", async () => {
    const server = await new OneExecution([]).start();
    const { target } = server;
    await server[Symbol.asyncDispose]();
    using sandkeeper = client(target, { giveUpAfterMs: 300 });
    await assert.rejects(all(sandkeeper.execute(RUN)), fails(Code.Unavailable, "UNAVAILABLE"));
  });

  test("at once, when told so", async () => {
    const execution = new OneExecution(
      someEvents(5),
      firstCall(2, () => {
        throw new ConnectError("", Code.Unavailable);
      }),
    );
    await using server = await execution.start();
    using sandkeeper = client(server.target, { giveUpAfterMs: 0 });
    await assert.rejects(all(sandkeeper.execute(RUN)), fails(Code.Unavailable, "UNAVAILABLE"));
    assert.deepEqual(execution.asked, ["execute"]);
  });

  test("when the server asks to wait longer than that", async () => {
    const execution = new OneExecution([], () => {
      throw refusal(Code.Unavailable, "ENGINE_UNAVAILABLE", {}, 900);
    });
    await using server = await execution.start();
    using sandkeeper = client(server.target, { giveUpAfterMs: 800 });
    await assert.rejects(all(sandkeeper.execute(RUN)), fails(Code.Unavailable, "ENGINE_UNAVAILABLE"));
    assert.deepEqual(execution.asked, ["execute"]);
  });
});

describe("an end by the reader", () => {
  /** An execution that goes on for ever, and tells when its call was cancelled. */
  function endless() {
    let cancelled = () => {};
    const isCancelled = new Promise<void>((resolve) => {
      cancelled = resolve;
    });
    const methods: string[] = [];
    const start = async () => {
      const server = await FakeServer.start({
        sandboxes: {
          async *execute(_, { signal }) {
            signal.addEventListener("abort", cancelled);
            yield* someEvents(3)
              .slice(0, 4)
              .map((event) => ({ event }));
            await new Promise(() => {});
          },
        },
      });
      server.intercept = (_, path) => methods.push(path);
      return server;
    };
    return { start, isCancelled, methods };
  }

  test("break cancels the call, and only the call", async () => {
    const { start, isCancelled, methods } = endless();
    await using server = await start();
    using sandkeeper = client(server.target);
    for await (const { event } of sandkeeper.execute(RUN)) {
      if (event.case === "stderr") {
        break;
      }
    }
    await isCancelled;
    assert.deepEqual(methods, ["/sandkeeper.v1.SandboxService/Execute"]);
  });

  test("return ends a wait for the next event", async () => {
    const { start, isCancelled } = endless();
    await using server = await start();
    using sandkeeper = client(server.target);
    const stream = sandkeeper.execute(RUN);
    for (let i = 0; i < 4; i++) {
      await stream.next();
    }
    const waiting = assert.rejects(stream.next(), fails(Code.Canceled, "CANCELLED"));
    await stream.return();
    await waiting;
    await isCancelled;
    assert.deepEqual(await stream.next(), { value: undefined, done: true });
  });

  test("a signal ends it, without another try", async () => {
    const { start, isCancelled, methods } = endless();
    await using server = await start();
    using sandkeeper = client(server.target);
    const cancel = new AbortController();
    const reading = (async () => {
      for await (const { event } of sandkeeper.execute({ ...RUN, signal: cancel.signal })) {
        if (event.case === "stderr") {
          cancel.abort();
        }
      }
    })();
    await assert.rejects(reading, fails(Code.Canceled, "CANCELLED"));
    await isCancelled;
    assert.equal(methods.length, 1);
  });

  test("closing the client ends it, without another try", async () => {
    const { start, isCancelled, methods } = endless();
    await using server = await start();
    const sandkeeper = client(server.target);
    const reading = (async () => {
      for await (const { event } of sandkeeper.execute(RUN)) {
        if (event.case === "stderr") {
          sandkeeper.close();
        }
      }
    })();
    await assert.rejects(reading, fails(Code.Canceled, "CANCELLED"));
    await isCancelled;
    await assert.rejects(sandkeeper.getSandbox(RUN.sandboxId), fails(Code.Canceled, "CANCELLED"));
    assert.equal(methods.length, 1);
  });
});

test("a reader who does not read holds the server back, and nobody else", async () => {
  const [started, , finished] = someEvents(1);
  assert.ok(started && finished);
  const data = new Uint8Array(256 * 1024);
  const chunks = 200;
  await using server = await FakeServer.start({
    sandboxes: {
      getSandbox: () => ({ sandbox: RUN }),
      async *execute() {
        yield { event: started };
        for (let i = 0; i < chunks; i++) {
          yield { event: { sequence: BigInt(i + 2), event: { case: "stdout", value: { data } } } };
        }
        yield { event: { ...finished, sequence: BigInt(chunks + 2) } };
      },
    },
  });
  await using relay = await Relay.start(server.target, []);
  using sandkeeper = client(relay.target);
  const stream = sandkeeper.execute(RUN);
  await stream.next();
  await settled(() => relay.sent);
  assert.ok(relay.sent < 4 * 1024 * 1024, `${relay.sent} bytes were sent to a client that read nothing`);
  assert.equal((await sandkeeper.getSandbox(RUN.sandboxId)).sandboxId, RUN.sandboxId, "other calls go on");
  let bytes = 0;
  await stream.wait({
    stdout: (chunk) => {
      bytes += chunk.length;
    },
  });
  assert.equal(bytes, chunks * data.length);
});

/** Waits until a figure did not change for a tenth of a second. */
async function settled(figure: () => number): Promise<void> {
  for (let before = -1; before !== figure(); ) {
    before = figure();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("wait hands on both outputs and returns the end", async () => {
  await using server = await new OneExecution(someEvents(4)).start();
  using sandkeeper = client(server.target);
  let out = "";
  let err = "";
  const finished = await sandkeeper.execute(RUN).wait({
    stdout: (data) => {
      out += Buffer.from(data);
    },
    stderr: (data) => {
      err += Buffer.from(data);
    },
  });
  assert.equal(out, "line 0\nline 1\nline 3\n");
  assert.equal(err, "line 2\n");
  assert.equal(finished.exitCode, 0);
});

test("exactly one of argv, shell and code is run", () => {
  using sandkeeper = client("127.0.0.1:1");
  assert.throws(
    () => sandkeeper.execute({ sandboxId: RUN.sandboxId } as typeof RUN),
    /exactly one of argv, shell and code/,
  );
});

test("what is to be run is sent as it was given", async () => {
  const got: ExecuteRequest[] = [];
  await using server = await FakeServer.start({
    sandboxes: {
      async *execute(request) {
        got.push(request);
        yield* someEvents(0).map((event) => ({ event }));
      },
    },
  });
  using sandkeeper = client(server.target);
  const sandboxId = RUN.sandboxId;
  const before = create(ExecuteRequestSchema, { sandboxId, workingDirectory: "/tmp", environment: { A: "b" } });
  await sandkeeper.execute({ sandboxId, argv: ["ls", "-l"], stdin: "grüße", deadlineMs: 1_500 }).wait();
  await sandkeeper.execute({ sandboxId, shell: "ls", stdin: Uint8Array.of(1, 2) }).wait();
  await sandkeeper.execute({ ...before, code: "6 * 7", language: Language.PYTHON }).wait();
  const [argv, shell, code] = got.map((request) => toJson(ExecuteRequestSchema, { ...request, requestId: "" }));
  assert.deepEqual(argv, { sandboxId, command: { argv: ["ls", "-l"] }, stdin: "Z3LDvMOfZQ==", deadline: "1.500s" });
  assert.deepEqual(shell, { sandboxId, command: { shell: "ls" }, stdin: "AQI=" });
  assert.deepEqual(code, {
    sandboxId,
    code: { language: "LANGUAGE_PYTHON", source: "6 * 7" },
    workingDirectory: "/tmp",
    environment: { A: "b" },
  });
});
