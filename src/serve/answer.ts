import type { ServerResponse } from 'node:http'
import type { AppError } from '../errors.ts'
import { commonHeaders, neverStored } from './file-headers.ts'

/** All that a visitor learns; what really happened is in the log. */
const sentences: Record<number, string> = {
  400: 'The request is malformed.',
  401: 'A valid token is needed.',
  403: 'The token is for another file.',
  404: 'There is no such file.',
  405: 'Only GET and HEAD are answered here.',
  410: 'The link is no longer valid.',
  412: 'The file is not the version that was asked for.',
  414: 'The address is too long.',
  416: 'The file has no such range.',
  429: 'Too many requests at once, or without a valid token; try again later.',
  431: 'The request has too many headers.',
  500: 'Internal error.',
  501: 'Only the transfer coding chunked is known here.',
  503: 'Not available for now; try again later.',
  505: 'Only HTTP/1.1 and 1.0 are spoken here.',
}

const headersOf: Record<number, Record<string, string>> = {
  401: { 'WWW-Authenticate': 'Bearer' },
  503: { 'Retry-After': '5' },
}

/** Answers a failed request with its code and a sentence; does nothing once an answer has begun. */
export function answerError(
  response: ServerResponse,
  error: AppError,
  headers: Record<string, string> = {},
): void {
  const { status, code } = error
  const message = sentences[status] ?? 'The request failed.'
  answerJson(
    response,
    { status, headers: { ...headersOf[status], ...headers } },
    {
      error: code,
      message,
    },
  )
}

/** Answers with JSON that no cache may keep. */
export function answerJson(
  response: ServerResponse,
  answer: { status: number; headers?: Record<string, string> },
  body: object,
): void {
  if (response.headersSent || response.destroyed) return
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
  response.writeHead(answer.status, {
    ...commonHeaders,
    ...neverStored,
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': bytes.length,
    ...answer.headers,
  })
  response.end(bytes)
}
