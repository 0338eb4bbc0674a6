/** A thread that never stops putting links in the place of files, sidecars and folders, and back. */
import { linkSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { workerData } from 'node:worker_threads'

const { archiveDir, outside, keep, counter } = workerData as {
  archiveDir: string
  outside: string
  /** Where the rightful files are linked from. */
  keep: string
  /** [0]: swaps so far; [1]: 1 once it shall end. */
  counter: Int32Array
}

/** Each puts a link to the secret in its place, then the rightful thing again; every step is one rename. */
const swaps = ['f.mp4', 'f.mp4.json'].map((name) => () => {
  const place = join(archiveDir, 'a', name)
  const next = join(keep, 'next')
  symlinkSync(join(outside, name), next)
  renameSync(next, place)
  linkSync(join(keep, name), next)
  renameSync(next, place)
})
swaps.push(() => {
  const [folder, away, link] = [join(archiveDir, 'a'), join(keep, 'away'), join(keep, 'link')]
  symlinkSync(outside, link)
  renameSync(folder, away)
  renameSync(link, folder)
  renameSync(folder, link)
  renameSync(away, folder)
  renameSync(link, join(keep, 'old'))
})

while (Atomics.load(counter, 1) === 0) {
  for (const swap of swaps) swap()
  Atomics.add(counter, 0, swaps.length)
}
