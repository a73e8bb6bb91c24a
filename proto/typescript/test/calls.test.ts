// Unary calls: what is sent, what is repeated, and what a refusal looks like.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { BadRequestSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { connect, LimitPeriod, QuotaExceededError, SandboxState, SandkeeperError, StatusCode } from "../src/index.js";
import { client, fails } from "./clients.js";
import { Code, ConnectError, FakeServer, refusal } from "./fake-server.js";

const SANDBOX = "s".repeat(20);

test("a sandbox is asked for with the key and a request id", async () => {
  let asked: unknown;
  await using server = await FakeServer.start({
    sandboxes: {
      createSandbox(request, { requestHeader }) {
        asked = { ...request, key: requestHeader.get("authorization"), agent: requestHeader.get("user-agent") };
        return { sandbox: { sandboxId: SANDBOX, state: SandboxState.RUNNING } };
      },
    },
  });
  using sandkeeper = client(server.target);
  const sandbox = await sandkeeper.createSandbox({ timeoutMs: 90_500, metadata: { purpose: "test" } });
  assert.equal(sandbox.sandboxId, SANDBOX);
  const { requestId, timeout, metadata, key, agent } = asked as Record<string, unknown>;
  assert.match(String(requestId), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(
    { ...(timeout as object) },
    { $typeName: "google.protobuf.Duration", seconds: 90n, nanos: 500_000_000 },
  );
  assert.deepEqual(metadata, { purpose: "test" });
  assert.equal(key, "Bearer sk_test");
  assert.match(String(agent), /^sandkeeper-client-typescript\//);
});

describe("a call that is safe to repeat", () => {
  const failing = (failures: number, failure: () => Error) => {
    let calls = 0;
    return () => {
      if (++calls <= failures) {
        throw failure();
      }
      return { sandbox: { sandboxId: SANDBOX, metadata: { calls: String(calls) } } };
    };
  };
  const unavailable = () => refusal(Code.Unavailable, "DATABASE_UNAVAILABLE", {}, 20);

  test("is tried three times", async () => {
    await using server = await FakeServer.start({ sandboxes: { getSandbox: failing(2, unavailable) } });
    using sandkeeper = client(server.target);
    assert.equal((await sandkeeper.getSandbox(SANDBOX)).metadata.calls, "3");
  });

  test("is not tried a fourth time", async () => {
    await using server = await FakeServer.start({ sandboxes: { getSandbox: failing(3, unavailable) } });
    using sandkeeper = client(server.target);
    await assert.rejects(sandkeeper.getSandbox(SANDBOX), fails(Code.Unavailable, "DATABASE_UNAVAILABLE"));
  });

  test("is not tried again when it was refused", async () => {
    const refused = () => refusal(Code.Internal, "INTERNAL");
    await using server = await FakeServer.start({ sandboxes: { getSandbox: failing(1, refused) } });
    using sandkeeper = client(server.target);
    await assert.rejects(sandkeeper.getSandbox(SANDBOX), fails(Code.Internal, "INTERNAL"));
  });

  test("is not tried again when the server asks to wait longer than the call may take", async () => {
    const later = () => refusal(Code.Unavailable, "ENGINE_UNAVAILABLE", {}, 900);
    await using server = await FakeServer.start({ sandboxes: { getSandbox: failing(1, later) } });
    using sandkeeper = client(server.target, { callTimeoutMs: 800 });
    await assert.rejects(sandkeeper.getSandbox(SANDBOX), fails(Code.Unavailable, "ENGINE_UNAVAILABLE"));
  });

  test("is tried again over a new connection", async () => {
    await using server = await FakeServer.start({ sandboxes: { getSandbox: failing(0, unavailable) } });
    let cuts = 0;
    server.intercept = () => {
      if (++cuts <= 2) {
        server.cut();
      }
    };
    using sandkeeper = client(server.target);
    assert.equal((await sandkeeper.getSandbox(SANDBOX)).sandboxId, SANDBOX);
    assert.equal(cuts, 3);
  });

  test("a creation keeps its request id", async () => {
    const ids: string[] = [];
    await using server = await FakeServer.start({
      sandboxes: {
        createSandbox({ requestId }) {
          if (ids.push(requestId) < 3) {
            throw unavailable();
          }
          return { sandbox: { sandboxId: SANDBOX } };
        },
      },
    });
    using sandkeeper = client(server.target);
    await sandkeeper.createSandbox();
    assert.equal(ids.length, 3);
    assert.equal(new Set(ids).size, 1);
  });
});

test("a limit is not set twice", async () => {
  let calls = 0;
  await using server = await FakeServer.start({
    quotas: {
      setLimit() {
        calls++;
        throw refusal(Code.Unavailable, "DATABASE_UNAVAILABLE", {}, 1);
      },
    },
  });
  using sandkeeper = client(server.target);
  const limit = sandkeeper.setLimit({ period: LimitPeriod.DAY, amountNanoUsd: 10n ** 18n });
  await assert.rejects(limit, fails(Code.Unavailable, "DATABASE_UNAVAILABLE"));
  assert.equal(calls, 1);
});

test("a call that is not answered in time is given up", async () => {
  await using server = await FakeServer.start({ sandboxes: { getSandbox: () => new Promise(() => {}) } });
  using sandkeeper = client(server.target, { callTimeoutMs: 100 });
  await assert.rejects(sandkeeper.getSandbox(SANDBOX), fails(Code.DeadlineExceeded, "DEADLINE_EXCEEDED"));
});

describe("a refusal", () => {
  const refusing = (failure: Error) =>
    FakeServer.start({
      sandboxes: {
        createSandbox() {
          throw failure;
        },
      },
    });

  test("by a limit carries its figures", async () => {
    const metadata = {
      limitId: "7",
      neededNanoUsd: "9007199254740993",
      period: "HOUR",
      remainingNanoUsd: "9007199254740995",
      resetTime: "2026-11-20T22:00:00Z",
    };
    await using server = await refusing(refusal(Code.ResourceExhausted, "QUOTA_EXCEEDED", metadata));
    using sandkeeper = client(server.target);
    await assert.rejects(sandkeeper.createSandbox(), (e) => {
      assert.ok(e instanceof QuotaExceededError);
      assert.ok(e instanceof SandkeeperError);
      assert.equal(e.name, "QuotaExceededError");
      assert.equal(e.code, StatusCode.ResourceExhausted);
      assert.equal(e.limitId, "7");
      assert.equal(e.remainingNanoUsd, 9007199254740995n);
      assert.equal(e.neededNanoUsd, 9007199254740993n);
      assert.deepEqual(e.resetTime, new Date("2026-11-20T22:00:00Z"));
      assert.equal(e.retryDelayMs, undefined);
      assert.equal(
        e.message,
        "RESOURCE_EXHAUSTED QUOTA_EXCEEDED: Refused. {limitId=7, neededNanoUsd=9007199254740993, " +
          "period=HOUR, remainingNanoUsd=9007199254740995, resetTime=2026-11-20T22:00:00Z}",
      );
      return true;
    });
  });

  test("by a limit of a lifetime has no reset time", async () => {
    await using server = await refusing(refusal(Code.ResourceExhausted, "QUOTA_EXCEEDED", { limitId: "7" }));
    using sandkeeper = client(server.target);
    await assert.rejects(sandkeeper.createSandbox(), (e) => {
      assert.ok(e instanceof QuotaExceededError);
      assert.equal(e.resetTime, undefined);
      return true;
    });
  });

  test("for its fields names them, also by a stub", async () => {
    const failure = refusal(Code.InvalidArgument, "INVALID_FIELD");
    failure.details.push({
      desc: BadRequestSchema,
      value: { fieldViolations: [{ field: "resources.cpu_cores", description: "9 (expected: 1 to 8)" }] },
    });
    await using server = await refusing(failure);
    using sandkeeper = client(server.target);
    await assert.rejects(sandkeeper.sandboxes.createSandbox({}), (e) => {
      assert.ok(e instanceof SandkeeperError);
      assert.deepEqual(e.violations, [{ field: "resources.cpu_cores", description: "9 (expected: 1 to 8)" }]);
      assert.equal(e.message, "INVALID_ARGUMENT INVALID_FIELD: Refused.; resources.cpu_cores: 9 (expected: 1 to 8)");
      return true;
    });
  });

  test("where waiting helps says how long", async () => {
    await using server = await refusing(refusal(Code.Aborted, "CONCURRENT_CHANGE", {}, 250));
    using sandkeeper = client(server.target);
    await assert.rejects(sandkeeper.createSandbox(), (e) => e instanceof SandkeeperError && e.retryDelayMs === 250);
  });

  test("that is not the server's own has its code's name", async () => {
    await using server = await refusing(new ConnectError("No such page.", Code.Unimplemented));
    using sandkeeper = client(server.target);
    await assert.rejects(sandkeeper.createSandbox(), fails(Code.Unimplemented, "UNIMPLEMENTED"));
  });
});

test("TLS is spoken unless told otherwise, with a server that is trusted", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sandkeeper-test-"));
  const [keyFile, certFile] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=sandkeeper.test";
  const names = ["-addext", "subjectAltName=DNS:sandkeeper.test,IP:127.0.0.1"];
  await promisify(execFile)("openssl", [...request.split(" "), ...names, "-keyout", keyFile, "-out", certFile]);
  const [key, ca] = [await readFile(keyFile, "utf8"), await readFile(certFile, "utf8")];
  await rm(folder, { recursive: true });
  const getSandbox = () => ({ sandbox: { sandboxId: SANDBOX } });
  await using server = await FakeServer.start({ sandboxes: { getSandbox } }, { key, cert: ca });

  for (const tls of [{ ca }, { ca, serverName: "sandkeeper.test" }]) {
    using sandkeeper = client(server.target, { tls });
    assert.equal((await sandkeeper.getSandbox(SANDBOX)).sandboxId, SANDBOX);
  }
  for (const tls of [undefined, true, false, { ca, serverName: "other.test" }]) {
    using sandkeeper = client(server.target, { tls });
    await assert.rejects(sandkeeper.getSandbox(SANDBOX), fails(Code.Unavailable, "UNAVAILABLE"));
  }
});

test("what cannot be meant is refused at once", () => {
  const apiKey = "sk_test";
  assert.throws(() => connect({ target: "http://a:1", apiKey }), /target: 'http:\/\/a:1' \(expected: host:port\)/);
  assert.throws(() => connect({ target: "a:1:2", apiKey }), TypeError);
  assert.throws(
    () => connect({ target: "a:1", apiKey, callTimeoutMs: 0 }),
    /callTimeoutMs: 0 \(expected: at least 1\)/,
  );
  assert.throws(() => connect({ target: "a:1", apiKey, giveUpAfterMs: Number.NaN }), RangeError);
});
