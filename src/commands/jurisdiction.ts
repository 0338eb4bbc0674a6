/**
 * R2 shows a bucket only at the endpoint of its own jurisdiction, and elsewhere answers as if it did not exist or were not
 * ours.
 *
 * @returns what to try instead; null where `endpoint` is not R2's
 */
export function jurisdictionHint(endpoint: string): string | null {
  const host = /^([^.]+)(?:\.(\w+))?\.r2\.cloudflarestorage\.com$/.exec(new URL(endpoint).hostname)
  if (host === null) return null
  const [, account = '', jurisdiction] = host
  if (!/^[0-9a-f]{32}$/.test(account))
    return `R2_ENDPOINT must begin with the account’s id, 32 hexadecimal digits; it begins with "${account}"`
  const at = (part: string) => `https://${account}${part}.r2.cloudflarestorage.com`
  return jurisdiction === undefined
    ? `if the bucket has a jurisdiction, set R2_ENDPOINT to ${at('.eu')} or ${at('.fedramp')}`
    : `${jurisdiction} is a jurisdiction; for a bucket without one set R2_ENDPOINT to ${at('')}`
}
