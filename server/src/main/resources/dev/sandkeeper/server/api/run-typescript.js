// Runs a TypeScript program that is the first argument, as `node -e` runs JavaScript: with `require` beside
// import statements, and the arguments behind it. Types are taken out by Node.js where it can do that whole,
// else by the module `typescript` of the system.
const [source] = process.argv.splice(1, 1);
const { emitWarning } = process;
process.emitWarning = () => {}; // that this is new
const take = (mode) => require('module').stripTypeScriptTypes(source, { mode });
const ways = [
  () => take('transform'),
  () => {
    const folders = ['/usr/local/lib/node_modules', '/usr/lib/node_modules', '/usr/share/nodejs'];
    const file = folders.map((folder) => `${folder}/typescript`).find(require('fs').existsSync);
    const ts = require(file);
    const compilerOptions = { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, newLine: 1 };
    const made = ts.transpileModule(source, { compilerOptions, reportDiagnostics: true });
    const wrong = made.diagnostics.find(({ file: place, category }) => place && category === 1);
    if (wrong) {
      const { line } = wrong.file.getLineAndCharacterOfPosition(wrong.start);
      throw new SyntaxError(`line ${line + 1}: ${ts.flattenDiagnosticMessageText(wrong.messageText, ' ')}`);
    }
    return made.outputText;
  },
  () => take('strip'),
];
let text = null;
let failure;
for (const way of ways) {
  try {
    text = way();
    break;
  } catch (error) {
    failure = error instanceof SyntaxError || !failure ? error : failure;
    if (error instanceof SyntaxError) {
      break;
    }
  }
}
process.emitWarning = emitWarning;
if (text === null) {
  console.error(`${failure.name}: ${failure.message}`);
  process.exit(1);
}
const encoded = Buffer.from(`${text}\n//# sourceURL=program.ts`).toString('base64');
import(`data:text/javascript;base64,${encoded}`).catch((error) => {
  console.error(error);
  process.exit(1);
});
