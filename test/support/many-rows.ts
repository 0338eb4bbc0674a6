/** Tables as they are after years of use. */
import type { TestSql } from './postgres.ts'

export const MANY = 100_000

/** How many rows of each sort {@link fillTables} makes, oldest approval first; all others are older and long released. */
export const rowsMade = {
  releasedToday: 100,
  /** Half of them are due. */
  archived: 20_000,
  /** Held or rejected: their media rows stay approved for ever. */
  settled: 3_000,
  sourceDiffers: 50,
  withdrawn: 50,
  /** A dead worker left these two. */
  releasing: 20,
  unfinished: 40,
  waiting: 100,
  missing: 50,
  claimable: 2_000,
  pending: 500,
} as const

interface Range {
  sort: string
  lowest: number
  highest: number
}

/**
 * Makes so many media rows, {@link MANY} by default, an item for each that has or had one and a second generation for some, and lets PostgreSQL
 * count them.
 */
export async function fillTables(sql: TestSql, many: number = MANY): Promise<void> {
  const ranges = JSON.stringify(rangesOfIds(many))
  await fillMedia(sql, { ranges, many })
  await fillItems(sql, ranges)
  await sql`vacuum analyze media`
  await sql`vacuum analyze strongroom.items`
  await sql`analyze strongroom.archives`
}

function rangesOfIds(many: number): Range[] {
  const ranges: Range[] = []
  let highest = many
  for (const [sort, count] of Object.entries(rowsMade).reverse()) {
    ranges.push({ sort, lowest: highest - count + 1, highest })
    highest -= count
  }
  return [...ranges, { sort: 'released', lowest: 1, highest }]
}

const rangeRows = (sql: TestSql, ranges: string) =>
  sql`json_to_recordset(${ranges}::text::json) as ranges (sort text, lowest int, highest int)`

async function fillMedia(
  sql: TestSql,
  { ranges, many }: { ranges: string; many: number },
): Promise<void> {
  await sql`
    insert into media (id, user_id, title, filename, content_type, mime_type, file_size, object_key, status, approved_at)
    select n, n % 500, 'Title ' || n, n || '.mp4', 'video', 'video/mp4', 1000 + n, 'uploads/' || n || '.mp4',
      case when sort in ('released', 'releasedToday', 'archived', 'sourceDiffers', 'releasing') then 'archived'
        when sort in ('pending', 'withdrawn') then 'pending' else 'approved' end,
      case when sort <> 'pending' then now() - (${many} - n) * interval '10 minutes' end
    from ${rangeRows(sql, ranges)}, generate_series(lowest, highest) n`
}

/** Every tenth settled row was settled twice. */
async function fillItems(sql: TestSql, ranges: string): Promise<void> {
  await sql`
    insert into strongroom.items (media_id, generation, state, user_id, title, filename, content_type, mime_type,
      declared_bytes, object_key, approved_at, lease_owner, lease_until, archive_path, sha256, size_bytes, bucket, etag,
      last_modified, probe, proof, filed_at, archived_at, release_due, released_at)
    select id, generation, state, user_id, title, filename, content_type, mime_type, file_size, object_key,
      case when generation = generations then approved_at else approved_at - interval '1 day' end,
      case when in_work then 'dead' end, case when in_work then now() - interval '1 minute' end,
      case when in_archive then '2026/' || id || '/' || filename end,
      repeat('ab', 32), file_size, 'uploads', repeat('cd', 16), approved_at, '{}', '{}', approved_at,
      case when in_archive then approved_at + interval '1 hour' end,
      case when state in ('archived', 'releasing') then now() + (id - middle) * interval '1 minute' end,
      case sort when 'released' then approved_at + interval '1 day' when 'releasedToday' then now() end
    from (
      select m.*, sort, (lowest + highest) / 2 as middle,
        state in ('claimed', 'publishing', 'withdrawing', 'releasing') as in_work,
        state in ('publishing', 'withdrawing', 'archived', 'releasing', 'released', 'source_differs') as in_archive,
        state, case when sort = 'settled' and m.id % 10 = 0 then 2 else 1 end as generations
      from ${rangeRows(sql, ranges)} join media m on m.id between lowest and highest,
        lateral (select case sort
          when 'settled' then case when m.id % 3 = 0 then 'held' else 'rejected' end
          when 'unfinished' then case m.id % 3 when 0 then 'claimed' when 1 then 'publishing' else 'withdrawing' end
          when 'sourceDiffers' then 'source_differs'
          when 'releasedToday' then 'released' else sort end as state) states
      where sort not in ('claimable', 'pending')) m,
      generate_series(1, generations) generation`
}
