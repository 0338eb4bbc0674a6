const hour = 3_600_000

/** Bounds that several settings share, in milliseconds. */
export const tenYears = { min: 0, max: 87_600 * hour, words: 'from 0 to 87600h' }
export const upToAnHour = { min: 1000, max: hour, words: 'from 1s to 1h' }
export const upToAnHourOrNone = { min: 0, max: hour, words: 'from 0 to 1h' }
export const upToTenYears = { min: 1000, max: 87_600 * hour, words: 'from 1s to 87600h' }
