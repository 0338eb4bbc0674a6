// Memory in pages of its own. In JavaScript for the threads, because stripping types takes 20 MiB.

/**
 * V8 reserves whole pages for what may grow, all else is malloc's and begins anywhere in one.
 *
 * @param {number} bytes
 */
export function newPages(bytes) {
  return Buffer.from(new ArrayBuffer(bytes, { maxByteLength: bytes }))
}

/**
 * The same for what several threads read.
 *
 * @param {number} bytes
 */
export function newSharedPages(bytes) {
  return new SharedArrayBuffer(bytes, { maxByteLength: bytes })
}
