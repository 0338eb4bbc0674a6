import { type DestinationStream, destination as openDescriptor, pino, stdTimeFunctions } from 'pino'
import { createRedactor, type Plain, type Redactor } from './log-redact.ts'
import { visible, visibleLines } from './visible.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

type Fields = Record<string, unknown>
/** Fields that take work to put together are given as a function, which is only called where the line is written. */
type Write = (fields: Fields | (() => Fields), message: string) => void

/** What every part of the product writes to; nothing in it can make a line show a secret. */
export type Log = Readonly<Record<LogLevel, Write>>

export interface LogOptions {
  level: LogLevel
  format: 'json' | 'text'
  /** A file descriptor, written synchronously, or anything that takes lines. */
  destination: number | { write(line: string): unknown }
  /** Values that are masked wherever they appear. */
  secrets: readonly string[]
  /** Gets each line as JSON, after redaction, as well. */
  also?: (line: string) => void
}

/**
 * Opens the log: one JSON object or one text line for each call, written before the call returns.
 * It never throws; a destination that is gone loses lines, not work.
 */
export function createLog(options: LogOptions): Log {
  const redact = createRedactor(options.secrets)
  const logger = pino(
    {
      level: options.level,
      base: null,
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    openDestination(options),
  )
  const writer =
    (level: LogLevel): Write =>
    (fields, message) => {
      if (!logger.isLevelEnabled(level)) return
      try {
        const given = typeof fields === 'function' ? fields() : fields
        logger[level](redactFields(redact, given), redact.text(message))
      } catch {
        // A field that cannot be read (a proxy, a getter) costs the fields, never the caller's work.
        logger[level]({ fields: '[unreadable]' }, redact.text(message))
      }
    }
  return {
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
  }
}

/** pino's own names stay its own: a second `level` or `time` in one object would be ambiguous. */
const reserved = new Set(['level', 'time', 'message'])

function redactFields(redact: Redactor, fields: Fields): Record<string, Plain> {
  const entries = Object.entries(redact.fields(fields))
  return Object.fromEntries(
    entries.map(([key, value]) => [reserved.has(key) ? `${key}_` : key, value]),
  )
}

function openDestination({ destination, format, also }: LogOptions): DestinationStream {
  const sink = typeof destination === 'number' ? openSync(destination) : destination
  const write = (line: string) => {
    also?.(line)
    try {
      sink.write(format === 'text' ? textLine(line) : visibleLines(line))
    } catch {
      // There is nowhere left to say that the log cannot be written.
    }
  }
  return { write }
}

function openSync(fd: number): DestinationStream {
  const stream = openDescriptor({ fd, sync: true })
  // Without a listener a full disk or a closed pipe behind the log would end the process.
  stream.on('error', () => {})
  return stream
}

/** `2026-03-05T04:30:00.000Z WARN  the message  item=7 error.code=DISK_FULL error.message="…"` */
function textLine(line: string): string {
  const { level, time, message, ...fields } = JSON.parse(line) as Record<string, Plain>
  const head = `${time} ${String(level).toUpperCase().padEnd(5)} ${visible(String(message))}`
  const pairs = Object.entries(fields).flatMap(([key, value]) => textPairs(key, value))
  return `${[head, ...pairs].join(' ')}\n`
}

function textPairs(key: string, value: Plain): string[] {
  if (value === null || value === undefined) return []
  if (typeof value === 'object' && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([name, inner]) => textPairs(`${key}.${name}`, inner))
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const simple = /^[^\s"=\p{C}]+$/u.test(text)
  return [`${visible(key)}=${simple ? text : visible(JSON.stringify(text))}`]
}
