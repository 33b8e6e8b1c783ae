-- hold --
-- Store or replace a held call.
INSERT INTO held_call (call_id, account_id, invite, flow, to_tag, branches, started_at, expires_at)
VALUES (:call_id, :account_id, :invite, :flow, :to_tag, :branches, :started_at, :expires_at)
ON CONFLICT (call_id) DO UPDATE
SET account_id = excluded.account_id, invite = excluded.invite, flow = excluded.flow,
  to_tag = excluded.to_tag, branches = excluded.branches, started_at = excluded.started_at,
  expires_at = excluded.expires_at

-- release --
-- Remove a held call.
DELETE FROM held_call WHERE call_id = :call_id

-- held --
-- Return all held calls, the oldest first.
SELECT call_id, account_id, invite, flow, to_tag, branches, started_at, expires_at
FROM held_call ORDER BY started_at, call_id

-- put --
-- Store or replace the record of a call.
INSERT INTO call_record (call_id, account_id, state, said, started_at, expires_at, ended_at, over_at)
VALUES (:call_id, :account_id, :state, :said, :started_at, :expires_at, :ended_at, :over_at)
ON CONFLICT (call_id) DO UPDATE
SET account_id = excluded.account_id, state = excluded.state, said = excluded.said,
  started_at = excluded.started_at, expires_at = excluded.expires_at, ended_at = excluded.ended_at,
  over_at = excluded.over_at

-- get --
-- Return the record of a call.
SELECT call_id, account_id, state, said, started_at, expires_at, ended_at
FROM call_record WHERE call_id = :call_id

-- of_account --
-- Return the records of an account, the newest first.
SELECT call_id, account_id, state, said, started_at, expires_at, ended_at
FROM call_record WHERE account_id = :account_id ORDER BY started_at DESC, call_id DESC LIMIT :limit

-- of_all --
-- Return the records of all accounts, the newest first.
SELECT call_id, account_id, state, said, started_at, expires_at, ended_at
FROM call_record ORDER BY started_at DESC, call_id DESC LIMIT :limit

-- last_called --
-- Return when the accounts of a range of ids were called last, of those that were since a time.
SELECT account_id, MAX(started_at) FROM call_record
WHERE account_id > :after AND account_id <= :until AND started_at >= :since
GROUP BY account_id

-- forget --
-- Remove records of calls that were over before a time.
DELETE FROM call_record
WHERE call_id IN (SELECT call_id FROM call_record WHERE over_at < :before ORDER BY over_at LIMIT :limit)
