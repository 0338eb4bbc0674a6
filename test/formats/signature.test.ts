import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { mimeTypeBySignature, SIGNATURE_BYTES } from '../../src/formats/signature.ts'
import { ftyp } from '../support/heif.ts'
import { type MediaFileName, mediaFile } from '../support/media-files.ts'

const real: [MediaFileName, string][] = [
  ['jpeg', 'image/jpeg'],
  ['png', 'image/png'],
  ['gif', 'image/gif'],
  ['webp', 'image/webp'],
  ['tiff', 'image/tiff'],
  ['bmp', 'image/bmp'],
  ['avif', 'image/avif'],
  ['mp4', 'video/mp4'],
  ['mov', 'video/quicktime'],
  ['m4a', 'audio/mp4'],
  ['mkv', 'video/x-matroska'],
  ['avi', 'video/x-msvideo'],
  ['flv', 'video/x-flv'],
  ['wav', 'audio/wav'],
  ['flac', 'audio/flac'],
  ['mp3', 'audio/mpeg'],
  ['ogg', 'application/ogg'],
]

for (const [name, mimeType] of real) {
  test(`a real ${name} begins like ${mimeType}`, async () => {
    const head = readFileSync(await mediaFile(name)).subarray(0, SIGNATURE_BYTES)
    assert.equal(mimeTypeBySignature(head), mimeType)
  })
}

test('what is built like an MP4 is known by its brands, and a picture is no film', () => {
  for (const [brands, mimeType] of [
    [['mif1', 'heic'], 'image/heic'],
    [['mif1', 'avif'], 'image/avif'],
    [['mif1', 'miaf'], 'image/heif'],
    [['msf1', 'hevc'], 'image/heic'],
    [['hevc', 'msf1'], 'image/heic'],
    [['avis', 'msf1'], 'image/avif'],
    [['M4V ', 'isom'], 'video/mp4'],
    [['3gp5', 'isom'], 'video/3gpp'],
    [['crx ', 'isom'], null],
  ] as const)
    assert.equal(mimeTypeBySignature(ftyp(...brands)), mimeType, brands.join())
})

test('archives and documents are known by their first bytes', () => {
  for (const [hex, mimeType] of [
    ['255044462d312e37', 'application/pdf'],
    ['504b0304', 'application/zip'],
    ['1f8b08', 'application/gzip'],
    ['425a6839', 'application/x-bzip2'],
    ['fd377a585a00', 'application/x-xz'],
    ['28b52ffd', 'application/zstd'],
    ['377abcaf271c', 'application/x-7z-compressed'],
    ['526172211a0700', 'application/vnd.rar'],
    [`${'00'.repeat(257)}7573746172`, 'application/x-tar'],
  ] as const)
    assert.equal(mimeTypeBySignature(Buffer.from(hex, 'hex')), mimeType)
})

test('what a browser could run gets no type of its own, and neither does anything unknown', () => {
  for (const text of ['', '<!doctype html>', '<html><svg-like>', '#!/bin/sh', 'GIF', 'RIFFxxxx'])
    assert.equal(mimeTypeBySignature(Buffer.from(text)), null, text)
})
