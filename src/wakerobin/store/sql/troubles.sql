-- get --
-- Return the trouble of an account.
SELECT account_id, cause, code, reason, registrar, peers, since_at, refusals, refused_at, told, next_at
FROM trouble WHERE account_id = :account_id

-- put --
-- Store or replace the trouble of an account.
INSERT INTO trouble
  (account_id, cause, code, reason, registrar, peers, since_at, refusals, refused_at, told, next_at)
VALUES
  (:account_id, :cause, :code, :reason, :registrar, :peers, :since_at, :refusals, :refused_at, :told, :next_at)
ON CONFLICT (account_id) DO UPDATE SET cause = excluded.cause, code = excluded.code,
  reason = excluded.reason, registrar = excluded.registrar, peers = excluded.peers,
  since_at = excluded.since_at, refusals = excluded.refusals, refused_at = excluded.refused_at,
  told = excluded.told, next_at = excluded.next_at

-- remove --
-- Remove the trouble of an account.
DELETE FROM trouble WHERE account_id = :account_id

-- due --
-- Return the troubles to look at, the longest due first.
SELECT account_id, cause, code, reason, registrar, peers, since_at, refusals, refused_at, told, next_at
FROM trouble WHERE next_at <= :now ORDER BY next_at, account_id LIMIT :limit

-- refused_at --
-- Count the accounts that a registrar refuses.
SELECT count(*) FROM trouble WHERE cause = 'refused' AND registrar = :registrar

-- count --
-- Count the troubles by cause.
SELECT cause, count(*) FROM trouble GROUP BY cause

-- registrars --
-- Count the refused accounts of each registrar, and say how many it has.
SELECT registrar, count(*), max(peers) FROM trouble WHERE cause = 'refused' GROUP BY registrar
