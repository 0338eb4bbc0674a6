import { spawnSync } from 'node:child_process'

/** One line of Prometheus' text format, version 0.0.4. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** Reads an exposition strictly; for what we write ourselves. @throws for a line that is none */
export function samplesOf(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name, labels = '', value] =
        /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      if (name === undefined || value === undefined) throw new Error(`no sample: ${line}`)
      const pairs = [...labels.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)]
      return {
        name,
        labels: Object.fromEntries(pairs.map(([, key = '', text = '']) => [key, text])),
        value: Number(value),
      }
    })
}

/** The value of the one sample that has these labels. @returns null where there is none */
export function sampleOf(
  text: string,
  name: string,
  labels: Record<string, string> = {},
): number | null {
  const [sample, ...others] = samplesOf(text).filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )
  if (others.length > 0) throw new Error(`${name} is there more than once`)
  return sample?.value ?? null
}

/** What Prometheus' own checker says of it. @throws with its words when it finds anything wrong */
export function promtool(args: readonly string[], input = ''): string {
  const { error, status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' })
  if (error !== undefined)
    throw new Error('promtool is missing; scripts/setup installs it (Debian package prometheus)')
  if (status !== 0) throw new Error(`promtool ${args.join(' ')}: ${stdout}${stderr}`)
  return stdout + stderr
}
