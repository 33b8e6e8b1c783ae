-- get --
-- Return what a PBX said last of the mailbox of an account.
SELECT waiting, new, old, urgent, changes FROM mailbox WHERE account_id = :account_id

-- put --
-- Store or replace it.
INSERT INTO mailbox (account_id, waiting, new, old, urgent, changes)
VALUES (:account_id, :waiting, :new, :old, :urgent, :changes)
ON CONFLICT (account_id) DO UPDATE SET waiting = excluded.waiting, new = excluded.new, old = excluded.old,
  urgent = excluded.urgent, changes = excluded.changes
