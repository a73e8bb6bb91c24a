// Turns a cell's source into a script that can be evaluated: a script may hold no import statement,
// no `import.meta` and, evaluated from here, no `import()`, and does not tell its last value. Runs
// beside acorn in a realm of its own, which user code cannot reach, and exchanges texts only.
'use strict';

// Larger sources are taken as they are: a parsed one takes a hundred times its size.
const MAX_PARSED_CHARS = 1024 * 1024;

const OPTIONS = {
  ecmaVersion: 'latest',
  allowAwaitOutsideFunction: true,
  allowImportExportEverywhere: true,
};

/** Returns the text to evaluate for a source: the source itself when the parser refuses it. */
function rewrite(source) {
  if (source.length > MAX_PARSED_CHARS) {
    return source;
  }
  // As everywhere where code is typed, what can be an object is one and not a block.
  if (/^\s*\{/.test(source) && !/;\s*$/.test(source)) {
    const text = `(${source}\n)`;
    const tree = parse(text);
    if (tree) {
      return edit(text, editsOf(text, tree));
    }
  }
  const tree = parse(source);
  return tree ? edit(source, editsOf(source, tree)) : source;
}

function parse(text) {
  try {
    return acorn.parse(text, OPTIONS);
  } catch {
    // Node.js may know newer syntax, and explains better what is wrong.
    return null;
  }
}

/** Replaces [start, end, replacement] in a text. */
function edit(text, edits) {
  let out = '';
  let at = 0;
  for (const [start, end, replacement] of edits.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    out += text.slice(at, start) + replacement;
    at = end;
  }
  return out + text.slice(at);
}

function editsOf(text, tree) {
  const edits = text.includes('import') ? importEdits(text, tree) : [];
  const last = tree.body[tree.body.length - 1];
  if (last?.type === 'ExpressionStatement') {
    const { start, end } = last.expression;
    edits.push([start, start, '__cell.value(await (']);
    edits.push([end, end, '))']);
  }
  return edits;
}

function importEdits(text, tree) {
  const edits = [];
  const nodes = [tree];
  while (nodes.length > 0) {
    const node = nodes.pop();
    if (node.type === 'ImportDeclaration') {
      // The lines after it keep their numbers.
      const lines = text.slice(node.start, node.end).split('\n').length - 1;
      edits.push([node.start, node.end, importStatement(text, node) + '\n'.repeat(lines)]);
      continue;
    }
    if (node.type === 'ImportExpression') {
      edits.push([node.start, node.start + 'import'.length, '__cell.import']);
    } else if (node.type === 'MetaProperty' && node.meta.name === 'import') {
      edits.push([node.start, node.end, '__cell.meta']);
    }
    for (const child of Object.values(node).flat()) {
      if (child?.type) {
        nodes.push(child);
      }
    }
  }
  return edits;
}

/** Returns what does in a script what an import statement does in a module. */
function importStatement(text, node) {
  const own = ({ start, end }) => text.slice(start, end);
  const attributes = (node.attributes ?? []).map(own).join(', ');
  const options = attributes ? `, { with: { ${attributes} } }` : '';
  const loaded = `await __cell.import(${node.source.raw}${options})`;
  const whole = node.specifiers.find(({ type }) => type === 'ImportNamespaceSpecifier');
  const names = node.specifiers
    .filter((specifier) => specifier !== whole)
    .map(({ imported, local }) => `${imported ? own(imported) : 'default'}: ${local.name}`);
  const parts = [];
  if (whole) {
    parts.push(`${whole.local.name} = ${loaded}`);
  }
  if (names.length > 0) {
    parts.push(`{ ${names.join(', ')} } = ${whole ? whole.local.name : loaded}`);
  }
  return parts.length > 0 ? `const ${parts.join(', ')};` : `${loaded};`;
}
