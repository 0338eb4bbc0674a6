import type { SettingValues } from './settings.ts'

/** Where a run in shadow mode writes, and how much of it stays. */
export interface ShadowConfig {
  dir: string
  keepBytes: number
}

/** @returns null when no SHADOW_DIR is set */
export function shadowConfig(values: SettingValues): ShadowConfig | null {
  const { SHADOW_DIR: dir, SHADOW_KEEP: keepBytes } = values
  return dir === null ? null : { dir, keepBytes }
}

/** @returns what is wrong with SHADOW_DIR, to be read after its name; null when it may be used */
export function shadowProblem(values: SettingValues): string | null {
  const { MODE, SHADOW_DIR: dir, ARCHIVE_DIR, ERROR_DIR } = values
  if (dir === null) return MODE === 'shadow' ? 'is required by MODE=shadow' : null
  for (const [name, other] of Object.entries({ ARCHIVE_DIR, ERROR_DIR }))
    if (overlap(dir, other)) return `must not be ${name}, nor lie inside it, nor contain it`
  return null
}

/** True when one of two absolute paths is the other or lies inside it. */
export function overlap(one: string, other: string): boolean {
  const inside = (path: string, folder: string) =>
    `${path}/`.startsWith(folder === '/' ? folder : `${folder}/`)
  return inside(one, other) || inside(other, one)
}
