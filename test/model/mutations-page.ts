/** The page on mutations: `node test/model/mutations-page.ts` writes it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Exploration } from './explorations.ts'
import { type Mutant, mutants } from './mutants.ts'

/** The invariants that mutants break, in a few words each. */
const PROMISES: Readonly<Record<string, string>> = {
  I1: 'a source is deleted only while a whole copy is durable',
  I2: 'what the database calls archived is there, whole, with its sidecar',
  I3: 'a source is deleted by the holder of its release, and only the archived version',
  I4: 'no final name shows partial, torn or foreign bytes, and none is overwritten',
  I6: 'a worker without a lease changes nothing',
  I7: 'what is rejected or withdrawn is kept where it is said to be',
  I9: 'everything converges, and no file is nobody’s',
  I10: 'without the archive there are no verdicts',
}

export function mutationsPage(): string {
  return `# Mutations of the protocol

<!-- Generated from test/model/mutants.ts by \`node test/model/mutations-page.ts\`; do not edit. -->

A test that cannot fail proves nothing. So each line below takes one step out of the source, or puts it in the wrong place,
and runs the model on it: the very code of the syncer, on a disk, a database and a bucket in memory that are killed, lose
power (any subset of what was not synced is lost), stall past a lease, or fail at every operation. All ${mutants.length} are caught, each by
the exploration named, which sees the promise broken. \`make test ONLY=test/model/mutants\` repeats it. Steps that another one
makes good, such as a second look at the archive's marker, break nothing when they alone are taken out, and are not listed.

| promise | in words |
|---|---|
${Object.entries(PROMISES)
  .map(([promise, words]) => `| ${promise} | ${words} |`)
  .join('\n')}

| mutant | file | caught by | breaks |
|---|---|---|---|
${mutants.map(row).join('\n')}
`
}

function row({ name, file, caught, promise }: Mutant): string {
  return `| ${name} | ${file} | ${explained(caught)} | ${promise} |`
}

function explained(exploration: Exploration): string {
  const { by, story } = exploration
  return by === 'fault' ? `a fault (${exploration.fault}), in: ${story}` : `a ${by}, in: ${story}`
}

if (import.meta.main)
  writeFileSync(join(import.meta.dirname, '../../docs/mutations.md'), mutationsPage())
