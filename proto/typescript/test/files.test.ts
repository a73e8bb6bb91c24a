// Files on their way in and out.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { client, fails } from "./clients.js";
import { Code, ConnectError, FakeServer, refusal } from "./fake-server.js";

const SANDBOX = "s".repeat(20);
const BYTES = randomBytes(1_000_003);

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "sandkeeper-test-"));
});
after(() => rm(folder, { recursive: true }));

describe("upload", () => {
  /** A server that keeps what comes. */
  function keeping() {
    const kept = { path: "", bytes: Buffer.alloc(0), largest: 0, whole: false };
    const server = FakeServer.start({
      files: {
        async writeFile(parts) {
          for await (const { part } of parts) {
            if (part.case === "target") {
              assert.equal(part.value.sandboxId, SANDBOX);
              kept.path = part.value.path;
            } else if (part.case === "data") {
              kept.bytes = Buffer.concat([kept.bytes, part.value]);
              kept.largest = Math.max(kept.largest, part.value.length);
            }
          }
          kept.whole = true;
          return { file: { path: kept.path, sizeBytes: BigInt(kept.bytes.length) } };
        },
      },
    });
    return { kept, server };
  }

  test("of bytes", async () => {
    const { kept, server } = keeping();
    await using started = await server;
    using sandkeeper = client(started.target);
    const { file } = await sandkeeper.upload(SANDBOX, "a/b", BYTES);
    assert.equal(file?.sizeBytes, BigInt(BYTES.length));
    assert.equal(kept.path, "a/b");
    assert.deepEqual(kept.bytes, BYTES);
    assert.ok(kept.largest <= 1_048_576);
  });

  test("of nothing", async () => {
    const { kept, server } = keeping();
    await using started = await server;
    using sandkeeper = client(started.target);
    await sandkeeper.upload(SANDBOX, "empty", new Uint8Array());
    assert.equal(kept.bytes.length, 0);
    assert.ok(kept.whole);
  });

  test("of a file", async () => {
    const { kept, server } = keeping();
    await using started = await server;
    using sandkeeper = client(started.target);
    const file = join(folder, "source");
    await writeFile(file, BYTES);
    await sandkeeper.uploadFile(SANDBOX, "copy", file);
    assert.deepEqual(kept.bytes, BYTES);
  });

  test("of a file that is not there throws what the file system says", async () => {
    const { kept, server } = keeping();
    await using started = await server;
    using sandkeeper = client(started.target);
    await assert.rejects(sandkeeper.uploadFile(SANDBOX, "copy", join(folder, "none")), { code: "ENOENT" });
    assert.equal(kept.whole, false);
  });

  test("of a source that breaks leaves nothing", async () => {
    const { kept, server } = keeping();
    await using started = await server;
    using sandkeeper = client(started.target);
    async function* source() {
      yield BYTES.subarray(0, 300_000);
      throw new TypeError("the source broke");
    }
    await assert.rejects(sandkeeper.upload(SANDBOX, "copy", source()), new TypeError("the source broke"));
    assert.equal(kept.whole, false);
  });

  test("that the server refuses in the middle says why", async () => {
    await using server = await FakeServer.start({
      files: {
        async writeFile(parts) {
          let bytes = 0;
          for await (const { part } of parts) {
            bytes += part.case === "data" ? part.value.length : 0;
            if (bytes > 500_000) {
              throw refusal(Code.ResourceExhausted, "SIZE_LIMIT_EXCEEDED");
            }
          }
          return {};
        },
      },
    });
    using sandkeeper = client(server.target);
    let taken = 0;
    async function* endless() {
      for (; taken < 100_000; taken++) {
        yield BYTES;
      }
    }
    await assert.rejects(
      sandkeeper.upload(SANDBOX, "large", endless()),
      fails(Code.ResourceExhausted, "SIZE_LIMIT_EXCEEDED"),
    );
    assert.ok(taken < 100, `${taken} times a megabyte was taken`);
  });

  test("ends when its signal says so", async () => {
    const { kept, server } = keeping();
    await using started = await server;
    using sandkeeper = client(started.target);
    const cancel = new AbortController();
    async function* source() {
      yield BYTES;
      cancel.abort();
      yield BYTES;
    }
    await assert.rejects(
      sandkeeper.upload(SANDBOX, "copy", source(), cancel.signal),
      fails(Code.Canceled, "CANCELLED"),
    );
    assert.equal(kept.whole, false);
  });
});

describe("download", () => {
  const serving = (failAfter = Number.POSITIVE_INFINITY) =>
    FakeServer.start({
      files: {
        async *readFile({ path, offset, length }) {
          if (path !== "data") {
            throw refusal(Code.NotFound, "FILE_NOT_FOUND");
          }
          yield { part: { case: "file" as const, value: { path, sizeBytes: BigInt(BYTES.length) } } };
          const end = length === 0n ? BYTES.length : Number(offset + length);
          for (let start = Number(offset); start < end; start += 262_144) {
            if (start >= failAfter) {
              throw new ConnectError("broke", Code.Unavailable);
            }
            yield { part: { case: "data" as const, value: BYTES.subarray(start, Math.min(start + 262_144, end)) } };
          }
        },
      },
    });

  test("of a whole file and of a range", async () => {
    await using server = await serving();
    using sandkeeper = client(server.target);
    assert.deepEqual(Buffer.from(await sandkeeper.download(SANDBOX, "data")), BYTES);
    const part = await sandkeeper.download(SANDBOX, "data", { offset: 5n, length: 600_000n });
    assert.deepEqual(Buffer.from(part), BYTES.subarray(5, 600_005));
  });

  test("into a file replaces it", async () => {
    await using server = await serving();
    using sandkeeper = client(server.target);
    const file = join(folder, "target");
    await writeFile(file, "before");
    await sandkeeper.downloadFile(SANDBOX, "data", file);
    assert.deepEqual(await readFile(file), BYTES);
  });

  test("that breaks leaves the file as it was, and nothing beside it", async () => {
    await using server = await serving(500_000);
    using sandkeeper = client(server.target);
    const here = await mkdtemp(join(folder, "broken-"));
    const file = join(here, "target");
    await writeFile(file, "before");
    await assert.rejects(sandkeeper.downloadFile(SANDBOX, "data", file), fails(Code.Unavailable, "UNAVAILABLE"));
    assert.equal(await readFile(file, "utf8"), "before");
    assert.deepEqual(await readdir(here), ["target"]);
  });

  test("of a file that is not there is refused", async () => {
    await using server = await serving();
    using sandkeeper = client(server.target);
    await assert.rejects(sandkeeper.download(SANDBOX, "none"), fails(Code.NotFound, "FILE_NOT_FOUND"));
  });
});
