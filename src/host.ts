import type { Environment, ReadFile } from './config/source.ts'
import type { Config } from './config.ts'
import type { SignalEmitter } from './lifecycle.ts'
import type { Program } from './open.ts'
import type { Screen, Terminal } from './screen.ts'
import type { Reached } from './sync/parts.ts'

/** The process as the commands see it; made by main, replaced by nothing. */
export interface Host {
  env: Environment
  readFile: ReadFile
  /** Results, for people or machines; here and in `err` nothing reaches a terminal that would steer it. */
  out(text: string): void
  /** Logs of one-shot commands and errors. */
  err(text: string): void
  /** Where `err` goes, if that is a terminal, as it is. */
  terminal: Terminal | null
  /** Emits SIGTERM and SIGINT. */
  signals: SignalEmitter
  /** Ends the process at once. */
  exit(code: number): never
  /** Mode bits that new folders do not get. */
  setUmask(umask: number): void
  version: string
  reached: Reached
  /** File descriptors for the synchronous log. */
  stdout: 1
  stderr: 2
}

/** What a command works with once the configuration is read. */
export interface Session {
  config: Config
  program: Program
  /** Null where progress goes to the log. */
  screen: Screen | null
  /** Fires at the first signal: start nothing new. */
  drain: AbortSignal
  /** Fires when the time for that is over: let go. */
  abort: AbortSignal
}
