import { createRequire } from 'node:module'

const load = createRequire(import.meta.url)

/**
 * Node's HTTP clients as `require` gives them: an `import` reads all that those modules export, also what loads a second
 * client at first use (undici), which takes 30 ms of every start.
 */
export const http = load('node:http') as typeof import('node:http')
export const https = load('node:https') as typeof import('node:https')
