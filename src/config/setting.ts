import type { z } from 'zod'
import type { Reader } from './values.ts'

export type Need = 'database' | 'bucket' | 'tokens'

/** One setting; from this table come parsing, `strongroom config`, `.env.example` and the table in the documentation. */
export interface Setting {
  /** Older names, read when the first one is not set. */
  aliases?: readonly string[]
  /** As one would write it; without one the setting is off until it is set. */
  fallback?: string
  requiredFor?: Need
  secret?: true
  reader: Reader<unknown>
  help: string
  /** What deploy/compose.yaml sets it to, where that is not what the environment says. */
  compose?: string
  /** A right value, as a shell would take it; for a secret the way to make or get one. */
  example: string
}
export type Settings = Readonly<Record<string, Setting>>

type ValueOf<S extends Setting> = S extends { fallback: string }
  ? z.output<S['reader']>
  : z.output<S['reader']> | null

/** Each setting's value; null where it is not set and has no default. */
export type ValuesOf<S extends Settings> = { [N in keyof S]: ValueOf<S[N]> }
