-- get --
-- Return one push registration.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration WHERE id = :id

-- by_public_id --
-- Return the push registration that the API calls so.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration WHERE public_id = :public_id

-- by_installation --
-- Return all that one installation has or had for an account.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration WHERE account_id = :account_id AND installation = :installation ORDER BY id

-- of_account --
-- Return those of an account whose life has not ended.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration
WHERE account_id = :account_id
  AND NOT EXISTS (SELECT 1 FROM life WHERE life.id = registration.id AND life.ended IS NOT NULL)
ORDER BY id

-- callees --
-- Return what a call to an account can wake: registrations, their lives and their targets for calls.
SELECT r.id, r.public_id, r.account_id, r.app, r.installation, r.sip_instance, r.secret_hash,
  r.previous_secret_hash, r.previous_secret_until, r.proven, r.platform, r.locale, r.time_zone,
  r.display_name, r.lifetime, r.capabilities, r.os_version, r.app_version, r.payload_key, r.created_at, l.id,
  l.slot, l.expires_at, l.next_at, l.generation, l.step, l.lifetime, l.renewed_at, l.renewal_sent_at,
  l.warning_tried_at, l.warned_at, l.warning_settled, l.ended, l.ended_at, l.opened_at, l.noted_at,
  l.trouble_generation, l.trouble_told_at, l.trouble_settled, l.trouble_cause, l.habits, t.id,
  t.registration_id, t.provider, t.token, t.token_kind, t.purposes, t.topic, t.environment, t.reported_at,
  t.accepted_at, t.refused_at, t.claimed_at
FROM registration AS r JOIN life AS l ON l.id = r.id JOIN target AS t ON t.registration_id = r.id
WHERE r.account_id = :account_id AND r.proven AND l.ended IS NULL AND instr(t.purposes, 'call')
ORDER BY r.id, t.id

-- dormant --
-- Return those of an account that have expired and can still be resumed.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration
WHERE account_id = :account_id
  AND EXISTS (SELECT 1 FROM life WHERE life.id = registration.id AND life.ended = 'dormant')
ORDER BY id

-- of_installation --
-- Return those of one installation of an app whose life has not ended, of any account.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration
WHERE app = :app AND installation = :installation
  AND NOT EXISTS (SELECT 1 FROM life WHERE life.id = registration.id AND life.ended IS NOT NULL)
ORDER BY id

-- by_sip_instance --
-- Return the one that a REGISTER means: living before ended, proven before unproven, the newest.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration
WHERE account_id = :account_id AND sip_instance = :sip_instance
ORDER BY EXISTS (SELECT 1 FROM life WHERE life.id = registration.id AND life.ended IS NOT NULL),
  proven DESC, id DESC
LIMIT 1

-- unproven --
-- Return those that waited for their proof since before a time, the oldest first, without those that wait
-- for the first proof of their account by a trial that is young enough.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration
WHERE proven = 0 AND created_at < :before
  AND NOT EXISTS (
    SELECT 1 FROM trial JOIN account ON account.id = registration.account_id
    WHERE trial.registration_id = registration.id AND trial.started_at > :waiting_from AND account.proven = 0
  )
ORDER BY created_at, id LIMIT :limit

-- add --
-- Store a new push registration and return its id.
INSERT INTO registration (public_id, account_id, app, installation, sip_instance, secret_hash,
  previous_secret_hash, previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime,
  capabilities, os_version, app_version, payload_key, created_at)
VALUES (:public_id, :account_id, :app, :installation, :sip_instance, :secret_hash,
  :previous_secret_hash, :previous_secret_until, :proven, :platform, :locale, :time_zone, :display_name,
  :lifetime, :capabilities, :os_version, :app_version, :payload_key, :created_at)
RETURNING id

-- update --
-- Replace a push registration.
UPDATE registration SET public_id = :public_id, account_id = :account_id, app = :app,
  installation = :installation, sip_instance = :sip_instance, secret_hash = :secret_hash,
  previous_secret_hash = :previous_secret_hash, previous_secret_until = :previous_secret_until,
  proven = :proven, platform = :platform, locale = :locale, time_zone = :time_zone,
  display_name = :display_name, lifetime = :lifetime, capabilities = :capabilities,
  os_version = :os_version, app_version = :app_version, payload_key = :payload_key, created_at = :created_at
WHERE id = :id

-- remove --
-- Remove a push registration; its targets, life, outbox rows and trial go with it.
DELETE FROM registration WHERE id = :id

-- page --
-- Return the push registrations after an id, in order.
SELECT id, public_id, account_id, app, installation, sip_instance, secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities, os_version,
  app_version, payload_key, created_at
FROM registration WHERE id > :after ORDER BY id LIMIT :limit
