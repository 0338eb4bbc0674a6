/** How much of a file is enough to see what it is. */
export const SVG_HEAD_BYTES = 4096

/** Whether a text begins as SVG does: a tag, and an `svg` element not far behind. It only chooses the words of a refusal. */
export function looksLikeSvg(head: Buffer): boolean {
  const text = decode(head).trimStart()
  return text.startsWith('<') && /<(?:[\w.-]{1,64}:)?svg[\s>/]/i.test(text)
}

/** XML may be UTF-16, and then begins with a byte order mark. */
function decode(head: Buffer): string {
  const mark = head.toString('hex', 0, 2)
  if (mark === 'fffe') return head.toString('utf16le', 2)
  if (mark === 'feff') {
    return Buffer.from(head.subarray(2, head.length & ~1))
      .swap16()
      .toString('utf16le')
  }
  return head.toString('utf8').replace(/^\ufeff/, '')
}
