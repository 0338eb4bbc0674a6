// The thread of disk-calls.ts: what a disk does, in system calls. In JavaScript, because stripping types takes 20 MiB.
import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parentPort } from 'node:worker_threads'
import { FILE_FLAGS, factsFrom } from './file-facts.js'
import { attempt, codeOf, failureOf, refusal, unlessMissing } from './system-calls.js'

/** @import { FileFacts } from './file-io.ts' */
/** @import { DiskFailure } from './system-calls.js' */
/** @import { Answer } from './thread.ts' */

/** @typedef {{ root: string, path: string }} Place `path` is plain, and relative to `root` */
/** @typedef {{ root: string, from: string, to: string }} Move */
/** @typedef {{ fd: number, absolute: string }} Opened an open file, for the other side to use and to close */
/** @typedef {{ bytes: Uint8Array<ArrayBuffer> }} Beginning of a file: one byte more than was asked for tells that there is more */
/** @typedef {{ sizeBytes: number, device: number } & ({ sha256: string } | Opened)} Hashed `Opened` where it is too large */

/**
 * What can be asked for. All throw a {@link DiskFailure}; null is for what is not there.
 *
 * @typedef {{
 *   confine: (place: Place) => string,
 *   look: (place: Place) => FileFacts | null,
 *   read: (place: Place & { mostBytes: number }) => Beginning | null,
 *   hash: (place: Place & { belowBytes: number }) => Hashed,
 *   create: (place: Place) => Opened,
 *   seal: (file: Opened & { mode: number }) => Promise<void>,
 *   makeFolder: (place: Place) => void,
 *   link: (move: Move) => void,
 *   rename: (move: Move) => void,
 *   unlink: (place: Place) => void,
 *   sync: (place: Place & { kind: 'file' | 'folder' }) => Promise<void>,
 * }} DiskCalls
 */

/** @typedef {{ [Name in keyof DiskCalls]: { do: Name } & Parameters<DiskCalls[Name]>[0] }[keyof DiskCalls]} Order */

const READ_BYTES = 1 << 20
const FOLDER_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const CREATE_FLAGS =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

const fsyncLater = promisify(fsync)

/** @type {DiskCalls} */
const calls = {
  confine,
  look: (place) => unlessMissing(() => factsOf(confine(place))),
  read: (place) => unlessMissing(() => read(confine(place), place.mostBytes)),
  hash: (place) => hash(confine(place), place.belowBytes),
  create(place) {
    const absolute = confine(place)
    const fd = attempt('create', absolute, () => openSync(absolute, CREATE_FLAGS, 0o600))
    return { fd, absolute }
  },
  async seal({ fd, absolute, mode }) {
    try {
      attempt('write', absolute, () => fchmodSync(fd, mode))
      await sync(fd, absolute)
    } catch (error) {
      closeQuietly(fd)
      throw error
    }
    attempt('close', absolute, () => closeSync(fd))
  },
  makeFolder(place) {
    const path = confine(place)
    try {
      attempt('create', path, () => mkdirSync(path))
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || factsOf(path).kind !== 'folder') throw error
    }
  },
  link(move) {
    const { source, target } = confineBoth(move)
    if (factsOf(source).kind !== 'file') throw refusal('ENXIO', 'read', source)
    attempt('link', `${source} as ${target}`, () => linkSync(source, target))
  },
  rename(move) {
    const { source, target } = confineBoth(move)
    attempt('move', `${source} to ${target}`, () => renameSync(source, target))
  },
  unlink(place) {
    const remove = (/** @type {string} */ path) => attempt('remove', path, () => unlinkSync(path))
    unlessMissing(() => remove(confine(place)))
  },
  async sync(place) {
    const path = confine(place)
    const flags = place.kind === 'file' ? FILE_FLAGS : FOLDER_FLAGS
    const fd = attempt('read', path, () => openSync(path, flags))
    try {
      await sync(fd, path)
    } finally {
      closeQuietly(fd)
    }
  },
}

/**
 * The absolute path, once every folder on the way has been seen to be a folder and no link.
 *
 * @param {Place} place
 */
function confine({ root, path }) {
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
    const folder = join(root, path.slice(0, end))
    if (factsOf(folder).kind !== 'folder') throw refusal('ENOTDIR', 'look at', folder)
  }
  // The slash makes the system follow a root that is itself a link.
  return path === '' ? `${root}/` : join(root, path)
}

