-- When damage was noticed, healed since or not: much of it in one day means that something else is wrong.
alter table strongroom.items add column damaged_at timestamptz;
create index items_damaged_lately on strongroom.items (damaged_at) where damaged_at is not null;

-- Then nothing is fetched again or set aside on any node until a person has said so; what was noticed before counts no more.
alter table strongroom.archives add column heal_paused_at timestamptz;
alter table strongroom.archives add column heal_paused_reason text;
alter table strongroom.archives add column heal_confirmed_at timestamptz;
