-- What was wrong with a copy in the second bucket when it was last looked at, and when that was; verified_at is when it was
-- last read whole.
alter table strongroom.second_copies add column trouble text;
alter table strongroom.second_copies add column looked_at timestamptz;
-- Until then one node has it in hand; another one that reads it too only costs the bucket's traffic.
alter table strongroom.second_copies add column look_until timestamptz;

create index second_copies_looked on strongroom.second_copies ((coalesce(looked_at, verified_at)))
  where recalled_at is null;
create index second_copies_read on strongroom.second_copies (verified_at) where recalled_at is null;
create index second_copies_troubled on strongroom.second_copies (looked_at)
  where trouble is not null and recalled_at is null;
