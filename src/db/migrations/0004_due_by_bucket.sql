-- What is due is looked for in the configured bucket only: what was archived from another one may lie before it in any number.
drop index strongroom.items_release_due;
create index items_release_due on strongroom.items (bucket, release_due) where state = 'archived';
