import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";

test("waits double up to the longest", () => {
  const backoff = new Backoff(5_000, () => 0);
  const waits = Array.from({ length: 8 }, () => backoff.next());
  assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
});

test("chance shortens a wait by up to a half", () => {
  const backoff = new Backoff(5_000, () => 0.999);
  assert.equal(Math.round(backoff.next()), 50);
  assert.equal(Math.round(backoff.next()), 100);
});

test("a wait is never shorter than the server asked for", () => {
  const backoff = new Backoff(5_000, () => 0);
  assert.equal(backoff.next(9_000), 9_000);
  assert.equal(backoff.next(9), 200);
});
