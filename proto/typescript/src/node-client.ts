import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { CallOptions, DownloadOptions } from "./client.js";
import { Client } from "./client.js";
import type { WriteFileRequestSchema, WriteFileResponse } from "./gen/sandkeeper/v1/file_service_pb.js";

const CHUNK_BYTES = 256 * 1024;

/** A connection to Sandkeeper from Node: everything of {@link Client}, and files. */
export class SandkeeperClient extends Client {
  readonly #disconnect: () => void;

  /** Called by `connect`. */
  constructor(transport: Transport, options: CallOptions, disconnect: () => void) {
    super(transport, options);
    this.#disconnect = disconnect;
  }

  /**
   * Writes a file whole. Missing folders are made; a file of that name is replaced when the last byte has come. Reads
   * no faster than the server takes the bytes.
   *
   * @param path inside the sandbox; relative to /home/user
   * @param source the bytes, or what brings them, such as a readable stream; what it throws is thrown on, and nothing
   *   is written then
   * @param signal ends the call; nothing is written then
   */
  async upload(
    sandboxId: string,
    path: string,
    source: Uint8Array | AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<WriteFileResponse> {
    const chunks = (source instanceof Uint8Array ? only(source) : source)[Symbol.asyncIterator]();
    // Asked for before the call: a stream may fail at any time, and somebody must listen.
    const first = await chunks.next();
    let broken: { cause: unknown } | undefined;
    const next = () =>
      chunks.next().catch((cause: unknown) => {
        broken = { cause };
        throw cause;
      });
    async function* parts(): AsyncGenerator<MessageInitShape<typeof WriteFileRequestSchema>> {
      yield { part: { case: "target", value: { sandboxId, path } } };
      for (let chunk = first; !chunk.done; chunk = await next()) {
        const bytes = chunk.value;
        for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
          yield { part: { case: "data", value: bytes.subarray(start, start + CHUNK_BYTES) } };
        }
      }
    }
    try {
      return await this.files.writeFile(parts(), { signal });
    } catch (e) {
      throw broken === undefined ? e : broken.cause;
    } finally {
      // Not waited for: the source may have nothing to say for long.
      chunks.return?.().catch(() => {});
    }
  }

  /** Writes a file of this machine to one in the sandbox; see `upload`. */
  uploadFile(sandboxId: string, path: string, file: string, signal?: AbortSignal): Promise<WriteFileResponse> {
    return this.upload(sandboxId, path, createReadStream(file, { highWaterMark: CHUNK_BYTES }), signal);
  }

  /** Reads a file of the sandbox into one on this machine, which appears, or is replaced, when all bytes have come. */
  async downloadFile(sandboxId: string, path: string, file: string, options: DownloadOptions = {}): Promise<void> {
    const part = `${file}.${randomUUID()}.part`;
    try {
      await pipeline(this.downloadStream(sandboxId, path, options), createWriteStream(part, { flags: "wx" }));
      await rename(part, file);
    } finally {
      await rm(part, { force: true });
    }
  }

  /** Ends every call that is under way and closes the connection. Sandboxes and executions live on. */
  override close(): void {
    super.close();
    this.#disconnect();
  }
}

async function* only<T>(value: T): AsyncGenerator<T> {
  yield value;
}
