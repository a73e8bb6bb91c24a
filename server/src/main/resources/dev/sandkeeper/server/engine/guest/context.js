// The process that keeps the variables of JavaScript or TypeScript code. The agent starts it as the
// sandbox's user, in the home folder, and sends it one cell after the other over descriptor 3. Node.js 18
// or newer.
//
//   node context.js [typescript FILE]    the file is that of the module `typescript`, or empty
//
// Cells are evaluated the way a browser's console does it: what one declares at its top the next ones
// see and may declare again, and `await` works at the top. A cell is over when its last value, or the
// promise that this is, is settled.
//
// User code runs in this very process, so nothing here is a wall: what it breaks is its own context,
// which the agent then replaces. It should not break it by accident though, so what is needed after
// the start is held in constants.
'use strict';

const { Console } = require('console');
const fs = require('fs');
const inspector = require('inspector');
const Module = require('module');
const net = require('net');
const path = require('path');
const util = require('util');
const { promiseHooks } = require('v8');
const vm = require('vm');
const { Results } = require('./display.js');

const LEAST_NODE = 18;
const CHANNEL = 3;
const HEADER_BYTES = 13;
const [STARTED, RESULT, ERROR, FINISHED] = [2, 5, 6, 7];
// What counts cells, above an exit code.
const CELL = 256;

const MAX_RESULT_CHARS = 128 * 1024;
const MAX_TRACEBACK_CHARS = 32 * 1024;
const MAX_VALUE_CHARS = 8 * 1024;
const MAX_NAME_CHARS = 256;
const MAX_EXCERPT_CHARS = 200;
// Errors between two cells that wait for the next one.
const MAX_LATE_ERRORS = 16;
const INSPECTION = { depth: 4, maxArrayLength: 1000, maxStringLength: MAX_RESULT_CHARS };

const FAILED = 1;
const INTERNAL = 70;

const { Buffer, Error, String, setImmediate } = globalThis;
const { apply } = Reflect;
const { defineProperty, entries, freeze } = Object;
const { then } = Promise.prototype;
const { stdout, stderr } = process;
const reallyExit = process.reallyExit.bind(process);

const session = new inspector.Session();
const channel = new net.Socket({ fd: CHANNEL, readable: true, writable: true });
const rewrite = loadRewriter();
const typeScript = process.argv[2] === 'typescript' ? loadTypeScript(process.argv[3]) : null;

let count = 0;
/** What runs: its name, its source, its promise, whether it is over, and what comes of it. */
let cell = null;
let lateErrors = [];
/** What cells wait for, also those that were ended while they did. */
const pending = new Set();

/** Thrown by process.exit, which ends the cell and not the context. */
class Exit extends Error {
  constructor(code) {
    super(`process.exit(${code})`);
    this.name = 'Exit';
    this.exitCode = code;
  }
}

/** Ends the cell on SIGINT. */
class Interrupted extends Error {
  constructor() {
    super('the code was interrupted by SIGINT');
    this.stack = `${this.constructor.name}: ${this.message}`;
  }
}

/** Makes a function that ends the process, and so the context, when there is a fault in it. */
function guarded(body) {
  return (...values) => {
    try {
      return body(...values);
    } catch (error) {
      fs.writeSync(2, `The JavaScript context cannot go on: ${error?.stack}\n`);
      return reallyExit(INTERNAL);
    }
  };
}

function loadRewriter() {
  const realm = vm.createContext();
  for (const name of ['acorn.js', 'rewrite.js']) {
    const file = path.join(__dirname, name);
    vm.runInContext(fs.readFileSync(file, 'utf8'), realm, file);
  }
  return vm.runInContext('rewrite', realm);
}

function loadTypeScript(file) {
  try {
    return require('./typescript.js')(file);
  } catch (error) {
    fs.writeSync(2, `${error.message}\n`);
    return reallyExit(INTERNAL);
  }
}

// --- The conversation with the agent -----------------------------------------------------------

/** Sends a frame of fields, each after its length. */
function send(type, number, fields) {
  const parts = [Buffer.alloc(HEADER_BYTES)];
  let size = 0;
  fields.forEach((field) => {
    const content = Buffer.from(field);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(content.length);
    parts.push(length, content);
    size += length.length + content.length;
  });
  parts[0].writeUInt32BE(size);
  parts[0].writeUInt8(type, 4);
  parts[0].writeUInt32BE(number, 9);
  channel.write(Buffer.concat(parts));
}

/** Returns the value of the field `source` in a payload of names and values. */
function sourceOf(payload) {
  const fields = [];
  for (let at = 0; at < payload.length; ) {
    const end = at + 4 + payload.readUInt32BE(at);
    fields.push(payload.subarray(at + 4, end));
    at = end;
  }
  const name = fields.findIndex((field, i) => i % 2 === 0 && field.equals(Buffer.from('source')));
  return fields[name + 1].toString();
}

