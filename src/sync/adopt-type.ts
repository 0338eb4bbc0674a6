import { isAppError } from '../errors.ts'
import { withFileBytes } from '../formats/file-bytes.ts'
import { mimeTypeBySignature, SIGNATURE_BYTES } from '../formats/signature.ts'
import { type MediaKind, mediaKinds, type ProbeFacts } from '../media.ts'
import type { Validate, Verdict } from './validate.ts'

export interface FoundType {
  mimeType: string
  kind: MediaKind | null
  /** Null where the probe does not know the file; `unknown` is then the reason. */
  probe: ProbeFacts | null
  unknown: string | null
}

/**
 * Tells the type of a file that is to be served whatever it is: by the probe, else by its first bytes, else
 * `application/octet-stream`. What its row or its name says counts for nothing: both come from outside.
 *
 * @throws PROBE_MISSING, CANCELLED
 */
export async function findType(
  file: { absolutePath: string; sizeBytes: number; signal?: AbortSignal },
  validate: Validate,
): Promise<FoundType> {
  const verdict = await judged({ ...file, kind: null }, validate)
  if (verdict.valid) {
    const { facts } = verdict
    return { mimeType: facts.mimeType, kind: facts.kind, probe: facts, unknown: null }
  }
  const head = await withFileBytes({ path: file.absolutePath, signal: file.signal }, (bytes) =>
    bytes.read(0, Math.min(bytes.sizeBytes, SIGNATURE_BYTES)),
  )
  const mimeType = mimeTypeBySignature(head) ?? 'application/octet-stream'
  const kind = mediaKinds.find((one) => mimeType.startsWith(`${one}/`)) ?? null
  return { mimeType, kind, probe: null, unknown: verdict.reason }
}

/** A file on which the probe fails is served all the same: its type is simply not known. */
async function judged(file: Parameters<Validate>[0], validate: Validate): Promise<Verdict> {
  try {
    return await validate(file)
  } catch (error) {
    if (isAppError(error, 'PROBE_FAILED')) return { valid: false, reason: error.message }
    throw error
  }
}
