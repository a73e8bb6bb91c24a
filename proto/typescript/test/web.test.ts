// The client of browsers, by gRPC-Web over HTTP/1.1 and fetch.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../src/web.js";
import { fails } from "./clients.js";
import { Code, FakeServer, refusal, someEvents } from "./fake-server.js";

const SANDBOX = "s".repeat(20);

test("an execution is followed through a connection that is cut", async () => {
  const events = someEvents(5);
  await using server = await FakeServer.startForWeb({
    sandboxes: {
      async *execute() {
        yield* events.slice(0, 3).map((event) => ({ event }));
        await new Promise((resolve) => setImmediate(resolve));
        server.cut();
      },
      async *attachExecution({ afterSequence }) {
        yield* events.slice(Number(afterSequence)).map((event) => ({ event }));
      },
    },
  });
  const sandkeeper = connect({ baseUrl: `http://${server.target}`, apiKey: "sk_test" });
  const got = [];
  for await (const event of sandkeeper.execute({ sandboxId: SANDBOX, argv: ["true"] })) {
    got.push(event);
  }
  assert.deepEqual(got, events);
});

test("the key is sent, and a refusal says why", async () => {
  let key: string | null = null;
  await using server = await FakeServer.startForWeb({
    sandboxes: {
      getSandbox(_, { requestHeader }) {
        key = requestHeader.get("authorization");
        throw refusal(Code.NotFound, "SANDBOX_NOT_FOUND");
      },
    },
  });
  const sandkeeper = connect({ baseUrl: `http://${server.target}`, apiKey: "sk_test" });
  await assert.rejects(sandkeeper.getSandbox(SANDBOX), fails(Code.NotFound, "SANDBOX_NOT_FOUND"));
  assert.equal(key, "Bearer sk_test");
});
