import { type Entry, type Folder, type Inode, newFolder, sha256Of } from './sim-inodes.ts'

/** What one undecided thing can turn out to be; `null` is "not there". */
type Choice =
  | { of: 'name'; folder: Folder; name: string; values: (Entry | null)[] }
  | { of: 'content'; inode: Inode; values: (Buffer | null)[] }

/** Which of its values each choice takes. */
type Outcome = number[]

/** The distinct trees that a power cut may leave of `top`, all of them or a sample of about `limit`. */
export function* crashedRoots(top: Folder, limit: number, seed: number): Iterable<Folder> {
  const choices = undecided(top)
  const seen = new Set<string>()
  for (const outcome of outcomes(choices, limit, seed)) {
    const root = settle(top, choices, outcome)
    const print = fingerprint(root)
    if (seen.has(print)) continue
    seen.add(print)
    yield root
  }
}

function undecided(top: Folder): Choice[] {
  const choices: Choice[] = []
  const met = new Set<Entry>()
  const visit = (entry: Entry): void => {
    if (met.has(entry)) return
    met.add(entry)
    if (entry.kind === 'file') {
      const values = contentsOf(entry)
      if (values.length > 1) choices.push({ of: 'content', inode: entry, values })
      return
    }
    for (const [name, change] of entry.changes) {
      const values = [...new Set([entry.durable.get(name) ?? null, ...change.values])]
      if (values.length > 1) choices.push({ of: 'name', folder: entry, name, values })
      for (const value of values) if (value) visit(value)
    }
    for (const value of entry.durable.values()) visit(value)
  }
  visit(top)
  return choices
}

function contentsOf(inode: Inode): (Buffer | null)[] {
  const { content, durable } = inode
  if (durable?.equals(content)) return [durable]
  const kept = durable ?? Buffer.alloc(0)
  const added = content.byteLength - kept.byteLength
  const torn = content.subarray(0, kept.byteLength + (added >> 1))
  const zeroed = Buffer.concat([kept, Buffer.alloc(added)])
  const values = durable === null ? [null, kept] : [kept]
  for (const value of [torn, zeroed, content]) {
    if (!values.some((known) => known?.equals(value))) values.push(value)
  }
  return values
}

function* outcomes(choices: Choice[], limit: number, seed: number): Iterable<Outcome> {
  const total = choices.reduce((product, { values }) => product * values.length, 1)
  if (total <= limit) {
    for (let number = 0; number < total; number += 1) yield digitsOf(number, choices)
    return
  }
  yield choices.map(() => 0)
  yield choices.map(({ values }) => values.length - 1)
  const random = randomFrom(seed)
  for (let drawn = 2; drawn < limit; drawn += 1) {
    yield choices.map(({ values }) => Math.floor(random() * values.length))
  }
}

function digitsOf(number: number, choices: Choice[]): Outcome {
  let rest = number
  return choices.map(({ values }) => {
    const digit = rest % values.length
    rest = Math.floor(rest / values.length)
    return digit
  })
}

/** mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Copies the tree as the outcome has it; what a disk holds after a crash is durable. */
function settle(top: Folder, choices: Choice[], outcome: Outcome): Folder {
  const contents = new Map<Inode, Buffer | null>()
  const names = new Map<Folder, Map<string, Entry | null>>()
  choices.forEach((choice, index) => {
    const digit = outcome[index] ?? 0
    if (choice.of === 'content') contents.set(choice.inode, choice.values[digit] ?? null)
    else {
      const chosen = names.get(choice.folder) ?? new Map<string, Entry | null>()
      names.set(choice.folder, chosen.set(choice.name, choice.values[digit] ?? null))
    }
  })
  const copies = new Map<Entry, Entry | null>()
  const copyOf = (entry: Entry): Entry | null => {
    const known = copies.get(entry)
    if (known !== undefined) return known
    const copy = entry.kind === 'file' ? copyFile(entry) : copyFolder(entry)
    copies.set(entry, copy)
    return copy
  }
  const copyFile = (inode: Inode): Inode | null => {
    const content = contents.has(inode) ? contents.get(inode) : inode.durable
    return content ? { ...inode, content, durable: content, lost: false } : null
  }
  const copyFolder = (folder: Folder): Folder => {
    const copy = { ...newFolder(), id: folder.id }
    for (const [name, entry] of [...folder.durable, ...(names.get(folder) ?? [])]) {
      const value = entry && copyOf(entry)
      if (value) copy.durable.set(name, value)
      else copy.durable.delete(name)
    }
    for (const [name, entry] of copy.durable) copy.entries.set(name, entry)
    return copy
  }
  return copyFolder(top)
}

function fingerprint(folder: Folder): string {
  const lines: string[] = []
  const visit = (at: Folder, prefix: string): void => {
    for (const name of [...at.entries.keys()].sort()) {
      const entry = at.entries.get(name)
      if (entry?.kind === 'folder') {
        lines.push(`${prefix}${name}/`)
        visit(entry, `${prefix}${name}/`)
      } else if (entry) lines.push(`${prefix}${name} ${entry.id} ${sha256Of(entry.content)}`)
    }
  }
  visit(folder, '')
  return lines.join('\n')
}
