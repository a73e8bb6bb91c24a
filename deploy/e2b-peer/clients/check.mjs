// E2B's own JavaScript client on the peer: what its users do most, one line for each check.
//
//     node check.mjs
//
// Needs the package e2b in a node_modules above it, and E2B_API_URL, E2B_SANDBOX_URL and E2B_API_KEY in the environment.
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  CommandExitError, InvalidArgumentError, NotFoundError, RateLimitError, Sandbox, TimeoutError,
} from 'e2b'

const FEW_SECONDS = 15_000
let failed = 0

function check(name, condition) {
  console.log(`${condition ? 'ok' : 'FAILED'} - ${name}`)
  if (!condition) failed++
}

async function rejects(kind, call) {
  try {
    await call()
  } catch (error) {
    return error instanceof kind
  }
  return false
}

async function eventually(condition) {
  const end = Date.now() + FEW_SECONDS
  while (!(await condition())) {
    if (Date.now() > end) return false
    await sleep(50)
  }
  return true
}

async function commands(sandbox) {
  const result = await sandbox.commands.run('echo out; echo err >&2; pwd', { cwd: '/tmp' })
  check('a command\'s output and exit code',
    result.stdout === 'out\n/tmp\n' && result.stderr === 'err\n' && result.exitCode === 0)
  const seen = await sandbox.commands.run('echo $FROM_CREATE $A $HOME', { envs: { A: '1' } })
  check('a command\'s environment', seen.stdout === 'made 1 /home/user\n')
  check('a command as root', (await sandbox.commands.run('id -u', { user: 'root' })).stdout === '0\n')
  try {
    await sandbox.commands.run('echo before; exit 7')
    check('a command that fails', false)
  } catch (error) {
    check('a command that fails',
      error instanceof CommandExitError && error.exitCode === 7 && error.stdout === 'before\n')
  }
  const chunks = []
  await sandbox.commands.run('for i in 1 2 3; do echo $i; sleep 0.1; done', { onStdout: chunk => chunks.push(chunk) })
  check('output comes as it is written', chunks.length === 3)
  const much = await sandbox.commands.run("head -c 3000000 /dev/zero | tr '\\0' x")
  check('much output', much.stdout.length === 3_000_000)
  check('a deadline', await rejects(TimeoutError, () => sandbox.commands.run('sleep 60', { timeoutMs: 1000 })))
  check('a folder that is not there',
    await rejects(InvalidArgumentError, () => sandbox.commands.run('true', { cwd: '/none' })))
}

async function processes(sandbox) {
  const handle = await sandbox.commands.run('while sleep 0.1; do echo tick; done', { background: true })
  check('a process in the background is listed',
    (await sandbox.commands.list()).some(one => one.pid === handle.pid))
  await handle.disconnect()
  const seen = []
  const again = await sandbox.commands.connect(handle.pid, { onStdout: chunk => seen.push(chunk) })
  check('connecting shows what comes', await eventually(() => seen.length >= 2 && seen[0] === 'tick\n'))
  const end = again.wait().catch(error => error)
  check('a process is killed', await sandbox.commands.kill(handle.pid))
  check('a killed process ends', (await end).exitCode === -1)
  check('killing it twice says so', await eventually(async () => !(await sandbox.commands.kill(handle.pid))))

  const cat = await sandbox.commands.run('cat', { background: true, stdin: true })
  await sandbox.commands.sendStdin(cat.pid, 'to stdin\n')
  if (sandbox.commands.closeStdin !== undefined) await sandbox.commands.closeStdin(cat.pid)
  check('standard input, and its end', (await cat.wait()).stdout === 'to stdin\n')
}

async function terminal(sandbox) {
  const decoder = new TextDecoder()
  const encoder = new TextEncoder()
  let output = ''
  const pty = await sandbox.pty.create({
    rows: 24, cols: 80, cwd: '/tmp', onData: data => { output += decoder.decode(data, { stream: true }) },
  })
  const end = pty.wait().catch(error => error)
  await sandbox.pty.sendInput(pty.pid, encoder.encode('tty; stty size\n'))
  check('a terminal', await eventually(() => output.includes('24 80') && output.includes('/dev/pts/')))
  await sandbox.pty.resize(pty.pid, { rows: 40, cols: 100 })
  await sandbox.pty.sendInput(pty.pid, encoder.encode('stty size\n'))
  check('a terminal of another size', await eventually(() => output.includes('40 100')))
  await sandbox.pty.sendInput(pty.pid, encoder.encode('exit 5\n'))
  check('a terminal\'s end', (await end).exitCode === 5)
}

