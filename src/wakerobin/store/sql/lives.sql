-- get --
-- Return one life.
SELECT id, slot, expires_at, next_at, generation, step, lifetime, renewed_at, renewal_sent_at,
  warning_tried_at, warned_at, warning_settled, ended, ended_at, opened_at, noted_at, trouble_generation,
  trouble_told_at, trouble_settled, trouble_cause, habits
FROM life WHERE id = :id

-- add --
-- Store a new life.
INSERT INTO life (id, slot, expires_at, next_at, generation, step, lifetime, renewed_at, renewal_sent_at,
  warning_tried_at, warned_at, warning_settled, ended, ended_at, opened_at, noted_at, trouble_generation,
  trouble_told_at, trouble_settled, trouble_cause, habits)
VALUES (:id, :slot, :expires_at, :next_at, :generation, :step, :lifetime, :renewed_at, :renewal_sent_at,
  :warning_tried_at, :warned_at, :warning_settled, :ended, :ended_at, :opened_at, :noted_at,
  :trouble_generation, :trouble_told_at, :trouble_settled, :trouble_cause, :habits)

-- renew --
-- Replace a life that stays armed for the same time: no index is written. No row: see `update`.
UPDATE life SET slot = :slot, expires_at = :expires_at, generation = :generation, step = :step,
  lifetime = :lifetime, renewed_at = :renewed_at, renewal_sent_at = :renewal_sent_at,
  warning_tried_at = :warning_tried_at, warned_at = :warned_at, warning_settled = :warning_settled,
  opened_at = :opened_at, noted_at = :noted_at, trouble_generation = :trouble_generation,
  trouble_told_at = :trouble_told_at, trouble_settled = :trouble_settled, trouble_cause = :trouble_cause,
  habits = :habits
WHERE id = :id AND next_at IS :next_at AND ended IS :ended AND ended_at = :ended_at

-- climb --
-- Note how far a life is on its ladder.
UPDATE life SET step = :step, next_at = :next_at, warning_tried_at = :warning_tried_at,
  warning_settled = :warning_settled
WHERE id = :id

-- update --
-- Replace a life.
UPDATE life SET slot = :slot, expires_at = :expires_at, next_at = :next_at, generation = :generation,
  step = :step, lifetime = :lifetime, renewed_at = :renewed_at, renewal_sent_at = :renewal_sent_at,
  warning_tried_at = :warning_tried_at, warned_at = :warned_at, warning_settled = :warning_settled,
  ended = :ended, ended_at = :ended_at, opened_at = :opened_at, noted_at = :noted_at,
  trouble_generation = :trouble_generation, trouble_told_at = :trouble_told_at,
  trouble_settled = :trouble_settled, trouble_cause = :trouble_cause,
  habits = :habits
WHERE id = :id

-- due --
-- Return the lives at which something may be due, the longest due first.
SELECT id FROM life WHERE next_at <= :now ORDER BY next_at, id LIMIT :limit

-- standings --
-- Return lives with what decides about them, for a JSON list of ids: CROSS JOIN keeps to its order.
SELECT life.id, life.slot, expires_at, next_at, generation, step, life.lifetime, renewed_at,
  renewal_sent_at, warning_tried_at, warned_at, warning_settled, ended, ended_at, opened_at, noted_at,
  trouble_generation, trouble_told_at, trouble_settled, trouble_cause, habits,
  account_id, registration.app, registration.proven, capabilities, platform, time_zone, installation,
  account.proven AND account.state IN ('registered', 'registering'),
  NOT EXISTS (SELECT 1 FROM registration AS other WHERE other.app = registration.app
    AND other.installation = registration.installation AND other.id <> registration.id),
  (SELECT group_concat(provider || ' ' || purposes, '|') FROM target WHERE registration_id = life.id)
FROM json_each(:ids) AS wanted CROSS JOIN life ON life.id = wanted.value
  CROSS JOIN registration ON registration.id = life.id
  CROSS JOIN account ON account.id = registration.account_id

-- next_due --
-- Return when the next life may be due.
SELECT min(next_at) FROM life WHERE next_at IS NOT NULL

-- ended --
-- Return lives that ended for good before a time, the oldest first.
SELECT id, slot, expires_at, next_at, generation, step, lifetime, renewed_at, renewal_sent_at,
  warning_tried_at, warned_at, warning_settled, ended, ended_at, opened_at, noted_at, trouble_generation,
  trouble_told_at, trouble_settled, trouble_cause, habits
FROM life WHERE ended IS NOT NULL AND (ended <> 'dormant') = 1 AND ended_at < :before
ORDER BY ended_at, id LIMIT :limit

-- total --
-- Count all lives.
SELECT count(*) FROM life

-- ends --
-- Count ended lives by the reason of their end.
SELECT ended, count(*) FROM life WHERE ended IS NOT NULL GROUP BY ended