/** @param {Move} move */
function confineBoth({ root, from, to }) {
  return { source: confine({ root, path: from }), target: confine({ root, path: to }) }
}

/** @param {string} path */
function factsOf(path) {
  return factsFrom(attempt('look at', path, () => lstatSync(path)))
}

/**
 * A regular file, and nothing else, whatever is put in its place.
 *
 * @param {string} path
 */
function openFile(path) {
  const fd = attempt('read', path, () => openSync(path, FILE_FLAGS))
  try {
    const facts = attempt('look at', path, () => fstatSync(fd))
    if (!facts.isFile()) throw refusal('ENXIO', 'read', path)
    return { fd, sizeBytes: facts.size, device: facts.dev }
  } catch (error) {
    closeQuietly(fd)
    throw error
  }
}

/**
 * @param {string} path
 * @param {number} mostBytes
 * @returns {Beginning}
 */
function read(path, mostBytes) {
  const { fd, sizeBytes } = openFile(path)
  try {
    let bytes = new Uint8Array(Math.min(sizeBytes, mostBytes) + 1)
    for (let filled = 0; ; ) {
      const count = readInto(bytes.subarray(filled), fd, path)
      filled += count
      if (count === 0 || filled > mostBytes) return { bytes: bytes.slice(0, filled) }
      if (filled === bytes.byteLength) bytes = enlarged(bytes) // somebody writes to it
    }
  } finally {
    closeQuietly(fd)
  }
}

/**
 * For whatever is read and not kept: one for each file was collected so late that they took tens of MiB.
 *
 * @type {Uint8Array | null}
 */
let passing = null

/**
 * @param {string} path
 * @param {number} belowBytes what is larger is left open and unread
 * @returns {Hashed}
 */
function hash(path, belowBytes) {
  const { fd, ...facts } = openFile(path)
  if (facts.sizeBytes >= belowBytes) return { ...facts, fd, absolute: path }
  try {
    const digest = createHash('sha256')
    passing ??= new Uint8Array(READ_BYTES)
    let sizeBytes = 0
    for (;;) {
      const count = readInto(passing, fd, path)
      if (count === 0) return { sizeBytes, device: facts.device, sha256: digest.digest('hex') }
      digest.update(passing.subarray(0, count))
      sizeBytes += count
    }
  } finally {
    closeQuietly(fd)
  }
}

/** @param {Uint8Array} bytes */
function enlarged(bytes) {
  const larger = new Uint8Array(2 * bytes.byteLength)
  larger.set(bytes)
  return larger
}

/**
 * @param {Uint8Array} buffer
 * @param {number} fd
 * @param {string} path
 */
function readInto(buffer, fd, path) {
  return attempt('read', path, () => readSync(fd, buffer, 0, buffer.byteLength, null))
}

/**
 * The one call that lasts: those that others ask for meanwhile do not wait for it, and what several sync at a time the disk
 * does at once.
 *
 * @param {number} fd
 * @param {string} path
 */
async function sync(fd, path) {
  try {
    await fsyncLater(fd)
  } catch (error) {
    throw failureOf(error, 'sync', path)
  }
}

/** @param {number} fd of a file that was only read, or whose failure is told already */
function closeQuietly(fd) {
  try {
    closeSync(fd)
  } catch {
    // Nothing was written that could be lost by it.
  }
}

// Nobody sees it, and it costs more than most of the calls.
Error.stackTraceLimit = 0

/**
 * @param {Order} order
 * @returns {unknown}
 */
function carryOut(order) {
  const call = /** @type {(asked: Order) => unknown} */ (calls[order.do])
  return call(order)
}

/** @type {Answer[]} */
let answers = []
function send() {
  parentPort?.postMessage(answers)
  answers = []
}

parentPort?.on('message', (/** @type {(Order & { order: number })[]} */ orders) => {
  for (const { order, ...asked } of orders) void answer(order, asked)
})

/**
 * Those that take no time are answered together.
 *
 * @param {number} order
 * @param {Order} asked
 */
async function answer(order, asked) {
  /** @type {Answer} */
  let told
  try {
    told = { order, done: await carryOut(asked) }
  } catch (error) {
    told = { order, failed: /** @type {DiskFailure} */ (error) }
  }
  if (answers.push(told) === 1) setImmediate(send)
}
