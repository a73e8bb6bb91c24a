import { createGrpcTransport } from "@connectrpc/connect-node";
import type { CallOptions } from "./client.js";
import { SandkeeperClient } from "./node-client.js";
import { Session } from "./session.js";

export { SandkeeperClient } from "./node-client.js";
export * from "./shared.js";

/** Where the server is, and how it is spoken to. */
export interface ConnectOptions extends CallOptions {
  /** The server as `host:port`. */
  target: string;
  /** The key's secret. */
  apiKey: string;
  /**
   * Whether to speak TLS; false for a server on this machine, or behind something that adds TLS. `ca` is a
   * certificate in PEM to trust in place of the machine's own, `serverName` what the server's has to be for in place of
   * the target's host. Absent: true.
   */
  tls?: boolean | { ca?: string | Uint8Array; serverName?: string };
}

const VERSION = "0.1.0";

/** The largest answer, in bytes: a bundle of results may be large. */
const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;

/** Makes a client; it connects with its first call, by gRPC over HTTP/2. */
export function connect({ target, apiKey, tls = true, ...options }: ConnectOptions): SandkeeperClient {
  const baseUrl = `${tls === false ? "http" : "https"}://${target}`;
  if (!URL.canParse(baseUrl) || new URL(baseUrl).host.length === 0 || target.includes("/")) {
    throw new TypeError(`target: '${target}' (expected: host:port)`);
  }
  const secure = typeof tls === "object" ? { ca: tls.ca && Buffer.from(tls.ca), servername: tls.serverName } : {};
  const session = new Session(baseUrl, secure);
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager: session,
    readMaxBytes: MAX_MESSAGE_BYTES,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${apiKey}`);
        request.header.set("user-agent", `sandkeeper-client-typescript/${VERSION}`);
        return next(request);
      },
    ],
  });
  return new SandkeeperClient(transport, options, () => session.abort());
}
