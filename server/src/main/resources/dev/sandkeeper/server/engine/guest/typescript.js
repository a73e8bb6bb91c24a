// Makes JavaScript of a TypeScript cell for context.js: types are taken out, never checked. Node.js does it
// where it can by itself, else the module `typescript` in a realm of its own, which user code cannot reach.
'use strict';

const fs = require('fs');
const Module = require('module');
const vm = require('vm');

// A parsed source takes a hundred times its size.
const MAX_SOURCE_CHARS = 1024 * 1024;
// Of all cells whose lines are still known, together.
const MAX_MAPPED_CHARS = 4 * 1024 * 1024;
const INLINE_MAP = /\/\/# sourceMappingURL=data:application\/json;base64,(.*)\s*$/;
// What marks a module in which nothing else does.
const EMPTY_EXPORT = /^export \{\s*\};?\s*$/m;

// What `rewrite` puts before the last value of a cell.
const VALUE = '__cell.value(await (';

const { stripTypeScriptTypes: strip, SourceMap } = Module;
const { RangeError, SyntaxError } = globalThis;
const { parse } = JSON;

/** What is wrong with a cell, and what shows where. */
class Untranslatable extends Error {
  constructor(type, message, excerpt) {
    super(message);
    this.name = type.name;
    this.excerpt = excerpt;
  }
}

/** Returns whether Node.js itself can do it in one of its ways. */
function can(mode) {
  // It warns once that this is new, which is not for the user.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return typeof strip === 'function' && strip('let a: 1', { mode }).length > 0;
  } catch {
    return false;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Returns a function that makes text, and a source map if its lines may be others, of a source. */
function chooseTranslation(file) {
  if (can('transform')) {
    return (source) => byNode(source, { mode: 'transform', sourceMap: true });
  }
  if (file) {
    return loadModule(file);
  }
  if (can('strip')) {
    return (source) => byNode(source, { mode: 'strip' });
  }
  throw new Error('TypeScript needs Node.js 22.13 or newer, or the module typescript');
}

function byNode(source, options) {
  let text;
  try {
    text = strip(source, options);
  } catch (error) {
    throw new Untranslatable(SyntaxError, error.message, String(error.stack).split('\n\n')[0]);
  }
  const map = options.sourceMap ? INLINE_MAP.exec(text) : null;
  return map
    ? { text: text.slice(0, map.index), map: parse(Buffer.from(map[1], 'base64').toString()) }
    : { text, map: null };
}

function loadModule(file) {
  const realm = vm.createContext({ module: { exports: {} } });
  vm.runInContext(fs.readFileSync(file, 'utf8'), realm, file);
  const translate = vm.runInContext(`(${translateByModule})(module.exports)`, realm);
  return (source) => {
    const { text, map, message, line, column } = parse(attempted(translate, source));
    if (message) {
      const excerpt = `:${line + 1}\n${source.split('\n')[line]}\n${' '.repeat(column)}^`;
      throw new Untranslatable(SyntaxError, message, excerpt);
    }
    return { text, map: parse(map) };
  };
}

/** What the module cannot take, such as code too deep for its stack, is an error of the code. */
function attempted(translate, source) {
  try {
    return translate(source);
  } catch (error) {
    if (error?.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') {
      throw error;
    }
    throw new Untranslatable(RangeError, String(error?.message), '');
  }
}

/** Runs in the module's realm, and exchanges texts only. */
function translateByModule(ts) {
  const compilerOptions = {
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.ESNext,
    // So that `await` is known at the top.
    moduleDetection: 3,
    newLine: 1,
    sourceMap: true,
    alwaysStrict: false,
    // What is imported may be for the next cell.
    ...(Number.parseInt(ts.version, 10) < 5
      ? { preserveValueImports: true, importsNotUsedAsValues: 1 }
      : { verbatimModuleSyntax: true }),
  };
  const { stringify } = JSON;
  return (source) => {
    const options = { compilerOptions, fileName: 'cell.ts', reportDiagnostics: true };
    const { outputText, sourceMapText, diagnostics } = ts.transpileModule(source, options);
    const wrong = diagnostics.find(({ file, category }) => file && category === 1);
    if (wrong) {
      const { line, character } = wrong.file.getLineAndCharacterOfPosition(wrong.start);
      const message = ts.flattenDiagnosticMessageText(wrong.messageText, '\n');
      return stringify({ message, line, column: character });
    }
    const text = outputText.replace(/\/\/# sourceMappingURL=.*\s*$/, '');
    return stringify({ text, map: sourceMapText });
  };
}

/**
 * Returns the tools for cells: `translate` makes of a cell's name and source what to rewrite, `rewritten` is
 * told what that came to, and `original` makes of a cell's name, a line and a column there, both from 0, those
 * of the source.
 */
module.exports = (file) => {
  const translation = chooseTranslation(file);
  /** By a cell's name: the map of its lines, and the size of its source. */
  const maps = new Map();
  let mapped = 0;

  function remember(name, map, size) {
    maps.set(name, { map: new SourceMap(map), size, valueLine: -1, valueColumn: 0 });
    mapped += size;
    for (const [oldest, { size: freed }] of maps) {
      if (mapped <= MAX_MAPPED_CHARS) {
        return;
      }
      maps.delete(oldest);
      mapped -= freed;
    }
  }

  function attempt(source) {
    // As everywhere where code is typed, what can be an object is one and not a block.
    if (/^\s*\{/.test(source) && !/;\s*$/.test(source)) {
      try {
        return translation(`(${source}\n)`);
      } catch {
        // A block, then.
      }
    }
    return translation(source);
  }

  function translate(name, source) {
    if (source.length > MAX_SOURCE_CHARS) {
      throw new Untranslatable(RangeError, 'TypeScript of more than 1 MiB is not taken', '');
    }
    const { text, map } = attempt(source);
    if (map) {
      remember(name, map, source.length);
    }
    return text.replace(EMPTY_EXPORT, '');
  }

  function rewritten(name, text) {
    const known = maps.get(name);
    const before = text.slice(0, text.lastIndexOf(VALUE)).split('\n');
    if (known && text.includes(VALUE)) {
      known.valueLine = before.length - 1;
      known.valueColumn = before[known.valueLine].length;
    }
  }

  function original(name, line, column) {
    const known = maps.get(name);
    const moved = known?.valueLine === line && column >= known.valueColumn + VALUE.length;
    const entry = known?.map.findEntry(line, moved ? column - VALUE.length : column);
    return entry && 'originalLine' in entry
      ? { line: entry.originalLine, column: entry.originalColumn }
      : { line, column };
  }

  return { Untranslatable, translate, rewritten, original };
};