/** Calls back with the payload of each frame that has arrived whole. */
function receive(callback) {
  let chunks = [];
  let have = 0;
  let need = HEADER_BYTES;
  channel.on(
    'data',
    guarded((chunk) => {
      chunks.push(chunk);
      have += chunk.length;
      while (have >= need) {
        const all = Buffer.concat(chunks);
        const end = HEADER_BYTES + all.readUInt32BE(0);
        if (have < end) {
          chunks = [all];
          need = end;
          return;
        }
        chunks = [all.subarray(end)];
        have -= end;
        need = HEADER_BYTES;
        callback(all.subarray(HEADER_BYTES, end));
      }
    }),
  );
  channel.on('error', () => reallyExit(INTERNAL));
  channel.on('close', () => reallyExit(0));
}

// --- What code sees ----------------------------------------------------------------------------

/** Gives code what a CommonJS file in the home folder has, and the tools rewritten code calls. */
function prepareGlobals() {
  const folder = process.cwd();
  const main = new Module(path.join(folder, 'cell.js'));
  main.filename = main.id;
  main.paths = Module._nodeModulePaths(folder);
  process.mainModule = main;
  main._compile(
    'exports.names = { require, module, __filename, __dirname };' +
      ' exports.load = (name, options) => import(name, options);',
    main.filename,
  );
  const { names, load } = main.exports;
  main.exports = {};
  entries({ ...names, exports: main.exports }).forEach(([name, value]) => define(name, value));
  const meta = { url: `file://${main.filename}`, filename: main.filename, dirname: folder };
  const tools = { evaluate, import: load, meta, value: takeValue };
  defineProperty(globalThis, '__cell', { value: freeze(tools) });

  process.argv = [process.execPath, ''];
  process.exit = (code = process.exitCode) => {
    throw new Exit((code ?? 0) & 0xff);
  };
  // Not the console of the start: that one keeps what it is given for a debugger to look at.
  const console = new Console({ stdout, stderr });
  console.Console = Console;
  define('console', console);
  define('display', display);
}

