/** What disks, people and programs do to archived files: one random damage at a time, and the way back. */
import {
  appendFile,
  copyFile,
  open,
  readFile,
  rename,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises'
import type { Random } from './mutants.ts'

/** An archived file and its sidecar, absolute, and their right bytes. */
export interface Original {
  path: string
  bytes: Buffer
  sidecar: Buffer
}

/** What a reader must call it. */
export type Verdict = 'missing' | 'damaged' | 'sidecar'

interface Damage {
  name: string
  /** @returns the verdict for each of the files that it was given */
  do(random: Random, ...files: [Original, Original]): Promise<readonly Verdict[]>
}

async function flip(path: string, random: Random): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    const at = random(size)
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, at)
    byte[0] = (byte[0] ?? 0) ^ (1 << random(8))
    await file.write(byte, 0, 1, at)
  } finally {
    await file.close()
  }
}

async function swap(one: string, other: string): Promise<void> {
  await rename(one, `${one}.aside`)
  await rename(other, one)
  await rename(`${one}.aside`, other)
}

const jsonOf = ({ path }: Original) => `${path}.json`

/** Of every kind; those at the end need two files. */
export const damages: readonly Damage[] = [
  {
    name: 'a flipped bit',
    do: (random, { path }) => flip(path, random).then(() => ['damaged'] as const),
  },
  {
    name: 'a flipped bit in a sidecar',
    do: (random, file) => flip(jsonOf(file), random).then(() => ['sidecar'] as const),
  },
  {
    name: 'a truncated file',
    do: (random, { path, bytes }) =>
      truncate(path, random(bytes.length)).then(() => ['damaged'] as const),
  },
  {
    name: 'a truncated sidecar',
    do: (random, file) =>
      truncate(jsonOf(file), random(file.sidecar.length)).then(() => ['sidecar'] as const),
  },
  { name: 'a deleted file', do: (_, { path }) => rm(path).then(() => ['missing'] as const) },
  { name: 'a deleted sidecar', do: (_, file) => rm(jsonOf(file)).then(() => ['sidecar'] as const) },
  {
    name: 'bytes behind the end',
    do: (random, { path }) =>
      appendFile(path, Buffer.alloc(1 + random(4096), random(256))).then(
        () => ['damaged'] as const,
      ),
  },
  {
    name: 'bytes behind the end of a sidecar',
    do: (random, file) =>
      appendFile(jsonOf(file), random(2) === 0 ? '\n' : '{}').then(() => ['sidecar'] as const),
  },
  {
    name: 'the bytes of another file',
    do: (_, { path }, other) => copyFile(other.path, path).then(() => ['damaged'] as const),
  },
  {
    name: 'the sidecar of another file',
    do: (_, file, other) => copyFile(jsonOf(other), jsonOf(file)).then(() => ['sidecar'] as const),
  },
  {
    name: 'two files swapped',
    do: (_, file, other) => swap(file.path, other.path).then(() => ['damaged', 'damaged'] as const),
  },
  {
    name: 'two sidecars swapped',
    do: (_, file, other) =>
      swap(jsonOf(file), jsonOf(other)).then(() => ['sidecar', 'sidecar'] as const),
  },
  {
    name: 'two files swapped together with their sidecars',
    async do(_, file, other) {
      await swap(file.path, other.path)
      await swap(jsonOf(file), jsonOf(other))
      return ['damaged', 'damaged']
    },
  },
]

export async function originalOf(path: string): Promise<Original> {
  return { path, bytes: await readFile(path), sidecar: await readFile(`${path}.json`) }
}

export async function restore({ path, bytes, sidecar }: Original): Promise<void> {
  await writeFile(path, bytes)
  await writeFile(`${path}.json`, sidecar)
}
