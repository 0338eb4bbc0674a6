import { createHash, randomBytes } from 'node:crypto'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createCRC64 } from 'hash-wasm'
import { systemCode } from '../errors.ts'

/** What a GET or HEAD needs to know. */
export interface ObjectRecord {
  key: string
  sizeBytes: number
  /** Without quotes. */
  etag: string
  /** Milliseconds since 1970. */
  lastModified: number
  /** Base64, of the whole object. */
  crc64nvme: string | null
  /** Sizes of the parts of a multipart upload, else null. */
  parts: number[] | null
  /** Content-Type and the like, and x-amz-meta-*, as uploaded. */
  headers: Record<string, string>
}

interface Stored extends ObjectRecord {
  file: string
}

/** An object that is made on the fly, so that no size needs a disk. */
export interface VirtualObject {
  sizeBytes: number
  etag: string
  lastModified: Date
  /** Base64, where a test wants one. */
  crc64nvme?: string
  /** Sizes of its parts, to go with an ETag that ends in `-N`. */
  parts?: number[]
  read(offset: number, length: number): Buffer
}

/** Bytes landed under a name that nobody believes in yet. */
export interface Landed {
  file: string
  sizeBytes: number
  md5: Buffer
  crc64nvme: string
}

/** Bytes of one version, whatever happens to its key meanwhile. */
export interface OpenObject {
  record: ObjectRecord
  read(offset: number, length: number): AsyncGenerator<Buffer>
  close(): Promise<void>
}

const CHUNK_BYTES = 1 << 20

/**
 * Objects as files in one folder: a JSON record per key, found by the key's hash (a key never becomes a path), that
 * names the file with the bytes. Renaming the record is the moment of change; a restart reads the records again.
 */
export interface ObjectStore {
  find(key: string): ObjectRecord | null
  /** In the order of their UTF-8 bytes. */
  all(): ObjectRecord[]
  open(key: string): Promise<OpenObject | null>
  land(chunks: AsyncIterable<Uint8Array>): Promise<Landed>
  pathOf(landed: Landed): string
  discard(landed: Landed): void
  /** In one step for everybody else: conditions checked just before hold until it is done. */
  commit(landed: Landed, record: ObjectRecord): void
  remove(key: string): void
  setLastModified(key: string, to: Date): void
}

export async function openStore(
  dir: string,
  virtual: Map<string, VirtualObject>,
): Promise<ObjectStore> {
  await mkdir(dir, { recursive: true })
  const records = await readRecords(dir)
  const find = (key: string) => {
    const made = virtual.get(key)
    return made === undefined ? (records.get(key) ?? null) : recordOf(key, made)
  }
  const save = (record: Stored) => {
    const path = recordPath(dir, record.key)
    writeFileSync(`${path}.new`, JSON.stringify(record))
    renameSync(`${path}.new`, path)
    records.set(record.key, record)
  }
  const remove = (key: string) => {
    virtual.delete(key)
    const old = records.get(key)
    if (old === undefined) return
    rmSync(recordPath(dir, key))
    records.delete(key)
    rmSync(join(dir, old.file), { force: true })
  }
  return {
    find,
    all: () => {
      const keys = new Set([...records.keys(), ...virtual.keys()])
      return sorted([...keys]).flatMap((key) => find(key) ?? [])
    },
    open: async (key) => {
      const made = virtual.get(key)
      return made === undefined ? openStored(dir, records, key) : openVirtual(key, made)
    },
    land: (chunks) => land(dir, chunks),
    pathOf: (landed) => join(dir, landed.file),
    discard: (landed) => rmSync(join(dir, landed.file)),
    commit: (landed, record) => {
      const old = records.get(record.key)
      virtual.delete(record.key)
      save({ ...record, file: landed.file })
      if (old !== undefined) rmSync(join(dir, old.file), { force: true })
    },
    remove,
    setLastModified: (key, to) => {
      const made = virtual.get(key)
      const record = records.get(key)
      if (made !== undefined) made.lastModified = to
      else if (record !== undefined) save({ ...record, lastModified: to.getTime() })
    },
  }
}

async function readRecords(dir: string): Promise<Map<string, Stored>> {
  const names = await readdir(dir)
  const records = new Map<string, Stored>()
  for (const name of names.filter((name) => name.endsWith('.json'))) {
    const record = JSON.parse(await readFile(join(dir, name), 'utf8')) as Stored
    records.set(record.key, record)
  }
  const known = new Set([...records.values()].map((record) => record.file))
  for (const name of names.filter((name) => /\.(bin|new)$/.test(name) && !known.has(name))) {
    await rm(join(dir, name)) // left by an upload that never finished
  }
  return records
}

async function land(dir: string, chunks: AsyncIterable<Uint8Array>): Promise<Landed> {
  const file = `${randomBytes(16).toString('hex')}.bin`
  const md5 = createHash('md5')
  // CRC-64/NVME, reflected; 2 to 3 times as fast as the SDK's own in JavaScript.
  const crc = await createCRC64('9a6c9329ac4bc9b5')
  const handle = await open(join(dir, file), 'wx')
  let sizeBytes = 0
  try {
    for await (const chunk of chunks) {
      md5.update(chunk)
      crc.update(chunk)
      for (let from = 0; from < chunk.length; ) {
        from += (await handle.write(chunk, from)).bytesWritten
      }
      sizeBytes += chunk.length
    }
  } catch (error) {
    await handle.close()
    await rm(join(dir, file))
    throw error
  }
  await handle.close()
  const crc64nvme = Buffer.from(crc.digest('hex'), 'hex').toString('base64')
  return { file, sizeBytes, md5: md5.digest(), crc64nvme }
}

/** Opens the bytes that the record names; looks again when they were replaced in between. */
async function openStored(
  dir: string,
  records: Map<string, Stored>,
  key: string,
): Promise<OpenObject | null> {
  for (;;) {
    const record = records.get(key)
    if (record === undefined) return null
    try {
      const handle = await open(join(dir, record.file))
      const read = (offset: number, length: number) => readFileRange(handle, offset, length)
      return { record, read, close: () => handle.close() }
    } catch (error) {
      if (systemCode(error) !== 'ENOENT' || records.get(key) === record) throw error
    }
  }
}

async function* readFileRange(
  handle: FileHandle,
  offset: number,
  length: number,
): AsyncGenerator<Buffer> {
  for (let at = offset; at < offset + length; ) {
    const wanted = Math.min(CHUNK_BYTES, offset + length - at)
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at)
    if (bytesRead === 0) throw new Error('an object is shorter than its record says')
    yield buffer.subarray(0, bytesRead)
    at += bytesRead
  }
}

function openVirtual(key: string, made: VirtualObject): OpenObject {
  return {
    record: recordOf(key, made),
    async *read(offset, length) {
      for (let at = offset; at < offset + length; at += CHUNK_BYTES) {
        yield made.read(at, Math.min(CHUNK_BYTES, offset + length - at))
      }
    },
    close: async () => {},
  }
}

function recordOf(key: string, made: VirtualObject): ObjectRecord {
  return {
    key,
    sizeBytes: made.sizeBytes,
    etag: made.etag,
    lastModified: made.lastModified.getTime(),
    crc64nvme: made.crc64nvme ?? null,
    parts: made.parts ?? null,
    headers: {},
  }
}

function recordPath(dir: string, key: string): string {
  return join(dir, `${createHash('sha256').update(key).digest('hex')}.json`)
}

/** JavaScript's own order differs above U+FFFF. */
function sorted(keys: string[]): string[] {
  return keys
    .map((key) => ({ key, bytes: Buffer.from(key) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ key }) => key)
}