function define(name, value) {
  defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

/** Writes stack traces with the user's frames and those of libraries alone. */
function prepareStacks() {
  Error.prepareStackTrace = (error, frames) => {
    let head = 'Error';
    try {
      head = String(error);
    } catch {
      // A message that cannot be made does not keep the trace from being made.
    }
    const kept = [head];
    for (let i = 0; i < frames.length; i++) {
      const file = frames[i].getFileName() ?? '';
      if (file === __filename || file === 'node:inspector') {
        break;
      }
      if (!file.startsWith('node:internal/')) {
        // Columns are those of the rewritten text.
        kept.push(`    at ${frames[i]}`.replace(/(cell-\d+):(\d+):(\d+)/, showPlace));
      }
    }
    return kept.join('\n');
  };
}

/** Names a cell and its line, given those of what runs. */
function showPlace(_, name, line, column) {
  return `${name}:${original(name, line - 1, column - 1).line + 1}`;
}

/** Returns where in its source a place in a running cell is; both count from 0. */
function original(name, line, column) {
  return typeScript ? typeScript.original(name, line, column) : { line, column };
}

// --- Cells -------------------------------------------------------------------------------------

const enter = new vm.Script('__cell.evaluate()');

function begin(source) {
  count += 1;
  const name = `cell-${count}`;
  const results = new Results(
    (fields) => send(RESULT, 0, fields),
    (text) => stderr.write(text),
  );
  const mine = { number: count, name, source, promise: null, over: false, results, result: null, error: null };
  cell = mine;
  lateErrors.forEach((text) => stderr.write(text));
  lateErrors = [];
  try {
    enter.runInThisContext({ breakOnSigint: true });
  } catch (error) {
    if (error?.code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') {
      throw error;
    }
    fail(mine, new Interrupted());
  }
  if (!mine.promise && !mine.over) {
    throw new Error('the inspector does not evaluate');
  }
}

/** Runs the cell; called by a script, because the run of one is what SIGINT can break off. */
function evaluate() {
  const mine = cell;
  send(STARTED, mine.number * CELL, []);
  const source = translate(mine);
  if (source === null) {
    return;
  }
  const text = rewrite(source);
  typeScript?.rewritten(mine.name, text);
  const parameters = {
    __proto__: null,
    expression: `${text}\n//# sourceURL=${mine.name}`,
    replMode: true,
    silent: true,
    objectGroup: mine.name,
  };
  // The first promise is the one of the code's own end. Held, because the inspector, which waits for
  // it too, ends the process when it is dropped before it is settled.
  const stop = promiseHooks.onInit((promise) => {
    stop();
    mine.promise = promise;
    pending.add(promise);
  });
  session.post(
    'Runtime.evaluate',
    parameters,
    guarded((_, reply) => {
      if (!mine.promise && reply) {
        failToCompile(mine, reply.exceptionDetails);
      }
      session.post('Runtime.releaseObjectGroup', { __proto__: null, objectGroup: mine.name });
    }),
  );
  stop();
  if (mine.promise) {
    const settled = (act) =>
      guarded((value) => {
        pending.delete(mine.promise);
        act(value);
      });
    apply(then, mine.promise, [
      settled(() => end(mine, 0)),
      settled((error) => fail(mine, error)),
    ]);
  }
}

/** Returns the JavaScript of a cell; null once a cell of which none can be made has ended. */
function translate(mine) {
  if (!typeScript) {
    return mine.source;
  }
  try {
    return typeScript.translate(mine.name, mine.source);
  } catch (error) {
    if (!(error instanceof typeScript.Untranslatable)) {
      throw error;
    }
    const excerpt = error.excerpt ? `${mine.name}${error.excerpt}\n` : '';
    tellMistake(mine, error.name, error.message, excerpt);
    return null;
  }
}

/** Takes the value of the running cell's last expression. */
function takeValue(value) {
  if (value !== undefined && cell) {
    cell.result = bundleOf(value);
  }
}

/** Shows values, each as a result of its own. */
function display(...values) {
  if (cell) {
    values.forEach((value) => cell.results.show(bundleOf(value)));
  }
}

function bundleOf(value) {
  return cell.results.bundle(value, cut(util.inspect(value, INSPECTION), MAX_RESULT_CHARS));
}

/** Ends a cell with what it threw. */
function fail(mine, error) {
  if (mine.over) {
    return;
  }
  if (error instanceof Exit) {
    end(mine, error.exitCode);
    return;
  }
  mine.error = explain(error);
  end(mine, FAILED);
}

/** Ends a cell that could not be compiled, showing the place. */
function failToCompile(mine, { exception, lineNumber, columnNumber }) {
  const text = exception.description.split('\n    at ')[0];
  const { line: number, column } = original(mine.name, lineNumber, columnNumber);
  const place = `${mine.name}:${number + 1}\n`;
  const line = mine.source.split('\n')[number] ?? '';
  const shown = line.length > 0 && line.length <= MAX_EXCERPT_CHARS;
  const excerpt = shown ? `${place}${line}\n${' '.repeat(column)}^\n` : place;
  tellMistake(mine, exception.className, text.slice(exception.className.length + 2), excerpt);
}

/** Ends a cell that never ran. */
function tellMistake(mine, name, value, excerpt) {
  const traceback = cut(`${excerpt}${name}: ${value}`, MAX_TRACEBACK_CHARS);
  mine.error = [name, cut(value, MAX_VALUE_CHARS), traceback];
  end(mine, FAILED);
}

/** Ends a cell once what it left to do at once is done and all it wrote is on its way. */
function end(mine, code) {
  if (mine.over) {
    return;
  }
  mine.over = true;
  const tell = guarded(() => {
    cell = null;
    if (mine.error) {
      send(ERROR, 0, mine.error);
    } else if (mine.result !== null) {
      mine.results.show(mine.result);
    }
    send(FINISHED, mine.number * CELL + (code || process.exitCode & 0xff), []);
    process.exitCode = undefined;
  });
  setImmediate(() => stdout.write('', () => stderr.write('', tell)));
}

// --- Errors ------------------------------------------------------------------------------------

/** Returns an error's name, value and traceback. */
function explain(error) {
  let name = 'Error';
  let value = '(its message could not be made)';
  let traceback = '';
  try {
    if (util.types.isNativeError(error) || error instanceof Error) {
      name = error.name === 'Error' ? error.constructor.name : error.name;
      value = error.message;
      traceback = util.inspect(error);
    } else {
      name = error === null || typeof error !== 'object' ? typeof error : error.constructor.name;
      value = util.inspect(error);
      traceback = `Uncaught ${value}`;
    }
  } catch {
    // What could be had until here is told.
  }
  return [
    cut(`${String(name)}`, MAX_NAME_CHARS),
    cut(`${String(value)}`, MAX_VALUE_CHARS),
    cut(traceback, MAX_TRACEBACK_CHARS),
  ];
}

/** Bounds a text, keeping both ends: an error's cause is at one of them. */
function cut(text, most) {
  const half = most >> 1;
  return text.length <= most ? text : `${text.slice(0, half)}\n...\n${text.slice(-half)}`;
}

/** Tells of an error that no cell waits for: of a timer, an event, a promise left alone. */
function tellUncaught(what, error) {
  if (error instanceof Exit) {
    if (cell) {
      end(cell, error.exitCode);
    }
    return;
  }
  const [, value, traceback] = explain(error);
  const text = `${what}: ${traceback || value}\n`;
  if (cell) {
    stderr.write(text);
  } else if (lateErrors.length < MAX_LATE_ERRORS) {
    lateErrors.push(text);
  }
}

// --- The start ---------------------------------------------------------------------------------

if (Number.parseInt(process.versions.node, 10) < LEAST_NODE) {
  fs.writeSync(2, `JavaScript needs Node.js ${LEAST_NODE} or newer, and this is ${process.version}\n`);
  reallyExit(INTERNAL);
}
prepareGlobals();
prepareStacks();
process.on(
  'uncaughtException',
  guarded((error) => tellUncaught('Uncaught', error)),
);
process.on(
  'unhandledRejection',
  guarded((error) => tellUncaught('Unhandled rejection', error)),
);
process.on(
  'SIGINT',
  guarded(() => cell && fail(cell, new Interrupted())),
);
session.connect();
receive((payload) => begin(sourceOf(payload)));