async function files(sandbox) {
  const info = await sandbox.files.write('notes/a.txt', 'some text')
  check('a file is written', info.path === '/home/user/notes/a.txt')
  check('a file is read', (await sandbox.files.read('notes/a.txt')) === 'some text')
  const data = new Uint8Array(2_000_000).map((_, index) => index % 251)
  await sandbox.files.write('/tmp/data', new Blob([data]))
  const back = await sandbox.files.read('/tmp/data', { format: 'bytes' })
  check('bytes come back', Buffer.compare(Buffer.from(back), Buffer.from(data)) === 0)
  await sandbox.files.write('empty', '')
  check('an empty file', (await sandbox.files.read('empty')) === '')
  const many = await sandbox.files.write([0, 1, 2].map(i => ({ path: `m/${i}`, data: `${i}` })))
  check('several files at once', many.map(one => one.name).join() === '0,1,2')
  check('what is in a folder', (await sandbox.files.list('m')).map(one => one.name).sort().join() === '0,1,2')
  const below = (await sandbox.files.list('/home/user', { depth: 2 })).map(one => one.path)
  check('what is in folders below', below.includes('/home/user/m/1') && below.includes('/home/user/empty'))
  const seen = await sandbox.files.getInfo('notes/a.txt')
  check('what a file is', seen.size === 9 && seen.owner === 'user' && seen.permissions === '-rw-r--r--')
  check('a file is there', (await sandbox.files.exists('notes/a.txt')) && !(await sandbox.files.exists('none')))
  check('a folder is made once', (await sandbox.files.makeDir('d/e')) && !(await sandbox.files.makeDir('d/e')))
  check('a file is moved', (await sandbox.files.rename('m/0', 'd/e/zero')).path === '/home/user/d/e/zero')
  await sandbox.files.remove('d')
  check('a folder is removed', !(await sandbox.files.exists('d')))
  check('a file that is not there', await rejects(NotFoundError, () => sandbox.files.read('none')))
  check('a folder that is not there', await rejects(NotFoundError, () => sandbox.files.list('none')))

  const events = []
  const watch = await sandbox.files.watchDir('/home/user/notes', event => { events.push(event) })
  await sandbox.files.write('notes/b.txt', 'b')
  check('a watch', await eventually(() => events.some(one => one.name === 'b.txt' && one.type === 'write')))
  await watch.stop()
  check('a signed address', (await get(sandbox, await sandbox.downloadUrl('notes/a.txt'))) === 'some text')
}

/** What a signed address gives; the host in front of the one address says which sandbox is meant. */
function get(sandbox, url) {
  return new Promise((resolve, reject) => {
    request(url, { headers: { Host: sandbox.getHost(49983) } }, response => {
      response.setEncoding('utf8')
      let text = ''
      response.on('data', chunk => { text += chunk })
      response.on('end', () => resolve(text))
    }).on('error', reject).end()
  })
}

async function pages(query, limit) {
  const found = []
  const paginator = Sandbox.list({ query, limit })
  while (paginator.hasNext) found.push((await paginator.nextItems()).map(one => one.sandboxId))
  return found
}

async function lives(sandbox) {
  const info = await sandbox.getInfo()
  check('what a sandbox is',
    info.sandboxId === sandbox.sandboxId && info.state === 'running' && info.metadata.of === 'check & js')
  const others = []
  for (let i = 0; i < 3; i++) others.push(await Sandbox.create({ metadata: { many: 'yes' }, timeoutMs: 60_000 }))
  check('a list in pages', (await pages({ metadata: { many: 'yes' } }, 2)).map(page => page.length).join() === '2,1')
  check('a list by metadata',
    JSON.stringify(await pages({ metadata: { of: 'check & js' } })) === JSON.stringify([[sandbox.sandboxId]]))
  check('a sandbox too many', await rejects(RateLimitError, async () => {
    for (let i = 0; i < 20; i++) await Sandbox.create()
  }))
  for (const id of (await pages()).flat()) if (id !== sandbox.sandboxId) await Sandbox.kill(id)
  check('killed ones run no more', !(await others[0].isRunning()))
  check('killing one twice says so', !(await others[0].kill()))

  await sandbox.setTimeout(500_000)
  const left = (await sandbox.getInfo()).endAt.getTime() - Date.now()
  check('another timeout', left > 490_000 && left < 510_000)
  check('metrics', (await sandbox.getMetrics())[0].cpuCount > 0)
  await sandbox.commands.run('i=0; while sleep 0.1; do i=$((i+1)); echo $i > /tmp/counter; done', { background: true })
  check('a counter runs', await eventually(() => sandbox.files.exists('/tmp/counter')))
  await (sandbox.pause ?? sandbox.betaPause).call(sandbox)
  check('a paused sandbox is paused',
    (await sandbox.getInfo()).state === 'paused' && !(await sandbox.isRunning()))
  const again = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 300_000 })
  check('a resumed sandbox runs', (await again.isRunning()) && (await again.files.read('notes/a.txt')) === 'some text')
  const before = await again.files.read('/tmp/counter')
  check('a program goes on where it was',
    await eventually(async () => !['', before].includes(await again.files.read('/tmp/counter'))))
  check('a sandbox is killed', (await again.kill()) && !(await again.isRunning()))
  const short = await Sandbox.create({ timeoutMs: 1000 })
  check('a timeout ends a sandbox', await eventually(async () => !(await short.isRunning())))
}

async function concurrent() {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000 })
  const runs = Array.from({ length: 30 }, (_, i) => sandbox.commands.run(`sleep 0.2; echo ${i}`))
  const outputs = (await Promise.all(runs)).map(one => one.stdout)
  check('many commands at once', outputs.every((text, i) => text === `${i}\n`))
  await sandbox.kill()
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.resolve('e2b'))))
console.log(`# e2b ${version} from npm`)
const sandbox = await Sandbox.create({
  timeoutMs: 300_000, metadata: { of: 'check & js' }, envs: { FROM_CREATE: 'made' },
})
check('a sandbox is made', await sandbox.isRunning())
for (const part of [commands, processes, terminal, files, lives]) await part(sandbox)
await concurrent()
process.exit(failed ? 1 : 0)
