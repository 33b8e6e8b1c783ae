"""A million push registrations in a store: as many as asked for are real, the others are copies of them.

A copy has rows of its own in every table, with keys of its own; only what is sealed in it cannot be opened,
for a seal belongs to its row. Nothing that a benchmark measures opens one of a copy.
"""

from __future__ import annotations

from pathlib import Path

from bench.machine import OTHERS, OURS, pin
from wakerobin.store.engine import connect_writer

_NUMBERS = "WITH RECURSIVE number(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM number WHERE n < :last)"
_COPIES = (
    f"""{_NUMBERS}
INSERT INTO account (id, slot, app, aor, auth_user, registrar, outbound_proxy, transport, contact_user,
  instance, proven, algorithm, state, state_since_at, said, created_at)
SELECT n, n % 4096, app, 'sip:m' || n || '@pbx.test', 'm' || n, registrar, outbound_proxy, transport,
  printf('%032x', n), printf('urn:uuid:00000000-0000-0000-0000-%012x', n), proven, algorithm, state,
  state_since_at, said, created_at
FROM number CROSS JOIN account WHERE account.id = :of""",
    f"""{_NUMBERS}
INSERT INTO credentials (account_id, sealed) SELECT n, sealed FROM number CROSS JOIN credentials
WHERE account_id = :of""",
    f"""{_NUMBERS}
INSERT INTO registration (id, public_id, account_id, app, installation, sip_instance, secret_hash,
  previous_secret_hash, previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime,
  capabilities, os_version, app_version, payload_key, created_at)
SELECT n, printf('pr_m%015d', n), n, app, printf('m-%012d', n),
  printf('urn:uuid:00000001-0000-0000-0000-%012x', n), secret_hash, previous_secret_hash,
  previous_secret_until, proven, platform, locale, time_zone, display_name, lifetime, capabilities,
  os_version, app_version, payload_key, created_at
FROM number CROSS JOIN registration WHERE registration.id = :of""",
    f"""{_NUMBERS}
INSERT INTO target (registration_id, provider, token_hash, token, token_kind, purposes, topic, environment,
  reported_at, accepted_at, refused_at, claimed_at)
SELECT n, provider, CAST(printf('%s %d', purposes, n) AS BLOB), token, token_kind, purposes, topic,
  environment, reported_at, accepted_at, refused_at, claimed_at
FROM number CROSS JOIN target WHERE target.registration_id = :of""",
    f"""{_NUMBERS}
INSERT INTO life (id, slot, expires_at, next_at, generation, step, lifetime, renewed_at, renewal_sent_at,
  warning_tried_at, warned_at, warning_settled, ended, ended_at, opened_at, noted_at, trouble_generation,
  trouble_told_at, trouble_settled, trouble_cause, habits)
SELECT n, n % 4096, expires_at + n % :spread, next_at + n % :spread, generation, step, lifetime,
  renewed_at + n % :spread, renewal_sent_at, warning_tried_at, warned_at, warning_settled, ended, ended_at,
  opened_at, noted_at, trouble_generation, trouble_told_at, trouble_settled, trouble_cause, habits
FROM number CROSS JOIN life WHERE life.id = :of""",
)
_SPREAD_MS = 3_600_000


def copy(database: Path, *, of: int, up_to: int) -> None:
    """Copy the registration with this id, which is the last one, until there are so many."""
    connection = connect_writer(database, 0)
    pin(0, OTHERS)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA wal_autocheckpoint = 50000")
    connection.execute("BEGIN")
    values = {"of": of, "first": of + 1, "last": up_to, "spread": _SPREAD_MS}
    for sql in _COPIES:
        connection.execute(sql, values)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    pin(0, OURS)
