import type * as http2 from "node:http2";
import { Http2SessionManager } from "@connectrpc/connect-node";

/** How much may be under way before the reader takes it, in bytes: in each stream, and in the connection. */
const WINDOW_BYTES = 1024 * 1024;

/** The connection: pinged while calls are open, with room for fast streams. */
export class Session extends Http2SessionManager {
  constructor(url: string, options: http2.SecureClientSessionOptions) {
    super(
      url,
      { pingIntervalMs: 30_000, pingTimeoutMs: 10_000 },
      { ...options, settings: { initialWindowSize: WINDOW_BYTES } },
    );
  }

  override async request(...request: Parameters<Http2SessionManager["request"]>): Promise<http2.ClientHttp2Stream> {
    const stream = await super.request(...request);
    if (stream.session?.state.effectiveLocalWindowSize !== WINDOW_BYTES) {
      stream.session?.setLocalWindowSize(WINDOW_BYTES);
    }
    // A stream that ends without an answer fails, where the transport would wait for one for ever.
    const unanswered = () => stream.emit("error", new Error("the stream was closed without an answer"));
    stream.once("close", unanswered);
    stream.once("response", () => stream.off("close", unanswered));
    return stream;
  }
}
