-- Not validated: what was of the shorter list is of this one, and a large table need not be read for it.
alter table strongroom.items drop constraint items_state_check;
alter table strongroom.items add constraint items_state_check check (state in (
  'claimed', 'publishing', 'waiting', 'missing', 'held', 'rejected', 'withdrawing', 'withdrawn',
  'archived', 'releasing', 'released', 'moved', 'source_differs', 'lost', 'kept')) not valid;

-- The copy of an archived file in the second bucket; it stays there when the file is brought back.
create table strongroom.second_copies (
  item_id bigint primary key,
  bucket_id text not null,
  key text not null,
  etag text not null,
  version_id text,
  size_bytes bigint not null,
  sha256 text not null,
  -- when it was last read whole from there, and had that hash
  verified_at timestamptz not null,
  moved_at timestamptz not null default clock_timestamp(),
  -- null while a file of the archive may lie there all the same
  local_removed_at timestamptz,
  -- null while the copy is the one that counts
  recalled_at timestamptz
);
create index second_copies_both on strongroom.second_copies (item_id)
  where local_removed_at is null and recalled_at is null;

-- What may be moved, longest archived first.
create index items_movable on strongroom.items (archived_at, id) where state = 'released' and damage is null;

alter table strongroom.removals drop constraint removals_area_check;
alter table strongroom.removals add constraint removals_area_check
  check (area in ('errors', 'withdrawn', 'quarantine', 'archived')) not valid;
