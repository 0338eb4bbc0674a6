import { createProbe, type Probe } from '../../src/tools/ffprobe.ts'
import { createTieredProbe } from '../../src/tools/tiered-probe.ts'

const path = process.env.TEST_FFPROBE_SMALL

export const fullProbe = createProbe({ path: 'ffprobe' })

const small = (decodesNothing: boolean) =>
  path === undefined ? null : createProbe({ path, setting: 'FFPROBE_SMALL_PATH', decodesNothing })

/** The small ffprobe that the image has, where a run of the tests is about that one; else null. */
export const smallProbe = small(false)
const quickProbe = small(true)

/** What judges files in the tests: Debian's ffprobe, with the small one before it where there is one. */
export const probe: Probe =
  smallProbe === null || quickProbe === null
    ? fullProbe
    : createTieredProbe({ quick: quickProbe, small: smallProbe, full: fullProbe })
