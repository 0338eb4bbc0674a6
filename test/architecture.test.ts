import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { before, describe, test } from 'node:test'

const ROOT = join(import.meta.dirname, '..')
const ADAPTERS = ['storage', 'db', 'tools']
const CAPABILITIES = [
  'sync',
  'serve',
  'jobs',
  'metrics',
  'demo',
  'shadow',
  'space',
  'notify',
  'hooks',
  'admin',
]
/** What wires the parts together and is imported by nothing below it. */
const WIRING = ['main.ts', 'cli.ts', 'cli', 'open.ts', 'open', 'host.ts', 'commands']
const MOST_LINES = 400

interface Source {
  /** Relative to src. */
  path: string
  /** The folder in src, or the file itself where it lies in src. */
  part: string
  lines: number
  /** Without comments and texts. */
  code: string
  /** Paths relative to src. */
  imports: string[]
  /** Those of which not only types are taken. */
  runs: string[]
  /** What it takes from `node:process`. */
  ofProcess: string[]
}

describe('the source', () => {
  let sources: Source[] = []
  before(async () => {
    sources = await readSources()
  })

  /** Every import that `forbidden` names, as `importer → imported`. */
  const imports = (
    forbidden: (from: string, to: string) => boolean,
    kind: 'imports' | 'runs' = 'imports',
  ) =>
    sources.flatMap(({ path, part, [kind]: targets }) =>
      targets.filter((to) => forbidden(part, partOf(to))).map((to) => `${path} → ${to}`),
    )

  test('is found, with its imports', () => {
    assert.ok(sources.length > 50)
    const folders = sources.find(({ path }) => path === 'storage/folders.ts')
    assert.deepEqual(folders?.imports, ['storage/disk.ts'])
    const missing = sources.flatMap(({ imports }) =>
      imports.filter((to) => !sources.some(({ path }) => path === to)),
    )
    assert.deepEqual(
      missing.filter((to) => to.endsWith('.ts')),
      [],
    )
  })

  test('has adapters that know no capability and not each other', () => {
    const known = [...ADAPTERS, ...CAPABILITIES]
    assert.deepEqual(
      imports((from, to) => ADAPTERS.includes(from) && to !== from && known.includes(to)),
      [],
    )
  })

  test('has capabilities that know nothing of each other but types', () => {
    const among = (from: string, to: string) =>
      [from, to].every((p) => CAPABILITIES.includes(p)) && to !== from
    assert.deepEqual(imports(among, 'runs'), [])
  })

  test('is wired from above: no part imports what wires it', () => {
    assert.deepEqual(
      imports((from, to) => !WIRING.includes(from) && WIRING.includes(to)),
      [],
    )
  })

  test('has a domain that knows no technology', () => {
    const domain = ['media.ts', 'item-states.ts', 'sidecar.ts', 'archive-path.ts', 'errors.ts']
    const parts = [...ADAPTERS, ...CAPABILITIES]
    assert.deepEqual(
      imports((from, to) => domain.includes(from) && parts.includes(to)),
      [],
    )
  })

  test('has no cycle of imports', () => {
    assert.deepEqual(cyclesOf(sources), [])
  })

  // Signals to a process group have no other way than `kill`, which touches nothing of our own process.
  test('touches the process in main.ts only', () => {
    const touching = sources.filter(
      ({ path, code, ofProcess }) =>
        path !== 'main.ts' &&
        (ofProcess.some((name) => name !== '{ kill }') || touchesProcess(code)),
    )
    assert.deepEqual(
      touching.map(({ path }) => path),
      [],
    )
  })

  test(`has no file of more than ${MOST_LINES} lines`, () => {
    const long = sources.filter(({ lines }) => lines > MOST_LINES)
    assert.deepEqual(
      long.map(({ path, lines }) => `${path}: ${lines}`),
      [],
    )
  })

  test('has no `any` and no default export', () => {
    const loose = sources.filter(({ code }) =>
      /[:<|&(,]\s*any\b(?!\s*[:=(])|\bas any\b|\bany\[\]|\bexport default\b/.test(code),
    )
    assert.deepEqual(
      loose.map(({ path }) => path),
      [],
    )
  })

  test('suppresses the type checker or the linter less than once in 1,000 lines', async () => {
    const suppressions = await Promise.all(
      sources.map(async ({ path }) => {
        const text = await readFile(join(ROOT, 'src', path), 'utf8')
        return text.match(/@ts-(ignore|expect-error|nocheck)|biome-ignore/g)?.length ?? 0
      }),
    )
    const lines = sources.reduce((sum, source) => sum + source.lines, 0)
    assert.ok(suppressions.reduce((sum, count) => sum + count, 0) * 1000 < lines)
  })
})

async function readSources(): Promise<Source[]> {
  const sources: Source[] = []
  for await (const path of glob('**/*.ts', { cwd: join(ROOT, 'src') })) {
    const text = await readFile(join(ROOT, 'src', path), 'utf8')
    const uncommented = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
    const targetsIn = (code: string) =>
      [...code.matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, target = '']) =>
        join(dirname(path), target),
      )
    sources.push({
      path,
      part: partOf(path),
      lines: text.split('\n').length - 1,
      code: uncommented.replace(/'(?:[^'\\\n]|\\.)*'/g, "''"),
      imports: targetsIn(uncommented),
      runs: targetsIn(uncommented.replace(/^(?:im|ex)port type [^']*'[^']*'/gm, '')),
      ofProcess: [...uncommented.matchAll(/\bimport ([^']+) from '(?:node:)?process'/g)].map(
        ([, names]) => names ?? '',
      ),
    })
  }
  return sources
}

function partOf(path: string): string {
  return path.split('/')[0] ?? path
}

/** A child process in a variable called `process` is not ours; what only ours has is found there too. */
function touchesProcess(code: string): boolean {
  const shadowed = /\b(?:const|let) process\b/.test(code)
  const mention = shadowed
    ? /(?<![.\w])process\.(?:env|argv|exit|cwd|chdir|umask|geteuid|getuid|memoryUsage|hrtime|stdin)\b/
    : /(?<![.\w])process\b\s*(?:\.|\?\.|\[)/
  return mention.test(code) || /\bglobalThis\.process\b/.test(code)
}

/** Each cycle once, as the path that closes it. */
function cyclesOf(sources: Source[]): string[] {
  const edges = new Map(sources.map(({ path, imports }) => [path, imports]))
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' → '))
    if (at >= 0 || done.has(path)) return
    for (const to of edges.get(path) ?? []) visit(to, [...trail, path])
    done.add(path)
  }
  for (const path of edges.keys()) visit(path, [])
  return cycles
}
