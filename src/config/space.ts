import type { Cleanable } from '../set-aside.ts'
import type { SettingValues } from './settings.ts'
import type { Amount } from './sizes.ts'

export interface SpaceConfig {
  /** What stays free. */
  minimum: Amount
  /** Up to how much cleaning makes room. */
  target: Amount
  checkEveryBytes: number
  /** What may be removed, and how long it must have lain there; no areas: nothing. */
  clean: { areas: readonly Cleanable[]; minAgeMs: number; archivedAgeMs: number }
}

export function spaceConfig(values: SettingValues): SpaceConfig {
  return {
    minimum: values.FREE_SPACE_MIN,
    target: values.FREE_SPACE_TARGET ?? values.FREE_SPACE_MIN,
    checkEveryBytes: values.SPACE_CHECK_INTERVAL,
    clean: {
      areas: values.FREE_SPACE_CLEAN ?? [],
      minAgeMs: values.FREE_SPACE_CLEAN_AGE,
      archivedAgeMs: values.FREE_SPACE_ARCHIVED_AGE,
    },
  }
}
