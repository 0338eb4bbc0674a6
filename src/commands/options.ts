/** What the values of command-line options must be; what is wrong with one is told as wrong usage. */
import { InvalidArgumentError } from 'commander'
import { publicUrl, readDuration } from '../config/values.ts'
import { AppError } from '../errors.ts'

export function percentage(text: string): number {
  const value = Number(text.replace(/%$/, ''))
  if (/^\d+(\.\d+)?%?$/.test(text) && value > 0 && value <= 100) return value / 100
  throw new InvalidArgumentError('a percentage above 0 and up to 100 is needed, for example 1%')
}

export function positiveInteger(text: string): number {
  const value = Number(text)
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(value) && value > 0) return value
  throw new InvalidArgumentError('a positive whole number is needed, for example 42')
}

export function webAddress(text: string): string {
  const read = publicUrl.safeParse(text)
  if (read.success) return read.data
  throw new AppError('USAGE', `--public-url ${read.error.issues[0]?.message}`)
}

export function ttlSeconds(text: string): number {
  const ms = readDuration(text)
  if (ms !== undefined && ms >= 1_000) return Math.floor(ms / 1_000)
  throw new InvalidArgumentError('a duration of at least 1s is needed, for example 1h')
}
