import type * as http2 from "node:http2";
import { Http2SessionManager } from "@connectrpc/connect-node";

/** The connection. A stream that ends without an answer fails, where the transport would wait for one for ever. */
export class Session extends Http2SessionManager {
  override async request(...request: Parameters<Http2SessionManager["request"]>): Promise<http2.ClientHttp2Stream> {
    const stream = await super.request(...request);
    const unanswered = () => stream.emit("error", new Error("the stream was closed without an answer"));
    stream.once("close", unanswered);
    stream.once("response", () => stream.off("close", unanswered));
    return stream;
  }
}
