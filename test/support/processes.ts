import { existsSync, readdirSync, readFileSync, watch } from 'node:fs'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Process ids of all living processes whose command line contains `text`. A reaped or dead one does not count. */
export function livingProcesses(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => commandLine(pid).includes(text))
    .map(Number)
}

/** Resolves when none is left; the kernel ends a killed process a moment after the signal. */
export async function processesEnd(text: string): Promise<void> {
  for (let look = 0; look < 2_000; look++) {
    if (livingProcesses(text).length === 0) return
    await new Promise((resolve) => setImmediate(resolve))
  }
  throw new Error(`still running: ${livingProcesses(text).join(', ')}`)
}

/** Resolves when this process is gone, also for whoever has to reap it. */
export async function processEnds(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setImmediate(resolve))
}

/** Resolves when a file of this name appears in `folder`. */
export function appears(folder: string, name: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(folder, (_, seen) => {
      if (seen !== name) return
      watcher.close()
      resolve()
    })
  })
}

/** Empty for a zombie. */
function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    // It ended between the listing and the reading.
    return ''
  }
}

/** An executable shell script in `folder`; its path is in its own command line, so that it can be found. */
export async function script(folder: string, name: string, body: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, `#!/bin/sh\n${body}\n`)
  await chmod(path, 0o755)
  return path
}
