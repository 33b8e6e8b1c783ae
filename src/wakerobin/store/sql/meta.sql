-- get --
-- Return what the store knows about itself.
SELECT value FROM meta WHERE name = :name

-- put --
-- Store or replace what the store knows about itself.
INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
