-- of_registration --
-- Return the push targets of a registration.
SELECT id, registration_id, provider, token, token_kind, purposes, topic, environment, reported_at,
  accepted_at, refused_at, claimed_at
FROM target WHERE registration_id = :registration_id AND instr(purposes, :purpose) ORDER BY id

-- with_token --
-- Return the push targets of all registrations with one token.
SELECT id, registration_id, provider, token, token_kind, purposes, topic, environment, reported_at,
  accepted_at, refused_at, claimed_at
FROM target WHERE token_hash = :token_hash AND provider = :provider ORDER BY registration_id

-- add --
-- Store a new target, its token still empty (sealing needs the id), and return its id.
INSERT INTO target (registration_id, provider, token_hash, token, token_kind, purposes, topic, environment,
  reported_at, accepted_at, refused_at, claimed_at)
VALUES (:registration_id, :provider, :token_hash, :token, :token_kind, :purposes, :topic, :environment,
  :reported_at, :accepted_at, :refused_at, :claimed_at)
RETURNING id

-- update --
-- Replace a target.
UPDATE target SET registration_id = :registration_id, provider = :provider, token_hash = :token_hash,
  token = :token, token_kind = :token_kind, purposes = :purposes, topic = :topic, environment = :environment,
  reported_at = :reported_at, accepted_at = :accepted_at, refused_at = :refused_at,
  claimed_at = :claimed_at
WHERE id = :id

-- note_accepted --
-- Note that a push to a target was accepted, and by which environment where that was found out.
UPDATE target SET
  accepted_at = :at, refused_at = 0,
  environment = CASE WHEN :environment = '' THEN environment ELSE :environment END
WHERE id = :id

-- remove --
-- Remove a target.
DELETE FROM target WHERE id = :id
