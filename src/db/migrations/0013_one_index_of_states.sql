-- items_of_state begins with the state, too. With both, PostgreSQL could take one that reads all items of a state for a
-- statement that names one item; and each change of a state was entered twice.
drop index strongroom.items_state;
