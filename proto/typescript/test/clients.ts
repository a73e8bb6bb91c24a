import assert from "node:assert/strict";
import type { ConnectOptions, SandkeeperClient } from "../src/index.js";
import { connect, SandkeeperError, StatusCode } from "../src/index.js";

/** A client of a test, which closes it. */
export function client(target: string, options: Partial<ConnectOptions> = {}): SandkeeperClient & Disposable {
  const made = connect({ target, apiKey: "sk_test", tls: false, ...options });
  return Object.assign(made, { [Symbol.dispose]: () => made.close() });
}

/** Says whether something was thrown as it should. */
export function fails(code: StatusCode, reason: string): (e: unknown) => true {
  return (e) => {
    assert.ok(e instanceof SandkeeperError, String(e));
    assert.equal(StatusCode[e.code], StatusCode[code], e.message);
    assert.equal(e.reason, reason);
    return true;
  };
}
