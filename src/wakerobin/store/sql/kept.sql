-- get --
-- Return a kept value, sealed.
SELECT sealed FROM kept WHERE name = :name

-- put --
-- Store or replace a kept value.
INSERT INTO kept (name, sealed) VALUES (:name, :sealed)
ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed
