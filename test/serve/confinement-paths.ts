/** An archive full of temptations, and paths that reach for them. */
import { execFileSync } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { renderSidecar, sidecarPathOf } from '../../src/sidecar.ts'
import { type ServerScope, sidecarOf } from '../support/file-server.ts'

/** What the tokens of these tests open, all of it under the one media id 1. */
export const PUBLIC = 'public'
/** As long, so that no size gives it away. */
export const SECRET = 'SECRET'

const publicPaths = ['f.mp4', 'a/f.mp4', 'a/b/c/f.mp4', 'a b.mp4', 'é.mp4', '%61.mp4', '100%.mp4']

/**
 * Fills the archive: the public files, and secrets that a valid sidecar would let pass, in every place where none may be
 * reached: outside, behind links, under hidden names, in .strongroom.
 *
 * @returns the folder outside
 */
export async function layTemptations({ archiveDir, file }: ServerScope): Promise<string> {
  for (const path of publicPaths) await file(path, PUBLIC)
  const outside = join(dirname(archiveDir), 'outside')
  const secret = async (place: string, archivePath: string) => {
    await mkdir(dirname(place), { recursive: true })
    await writeFile(place, SECRET)
    const sidecar = sidecarOf({ archive_path: archivePath, bytes: SECRET.length })
    await writeFile(sidecarPathOf(place), renderSidecar(sidecar))
  }
  for (const name of ['f.mp4', 'secret.mp4']) {
    await secret(join(outside, name), `out/${name}`)
    await secret(join(dirname(archiveDir), name), `../${name}`)
  }
  const hidden = ['.hidden.mp4', '.strongroom/tmp/f.mp4', '.strongroom/withdrawn/f.mp4', 'a/.f.mp4']
  for (const name of [...hidden, '-', 'a/-', 'tmp.part/.part', '..a/..f'])
    await secret(join(archiveDir, name), name)
  await symlink(outside, join(archiveDir, 'out'))
  await symlink('.', join(archiveDir, 'in'))
  await symlink('/', join(archiveDir, 'root'))
  await symlink('../outside/f.mp4', join(archiveDir, 'link.mp4'))
  await secret(join(archiveDir, 'link.mp4.not'), 'link.mp4')
  await symlink('link.mp4.not.json', join(archiveDir, 'link.mp4.json'))
  execFileSync('mkfifo', [join(archiveDir, 'pipe.mp4'), join(archiveDir, 'a/pipe.mp4.json')])
  await mkdir(join(archiveDir, 'folder.mp4'))
  return outside
}

const pieces = [
  ...['..', '.', '', '-', '%2e%2e', '.%2E', '%252e%252e', '..%2f', '..%5c', '%c0%ae%c0%ae', '%2D'],
  ...[
    'a',
    'b',
    'c',
    'f.mp4',
    'f.mp4.json',
    'F.MP4',
    '.strongroom',
    'archive.json',
    'tmp',
    'withdrawn',
  ],
  ...['out', 'in', 'root', 'outside', 'archive', 'secret.mp4', '.hidden.mp4', '.f.mp4', 'link.mp4'],
  ...[
    'pipe.mp4',
    'folder.mp4',
    'tmp.part',
    '.part',
    '..a',
    '..f',
    '..;',
    'a%20b.mp4',
    'e%CC%81.mp4',
  ],
  ...[
    '%2561.mp4',
    '%61.mp4',
    '%c3%a9.mp4',
    '100%25.mp4',
    'etc',
    'passwd',
    'proc',
    'self',
    'fd',
    'root',
  ],
  ...[
    '%00',
    'f.mp4%00',
    'f.mp4%00.json',
    'f.mp4%20',
    'f.mp4.',
    'f.mp4%2f',
    'f.mp4%0a',
    'f.mp4;x',
    '~',
  ],
  ...[
    '%',
    '%z',
    '%zz',
    '%u002e',
    '%ff',
    '%ed%a0%80',
    '%e2%80%ae',
    'C:',
    '\\',
    '*',
    '"',
    'x'.repeat(300),
  ],
]

/** Where a secret, or what is no file of the archive, would be found if a check were missing. */
const targets = [
  ...[
    'out/f.mp4',
    'out/secret.mp4',
    'in/f.mp4',
    'in/a/f.mp4',
    'link.mp4',
    'root/etc/passwd',
    '../f.mp4',
  ],
  ...[
    '.hidden.mp4',
    '.strongroom/tmp/f.mp4',
    '.strongroom/withdrawn/f.mp4',
    'a/.f.mp4',
    '-',
    'a/-',
  ],
  ...[
    'tmp.part/.part',
    '..a/..f',
    'f.mp4.json',
    '.strongroom/archive.json',
    'pipe.mp4',
    'folder.mp4',
  ],
  ...['../outside/f.mp4', 'a/../f.mp4', 'a/pipe.mp4', 'f.mp4', 'a/b/c/f.mp4', 'a%20b.mp4'],
]

/**
 * Makes hostile paths, the same ones for the same seed: joined of pieces, then a character put in, left out or encoded.
 *
 * @param seed a 32-bit whole number
 */
export function* hostilePaths(seed: number): Generator<string> {
  const below = createRandom(seed)
  const encoded = (char: string) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  for (;;) {
    const parts = Array.from({ length: 1 + below(7) }, () => pieces[below(pieces.length)])
    const chosen = below(2) === 0 ? targets[below(targets.length)] : parts.join('/')
    let path = `/${chosen}${below(4) === 0 ? '/-' : ''}`
    for (let times = below(3); times > 0; times--) {
      const at = 1 + below(path.length)
      const char = path[at] ?? 'f'
      const instead = ['', encoded(char), char + char, `%25${encoded(char).slice(1)}`, '/', '.']
      path = path.slice(0, at) + (instead[below(instead.length)] ?? '') + path.slice(at + 1)
    }
    yield path
  }
}

/** Mulberry32. @returns a function that draws a whole number below its argument */
function createRandom(seed: number): (below: number) => number {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}
