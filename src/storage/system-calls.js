// What a system call of disk-thread.js failed with, so that it can be sent.
/** @import { DiskStep } from './disk-errors.ts' */
/** @import { Failure } from './thread.ts' */

/** @typedef {Failure & { step: DiskStep, path: string }} DiskFailure */

/**
 * @template T
 * @param {DiskStep} step
 * @param {string} path
 * @param {() => T} call
 */
export function attempt(step, path, call) {
  try {
    return call()
  } catch (error) {
    throw failureOf(error, step, path)
  }
}

/**
 * @param {unknown} error
 * @param {DiskStep} step
 * @param {string} path
 * @returns {DiskFailure}
 */
export function failureOf(error, step, path) {
  const { code = '', errno = 0, message } = /** @type {NodeJS.ErrnoException} */ (error)
  return { step, path, code, errno, message }
}

/**
 * What the system would say if it were asked so that it refused it.
 *
 * @param {'ENOTDIR' | 'ENXIO'} code
 * @param {DiskStep} step
 * @param {string} path
 * @returns {DiskFailure}
 */
export function refusal(code, step, path) {
  return { step, path, code, errno: 0, message: `${code}: ${path}` }
}

/** @param {unknown} error */
export function codeOf(error) {
  return /** @type {DiskFailure} */ (error).code
}

/**
 * @template T
 * @param {() => T} call
 */
export function unlessMissing(call) {
  try {
    return call()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}
