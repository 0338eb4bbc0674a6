import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Scope, withFolder } from './scopes.ts'

const run = promisify(execFile)

/** A certificate authority made for one test, and a server's certificate from it for 127.0.0.1 and `localhost`. */
export async function withCertificate(
  t: Scope,
): Promise<{ ca: string; caFile: string; key: string; cert: string }> {
  const cwd = await withFolder(t)
  const openssl = (...args: string[]) => run('openssl', args, { cwd })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    '/CN=Test CA',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  )
  await openssl(
    ...[
      'req',
      '-x509',
      ...newKey,
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
    ],
    ...[
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
      '-addext',
      'basicConstraints=CA:FALSE',
    ],
    ...['-keyout', 'server.key', '-out', 'server.crt'],
  )
  const read = (name: string) => readFile(join(cwd, name), 'utf8')
  const [ca, key, cert] = [await read('ca.crt'), await read('server.key'), await read('server.crt')]
  return { ca, caFile: join(cwd, 'ca.crt'), key, cert }
}
