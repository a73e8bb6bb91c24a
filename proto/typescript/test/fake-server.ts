import * as http from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import * as http2 from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import * as net from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import type { ExecutionEvent } from "../src/index.js";
import { ExecutionEventSchema, FileService, FinishReason, QuotaService, SandboxService } from "../src/index.js";

/** What a test lets the server do. */
export interface Behaviour {
  sandboxes?: Partial<ServiceImpl<typeof SandboxService>>;
  files?: Partial<ServiceImpl<typeof FileService>>;
  quotas?: Partial<ServiceImpl<typeof QuotaService>>;
}

/** A server of a port of its own, which can be made to fail in every way. */
export class FakeServer implements AsyncDisposable {
  /** Sees each HTTP/2 stream first; one that it ends itself is not served. */
  intercept: (stream: ServerHttp2Stream, path: string) => void = () => {};
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
  }

  /** @param tls the key and the certificate to speak TLS with */
  static start(behaviour: Behaviour, tls?: { key: string; cert: string }): Promise<FakeServer> {
    const serve = FakeServer.#routes(behaviour);
    return FakeServer.#listen((fake) => {
      const handle = (request: Http2ServerRequest, response: Http2ServerResponse) => {
        const { stream } = request;
        stream.on("error", () => {});
        fake().intercept(stream, request.url);
        if (!stream.closed && !stream.destroyed && !stream.headersSent) {
          serve(request, response);
        }
      };
      return tls === undefined ? http2.createServer(handle) : http2.createSecureServer(tls, handle);
    });
  }

  /** Starts a server for clients that speak HTTP/1.1, as fetch does. */
  static startForWeb(behaviour: Behaviour): Promise<FakeServer> {
    return FakeServer.#listen(() => http.createServer(FakeServer.#routes(behaviour)));
  }

  static #routes(behaviour: Behaviour) {
    return connectNodeAdapter({
      routes: (router) => {
        router.service(SandboxService, behaviour.sandboxes ?? {});
        router.service(FileService, behaviour.files ?? {});
        router.service(QuotaService, behaviour.quotas ?? {});
      },
    });
  }

  static async #listen(create: (fake: () => FakeServer) => Server): Promise<FakeServer> {
    const server = create(() => fake);
    const fake = new FakeServer(server, await listen(server));
    return fake;
  }

  get target(): string {
    return address(this.#server);
  }

  /** Ends every connection as if a cable were cut. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.resetAndDestroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#server, this.#sockets);
  }
}

/** Forwards connections to a server, and cuts some of them when the client was sent so many bytes. */
export class Relay implements AsyncDisposable {
  /** How many bytes were sent to clients. */
  sent = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
  }

  /** @param cutAfter how many bytes of each connection reach the client; connections after the last are not cut */
  static async start(target: string, cutAfter: number[]): Promise<Relay> {
    const cuts = [...cutAfter];
    const [host = "", port = ""] = target.split(":");
    let relay: Relay;
    const server = net.createServer((client) => {
      const upstream = net.connect(Number(port), host);
      let left = cuts.shift() ?? Number.POSITIVE_INFINITY;
      const end = () => {
        client.destroy();
        upstream.destroy();
      };
      for (const socket of [client, upstream]) {
        socket.on("error", end);
        socket.on("close", end);
      }
      client.pipe(upstream);
      upstream.on("data", (chunk: Buffer) => {
        client.write(chunk.subarray(0, left));
        relay.sent += Math.min(chunk.length, left);
        left -= chunk.length;
        if (left <= 0) {
          upstream.destroy();
          client.end();
        }
      });
    });
    relay = new Relay(server, await listen(server));
    return relay;
  }

  get target(): string {
    return address(this.#server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#server, this.#sockets);
  }
}

async function listen(server: Server): Promise<Set<Socket>> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return sockets;
}

function address(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function stop(server: Server, sockets: Set<Socket>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  for (const socket of sockets) {
    socket.destroy();
  }
  await closed;
}

export const EXECUTION_ID = "e".repeat(20);

/** The events of an execution that writes so many times. */
export function someEvents(writes: number): ExecutionEvent[] {
  const events: MessageInitShape<typeof ExecutionEventSchema>["event"][] = [
    { case: "started", value: { executionId: EXECUTION_ID, pid: 9 } },
  ];
  for (let i = 0; i < writes; i++) {
    events.push({ case: i % 3 === 2 ? "stderr" : "stdout", value: { data: new TextEncoder().encode(`line ${i}\n`) } });
  }
  events.push({ case: "finished", value: { reason: FinishReason.COMPLETED, exitCode: 0 } });
  return events.map((event, i) => create(ExecutionEventSchema, { sequence: BigInt(i + 1), event }));
}

export function heartbeat(): ExecutionEvent {
  return create(ExecutionEventSchema, { event: { case: "heartbeat", value: {} } });
}

/** A refusal as the server sends it. */
export function refusal(
  code: Code,
  reason: string,
  metadata: Record<string, string> = {},
  retryMs?: number,
): ConnectError {
  const error = new ConnectError("Refused.", code);
  error.details.push({ desc: ErrorInfoSchema, value: { reason, domain: "sandkeeper.dev", metadata } });
  if (retryMs !== undefined) {
    error.details.push({ desc: RetryInfoSchema, value: { retryDelay: { nanos: retryMs * 1_000_000 } } });
  }
  return error;
}

export { Code, ConnectError };
