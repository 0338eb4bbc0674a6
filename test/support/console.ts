/** The console of a running program, in a real browser. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { openPage, type Page } from './chromium.ts'
import type { Scope } from './scopes.ts'

export const consoleToken = 'console-token-of-at-least-32-bytes-1'

export interface ConsolePage extends Page {
  /** Presses the button that says so, and waits for the page that it leads to. */
  press(label: string): Promise<void>
  /** What a person reads on the page. */
  text(): Promise<string>
  /** Resolves once a part of the page holds what matches, without loading it again. */
  shows(selector: string, pattern: RegExp): Promise<void>
  look(how: Look): Promise<void>
}

export interface Look {
  width: number
  height: number
  scheme: 'light' | 'dark'
}

/** Opens the console and signs in. */
export async function openConsole(t: Scope, port: number): Promise<ConsolePage> {
  const page = extended(await openPage(t, `http://127.0.0.1:${port}/`))
  await page.evaluate(`void (document.querySelector('#token').value = '${consoleToken}')`)
  await page.press('Sign in')
  return page
}

function extended(page: Page): ConsolePage {
  return {
    ...page,
    press: (label) =>
      page.follow(
        `[...document.querySelectorAll('button')].find((one) => one.textContent === '${label}').click()`,
      ),
    text: async () => String(await page.evaluate('document.body.innerText')),
    async shows(selector, pattern) {
      await page.evaluate(`new Promise((resolve) => {
        const look = () => ${pattern}.test(document.querySelector('${selector}').textContent)
        if (look()) return resolve()
        const observer = new MutationObserver(() => {
          if (!look()) return
          observer.disconnect()
          resolve()
        })
        observer.observe(document.querySelector('${selector}'), { childList: true, subtree: true, characterData: true })
      })`)
    },
    async look({ width, height, scheme }) {
      const size = { width, height, deviceScaleFactor: 1, mobile: width < 500 }
      await page.command('Emulation.setDeviceMetricsOverride', size)
      const features = [{ name: 'prefers-color-scheme', value: scheme }]
      await page.command('Emulation.setEmulatedMedia', { features })
    },
  }
}

export interface Violation {
  id: string
  impact: string
  nodes: string[]
}

/** What axe-core finds that is serious or critical (https://github.com/dequelabs/axe-core). */
export async function accessibilityFaults(page: Page): Promise<Violation[]> {
  const path = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
  await page.evaluate(`${await readFile(path, 'utf8')};0`)
  const found =
    await page.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map(({ html }) => html) })))`)
  return (found as Violation[]).filter(
    ({ impact }) => impact === 'serious' || impact === 'critical',
  )
}

/** @returns a PNG of what is seen, or of the whole page */
export async function screenshot(page: Page, whole = false): Promise<Buffer> {
  const how = { format: 'png', captureBeyondViewport: whole }
  const { data } = await page.command('Page.captureScreenshot', how)
  return Buffer.from(String(data), 'base64')
}
