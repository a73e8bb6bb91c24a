import { createGrpcWebTransport } from "@connectrpc/connect-web";
import type { CallOptions } from "./client.js";
import { Client } from "./client.js";

export { Client } from "./client.js";
export * from "./shared.js";

/** Where the server is. */
export interface ConnectOptions extends CallOptions {
  /** The server's address, such as `https://sandkeeper.example:7400`. It has to allow the page's origin. */
  baseUrl: string;
  /** The key's secret. Whoever uses the page can read it: give one that can do no more than they may. */
  apiKey: string;
}

/**
 * Makes a client for browsers, by gRPC-Web. A browser cannot stream a request, so there is no upload; `PUT` the bytes by
 * HTTP.
 */
export function connect({ baseUrl, apiKey, ...options }: ConnectOptions): Client {
  const transport = createGrpcWebTransport({
    baseUrl,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${apiKey}`);
        return next(request);
      },
    ],
  });
  return new Client(transport, options);
}
