/** What a terminal shows, as far as the program uses one: lines that end, a cursor that goes up, a screen that is wiped. */
export class SeenTerminal {
  /** Every state in which the program left it between two writes. */
  readonly pictures: string[] = []
  #lines = ['']
  #row = 0
  #column = 0

  write(text: string): void {
    for (const [part] of text.matchAll(/\x1b\[\?7[lh]|\x1b\[\d*[AJ]|[^\x1b]|\x1b/gu))
      this.#take(part)
    this.pictures.push(this.picture())
  }

  picture(): string {
    return this.#lines.join('\n').trimEnd()
  }

  #take(part: string): void {
    if (part.startsWith('\x1b[?7')) return
    if (part === '\r') this.#column = 0
    else if (part === '\n') this.#goTo(this.#row + 1)
    else if (part === '\x1b[J') this.#wipe()
    else if (/^\x1b\[\d+A$/.test(part)) this.#goTo(this.#row - Number(part.slice(2, -1)))
    else if (part.startsWith('\x1b')) throw new Error(`unknown: ${JSON.stringify(part)}`)
    else this.#put(part)
  }

  #goTo(row: number): void {
    if (row < 0) throw new Error('the cursor went above the first line')
    while (this.#lines.length <= row) this.#lines.push('')
    this.#row = row
    this.#column = 0
  }

  #wipe(): void {
    this.#lines.length = this.#row + 1
    this.#lines[this.#row] = (this.#lines[this.#row] ?? '').slice(0, this.#column)
  }

  #put(letter: string): void {
    const line = this.#lines[this.#row] ?? ''
    this.#lines[this.#row] = line.slice(0, this.#column) + letter + line.slice(this.#column + 1)
    this.#column += 1
  }
}
