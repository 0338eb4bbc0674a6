// What disk-thread.js and file-io.ts share. In JavaScript for the sake of the former.
import { constants } from 'node:fs'

/** @import { Stats } from 'node:fs' */
/** @import { FileFacts } from './file-io.ts' */

/** To read a file. O_NONBLOCK because opening a named pipe would otherwise wait for a writer for ever. */
export const FILE_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * @param {Stats} found as `lstat` gives it
 * @returns {FileFacts}
 */
export function factsFrom(found) {
  return {
    kind: found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other',
    sizeBytes: found.size,
    device: found.dev,
    inode: found.ino,
    links: found.nlink,
    changedMs: found.ctimeMs,
  }
}
