import { readFileSync } from 'node:fs'
import { runCli } from './cli.ts'
import type { Host } from './host.ts'
import type { Terminal } from './screen.ts'
import type { Point, Reached } from './sync/parts.ts'
import { visibleLines } from './visible.ts'

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { version: string }

/**
 * Stops this very process at a point between two steps, for the tests that kill it there:
 * `STRONGROOM_HALT=point:SIGKILL` or `point:SIGSTOP`, with `:n` for the n-th time the point is reached.
 */
function haltAt(setting: string | undefined): Reached {
  if (setting === undefined || setting === '') return () => {}
  const [point, signal = 'SIGKILL', nth = '1'] = setting.split(':')
  let left = Number(nth)
  return (reached: Point, item) => {
    if (reached !== point) return
    left -= 1
    if (left !== 0) return
    process.stderr.write(`halted at ${point}, item ${item.id}\n`)
    process.kill(process.pid, signal)
  }
}

const terminal: Terminal = {
  // A terminal that does not know its size says 0.
  size: () => ({ columns: process.stderr.columns || 80, rows: process.stderr.rows || 24 }),
  write: (text) => void process.stderr.write(text),
}

// For a user without a home, as 99:100 in a bare container, the S3 client fails when it looks for one.
process.env.HOME ??= '/nonexistent'

const host: Host = {
  env: process.env,
  readFile: (path) => readFileSync(path, 'utf8'),
  out: (text) => void process.stdout.write(visibleLines(text)),
  err: (text) => void process.stderr.write(visibleLines(text)),
  terminal: process.stderr.isTTY ? terminal : null,
  signals: process,
  exit: (code) => process.exit(code),
  setUmask: (umask) => void process.umask(umask),
  version,
  reached: haltAt(process.env.STRONGROOM_HALT),
  stdout: 1,
  stderr: 2,
}

// Whoever read the output may leave (`| head`); the work goes on all the same.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

const code = await runCli(host, process.argv.slice(2))
// Exits although an idle connection may be open still: everything that matters was closed by now.
process.exit(code)
