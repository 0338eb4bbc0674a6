import { readFile } from 'node:fs/promises'

const types = {
  'style.css': 'text/css; charset=utf-8',
  'live.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const

export type AssetName = keyof typeof types

/** The few files that pages refer to; read once, when they are first asked for. */
export function createAssets(): (name: string) => Promise<Response | null> {
  const read = new Map<AssetName, Promise<Buffer>>()
  return async (name) => {
    if (!isAsset(name)) return null
    const reading = read.get(name) ?? readFile(new URL(`./assets/${name}`, import.meta.url))
    read.set(name, reading)
    const bytes = await reading
    return new Response(new Uint8Array(bytes), { headers: { 'Content-Type': types[name] } })
  }
}

function isAsset(name: string): name is AssetName {
  return Object.hasOwn(types, name)
}
