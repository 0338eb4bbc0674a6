-- There is one archive (archives_only_one): naming it in every item only made accepting another volume rewrite them all,
-- which a large table did not survive within the time that a statement may take.
alter table strongroom.items drop column archive_id;

-- Finds the few items in work, and counts all per state without reading them.
create index items_state on strongroom.items (state);
drop index strongroom.items_leased;

-- The rule that a source stays for another row of its key looks for that row, and then for its items by media id.
drop index strongroom.items_object_key;
