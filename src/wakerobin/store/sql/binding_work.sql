-- trial --
-- Return the trial of a push registration.
SELECT registration_id, account_id, sealed, way, is_trusted, started_at FROM trial WHERE registration_id = :registration_id

-- trials --
-- Return all trials, the oldest first.
SELECT registration_id, account_id, sealed, way, is_trusted, started_at FROM trial ORDER BY started_at, registration_id

-- trial_ids --
-- Return whose trials there are, the oldest first.
SELECT registration_id FROM trial ORDER BY started_at, registration_id

-- replace_trial --
-- Replace the trial of a push registration.
UPDATE trial SET account_id = :account_id, sealed = :sealed, way = :way, is_trusted = :is_trusted,
  started_at = :started_at
WHERE registration_id = :registration_id

-- add_trial --
-- Store the trial of a push registration that has none.
INSERT INTO trial (registration_id, account_id, sealed, way, is_trusted, started_at)
VALUES (:registration_id, :account_id, :sealed, :way, :is_trusted, :started_at)

-- remove_trial --
-- Remove a trial with its credentials.
DELETE FROM trial WHERE registration_id = :registration_id

-- forget_trials --
-- Remove trials that began long ago.
DELETE FROM trial WHERE started_at <= :until

-- add_unregister --
-- Add an un-REGISTER, not sealed yet (sealing needs the id), and return its id.
INSERT INTO unregister (account_id, account, sealed, registration_id, created_at, give_up_at)
VALUES (:account_id, :account, x'', :registration_id, :created_at, :give_up_at)
RETURNING id

-- seal_unregister --
-- Give an un-REGISTER its credentials.
UPDATE unregister SET sealed = :sealed WHERE id = :id

-- unregisters --
-- Return all un-REGISTERs in order.
SELECT id, account, sealed, registration_id, created_at, give_up_at FROM unregister ORDER BY id

-- remove_unregister --
-- Remove an un-REGISTER with its credentials.
DELETE FROM unregister WHERE id = :id

-- drop_unregisters --
-- Remove the un-REGISTERs of one Contact of an account.
DELETE FROM unregister WHERE account_id = :account_id AND json_extract(account, '$.contact_user') = :contact_user
