import { glob, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** What the test runner tells of one file. */
export interface FileCoverage {
  path: string
  totalLineCount: number
  coveredLineCount: number
  totalBranchCount: number
  coveredBranchCount: number
}

interface Group {
  name: string
  files: FileCoverage[]
}

/** The parts that must be covered, because a fault in them can cost a file. */
const GUARDED = ['src/sync', 'src/storage', 'src/media.ts', 'src/sidecar.ts']
const LEAST = { lines: 95, branches: 90 }

/** Sums coverage per folder of src and judges the guarded ones; a file that no test loads counts as not covered. */
export async function coverageOf(
  root: string,
  measured: FileCoverage[],
): Promise<{ table: string; enough: boolean }> {
  const loaded = measured.map((file) => ({ ...file, path: relative(root, file.path) }))
  const groups = groupsOf([...loaded, ...(await neverLoaded(root, loaded))])
  const rows = groups.map((group) => ({ ...group, ...percentages(group.files) }))
  const short = rows.filter(
    ({ name, lines, branches }) =>
      GUARDED.includes(name) && (lines < LEAST.lines || branches < LEAST.branches),
  )
  const table = [
    'coverage                  lines   branches',
    ...rows.map(({ name, lines, branches }) =>
      [name.padEnd(22), percent(lines), percent(branches), verdict(name, short)].join('  '),
    ),
    ...short.flatMap(({ files }) => files.filter(isPoor).map(lineOf)),
  ].join('\n')
  return { table, enough: short.length === 0 }
}

/** A guarded file is a group of its own, anything else belongs to its folder. */
function groupsOf(files: FileCoverage[]): Group[] {
  const groups = new Map<string, Group>()
  for (const file of files) {
    const [top, second] = file.path.split('/')
    const inFolder = file.path.split('/').length > 2
    const name = inFolder
      ? `${top}/${second}`
      : GUARDED.includes(file.path)
        ? file.path
        : 'src/*.ts'
    const group = groups.get(name) ?? { name, files: [] }
    groups.set(name, group)
    group.files.push(file)
  }
  return [...groups.values()].sort((a, b) => a.name.localeCompare(b.name))
}

async function neverLoaded(root: string, loaded: FileCoverage[]): Promise<FileCoverage[]> {
  const missed: FileCoverage[] = []
  for await (const path of glob('src/**/*.ts', { cwd: root })) {
    if (loaded.some((file) => file.path === path)) continue
    const lines = codeLines(await readFile(join(root, path), 'utf8'))
    if (lines === 0) continue
    const none = { coveredLineCount: 0, totalBranchCount: 0, coveredBranchCount: 0 }
    missed.push({ path, totalLineCount: lines, ...none })
  }
  return missed
}

/** A file of types alone has no code and is never loaded. */
function codeLines(source: string): number {
  const hasCode = /^(export )?(async )?(function|const|let|class)\b/m.test(source)
  return hasCode ? source.split('\n').filter((line) => /\S/.test(line)).length : 0
}

function percentages(files: FileCoverage[]): { lines: number; branches: number } {
  const sum = (count: (file: FileCoverage) => number) =>
    files.reduce((total, file) => total + count(file), 0)
  return {
    lines: ratio(
      sum((f) => f.coveredLineCount),
      sum((f) => f.totalLineCount),
    ),
    branches: ratio(
      sum((f) => f.coveredBranchCount),
      sum((f) => f.totalBranchCount),
    ),
  }
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 100 : (part / whole) * 100
}

function isPoor(file: FileCoverage): boolean {
  const { lines, branches } = percentages([file])
  return lines < LEAST.lines || branches < LEAST.branches
}

function lineOf(file: FileCoverage): string {
  const { lines, branches } = percentages([file])
  return ['  ', file.path.padEnd(36), percent(lines), percent(branches)].join('')
}

function percent(value: number): string {
  return `${value.toFixed(1)} %`.padStart(9)
}

function verdict(name: string, short: Group[]): string {
  if (!GUARDED.includes(name)) return ''
  const least = `at least ${LEAST.lines} % and ${LEAST.branches} %`
  return short.some((group) => group.name === name) ? `TOO LITTLE: ${least}` : `ok: ${least}`
}
