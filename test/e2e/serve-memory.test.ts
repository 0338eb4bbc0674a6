/** What visitors who stand still cost, as bench/stalled.ts measures it in full. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { addFile } from '../support/file-server.ts'
import { fileUrl, startTalking, tokenFor } from '../support/program.ts'
import { withFolder } from '../support/scopes.ts'

const MIB = 2 ** 20
const secret = 'a-secret-of-at-least-32-bytes-1234'

async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

test('the memory that 1,000 visitors took who stood still is given back when they have gone', async (t) => {
  const archiveDir = await withFolder(t)
  await mkdir(join(archiveDir, dirname(MARKER_PATH)))
  await writeFile(join(archiveDir, MARKER_PATH), '{}')
  await addFile(archiveDir, { path: 'f.mp4', contents: 64 * MIB, facts: { media_id: 7 } })
  const program = startTalking(t, ['start', '--role', 'serve'], {
    ARCHIVE_DIR: archiveDir,
    SERVER_PORT: '0',
    UNRAID_TUNNEL_SECRET: secret,
    MAX_STREAMS_PER_USER: '0',
    MAX_STREAMS_PER_CLIENT: '0',
    LOG_LEVEL: 'debug',
  })
  const port = await program.port('serve')
  const { pathname, search } = new URL(fileUrl(port, 'f.mp4', tokenFor(secret, { media_id: 7 })))
  const before = await residentMib(program.pid)
  const visitors = Array.from({ length: 1000 }, () => connect(port, '127.0.0.1'))
  await Promise.all(
    visitors.map(async (visitor) => {
      visitor.on('error', () => {})
      visitor.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: x\r\n\r\n`)
      await once(visitor, 'readable')
    }),
  )
  assert.ok((await residentMib(program.pid)) > before + 12)
  for (const visitor of visitors) visitor.destroy()
  await program.said(/memory was given back after a rush/)
  const after = await residentMib(program.pid)
  assert.ok(after < before + 8, `${before} MiB before, ${after} MiB after`)
})
