// What a value of JavaScript or TypeScript code shows itself as: a MIME bundle, which it gives by its
// method `Symbol.for('Jupyter.display')`, as in notebooks. What a value answers is the user's code, and
// whatever goes wrong in it leaves the value's text.
'use strict';

const DISPLAY = Symbol.for('Jupyter.display');
// Of these a text is base64, as in notebooks.
const BINARY = new Set(['image/png', 'image/jpeg', 'application/pdf']);

// A bundle of all its types, which has to fit a frame; the engine lets a cell send more of them.
const MAX_BUNDLE_BYTES = 1000 * 1000;
const MAX_CELL_BYTES = 8 * 1024 * 1024;
const MAX_BUNDLES = 64;
const MAX_TYPES = 16;
const MAX_TYPE_CHARS = 128;

const { Buffer, JSON, Uint8Array } = globalThis;
const { entries } = Object;

/** The results of one cell, within bounds. */
class Results {
  #send;
  #warn;
  #count = 0;
  #bytes = 0;
  #told = false;

  /** `send` takes the fields of a bundle, types and data in turns; `warn` a text. */
  constructor(send, warn) {
    this.#send = send;
    this.#warn = warn;
  }

  /** Returns the fields of a value's bundle; `text` is what it looks like in any case. */
  bundle(value, text) {
    const plain = Buffer.from(text);
    const fields = ['text/plain', plain];
    let room = MAX_BUNDLE_BYTES - plain.length;
    for (const [type, data] of representations(value)) {
      if (data.length > room) {
        this.#warn(
          `${type} is left out of a result: it has ${data.length} bytes, and there is room for ${room}.\n`,
        );
      } else {
        room -= data.length;
        fields.push(type, data);
      }
    }
    return fields;
  }

  show(fields) {
    this.#count += 1;
    this.#bytes += fields.reduce((sum, field) => sum + field.length, 0);
    if (this.#count <= MAX_BUNDLES && this.#bytes <= MAX_CELL_BYTES) {
      this.#send(fields);
    } else if (!this.#told) {
      this.#told = true;
      this.#warn(
        `Results are left out: one cell has at most ${MAX_BUNDLES}, of ${MAX_CELL_BYTES} bytes together.\n`,
      );
    }
  }
}

/** Returns MIME types with their bytes, but for text/plain. */
function representations(value) {
  let found = [];
  try {
    found = entries(value[DISPLAY]());
  } catch {
    return [];
  }
  const shown = [];
  for (const [type, data] of found) {
    const fits = type.includes('/') && type !== 'text/plain' && type.length <= MAX_TYPE_CHARS;
    const bytes = fits && shown.length < MAX_TYPES - 1 ? encode(type, data) : null;
    if (bytes) {
      shown.push([type, bytes]);
    }
  }
  return shown;
}

function encode(type, data) {
  try {
    if (data instanceof Uint8Array) {
      return Buffer.from(data);
    }
    if (typeof data === 'string') {
      return Buffer.from(data, BINARY.has(type) ? 'base64' : 'utf8');
    }
    return Buffer.from(JSON.stringify(data));
  } catch {
    return null;
  }
}

module.exports = { Results };
