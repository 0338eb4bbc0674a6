-- Counts the claims that were made under RELEASE_DAILY_MAX: of two that saw the same number only one goes through.
alter table strongroom.archives add column release_claims bigint not null default 0;

-- What was released in the last day.
create index items_released on strongroom.items (released_at) where released_at is not null;
