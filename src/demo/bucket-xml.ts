/** A refusal in the S3 protocol's words; the server turns it into an XML answer. */
export class S3Error extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Record<string, string>

  constructor(
    status: number,
    code: string,
    details: { message?: string; headers?: Record<string, string> } = {},
  ) {
    super(details.message ?? code)
    this.name = 'S3Error'
    this.status = status
    this.code = code
    this.headers = details.headers ?? {}
  }
}

/** Element content: text is escaped, a list of pairs is nested. */
export type XmlContent = string | number | boolean | XmlPair[]
export type XmlPair = [name: string, content: XmlContent]

/** Renders a document with one root element. */
export function renderXml(name: string, content: XmlContent): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element([name, content])}`
}

export function renderError(error: S3Error, key: string | null): string {
  const pairs: XmlPair[] = [
    ['Code', error.code],
    ['Message', error.message],
  ]
  if (key !== null) pairs.push(['Key', key])
  return renderXml('Error', pairs)
}

function element([name, content]: XmlPair): string {
  const inner = Array.isArray(content) ? content.map(element).join('') : escaped(String(content))
  return `<${name}>${inner}</${name}>`
}

function escaped(text: string): string {
  return text.replace(
    /[&<>"\x00-\x1f\x7f\ufffe\uffff]/g,
    (character) => `&#x${character.charCodeAt(0).toString(16)};`,
  )
}

/** Reads the parts of a CompleteMultipartUpload request; anything else in it is ignored. */
export function parseParts(xml: string): { number: number; etag: string }[] {
  const parts = [...xml.matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, inner = '']) => ({
    number: Number(/<PartNumber>\s*(\d+)\s*<\/PartNumber>/.exec(inner)?.[1] ?? Number.NaN),
    etag: (/<ETag>(.*?)<\/ETag>/s.exec(inner)?.[1] ?? '').replace(/&quot;|&#34;|&#x22;|"|\s/g, ''),
  }))
  if (parts.length === 0 || parts.some((part) => Number.isNaN(part.number))) {
    throw new S3Error(400, 'MalformedXML')
  }
  return parts
}
