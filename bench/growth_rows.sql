-- What bench/growth_rows.py inserts, by table; braces are filled in there. n counts vouchers, at is when the n-th was
-- given, ms the same in milliseconds.

INSERT INTO customers (id, group_id, profile, locale, created_at)
    SELECT id, id, {contact}, 'en', to_timestamp(ms / 1000.0)
    FROM (SELECT growth.id(growth.ms(1 + c * 10 / 3), 3, c) AS id, growth.ms(1 + c * 10 / 3) AS ms
        FROM generate_series(0, {customers}::bigint - 1) AS c) AS found;

INSERT INTO customer_identities (digest, customer_id, kind)
    SELECT growth.digest('c' || c), growth.id(growth.ms(1 + c * 10 / 3), 3, c), 'email'
    FROM generate_series(0, {customers}::bigint - 1) AS c;

INSERT INTO recovery_cases (id, customer_id, issue_tag, severity, location, status, opened_at, opened_by, source, locale, contact,
        protocol_item_id, catalog_release_id, changed_at, closed_at, outcome)
    SELECT case_id, customer_id, 'late', 2, location, CASE WHEN n % 20 = 0 THEN 'open' ELSE 'closed' END, at,
        {giver}, 'staff', 'en', NULL, {protocol}, {release}, at, CASE WHEN n % 20 <> 0 THEN at END, CASE WHEN n
        % 20 <> 0 THEN 'recovered' END
    FROM growth.vouchers;

INSERT INTO case_tags (case_id, issue_tag)
    SELECT case_id, 'late'
    FROM growth.vouchers WHERE n % ({thin} * {thin}) = 0;

INSERT INTO issuances (id, status, case_id, customer_id, issue_tag, severity, incentive, incentive_item_id, protocol_item_id,
        catalog_release_id, amount_minor, currency, location, actor, metadata, channels, contact, locale,
        requested_at, issued_at)
    SELECT issuance_id, CASE WHEN n > {decided} THEN 'pending_approval' ELSE 'issued' END, case_id, customer_id,
        'late', 2, 'dollar', {incentive}, {protocol}, {release}, 100, 'USD', location, {giver}, '{{}}',
        '["email"]', {contact}, 'en', at, CASE WHEN n <= {decided} THEN at END
    FROM growth.vouchers;

INSERT INTO vouchers (id, issuance_id, number, incentive_item_id, status, amount_minor, currency, code_key_id, code_digest, last4,
        issued_at, expires_at, time_zone, redeemed_count)
    SELECT voucher_id, issuance_id, 1, {incentive}, status, 100, 'USD', {key}, growth.digest('v' || n), '0000',
        at, at + interval '365 days', 'UTC', CASE WHEN status = 'redeemed' THEN 1 ELSE 0 END
    FROM growth.given;

INSERT INTO redemptions (id, voucher_id, amount_minor, currency, location, actor, actor_name, redeemed_at, settled_minor)
    SELECT growth.id(ms, 9, n), voucher_id, 100, 'USD', location, {giver}, 'till', at, 100
    FROM growth.given WHERE status = 'redeemed';

INSERT INTO ledger_entries (id, kind, source_id, voucher_id, at, actor, reason)
    SELECT growth.id(ms, 4, n), 'voucher-issued', voucher_id, voucher_id, at, {giver}, 'A voucher was issued.'
    FROM growth.given
    UNION ALL
    SELECT growth.id(ms, 5, n), 'voucher-redeemed', growth.id(ms, 9, n), voucher_id, at, {giver},
        'A voucher was redeemed.'
    FROM growth.given WHERE status = 'redeemed';

INSERT INTO ledger_postings (id, entry_id, account, amount_minor, currency)
    SELECT growth.id(ms, 6 + line, n), growth.id(ms, 4, n), CASE line WHEN 0 THEN 'recovery-expense' ELSE
        'voucher-liability' END, 100 - 200 * line, 'USD'
    FROM growth.given, generate_series(0, 1) AS line WHERE n % ({thin} * {thin}) = 0
    UNION ALL
    SELECT growth.id(ms, 8 + line, n), growth.id(ms, 5, n), CASE line WHEN 0 THEN 'voucher-liability' ELSE
        'redemption-settlement' END, 100 - 200 * line, 'USD'
    FROM growth.given, generate_series(0, 1) AS line WHERE n % ({thin} * {thin}) = 0 AND status = 'redeemed';

INSERT INTO budget_periods (id, budget, subject, period_key, start_at, end_at, currency, on_expiry, cap_minor, cap_count,
        committed_minor, spent_minor, committed_count, spent_count)
    SELECT growth.id({pots_from}, 12, year * 100), 'all', 'organization', year || '-01-01',
        make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC'), make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC'), 'USD',
        'release', 1000000000000, NULL::bigint, 100000000000, 0, 1000000000, 0
    FROM {every_year} AS year
    UNION ALL
    SELECT growth.id({pots_from}, 13, year * 100 + place), 'each-location', 'place-' || place, year || '-01-01',
        make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC'), make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC'), 'USD',
        'release', 1000000000000, NULL, 1000000000, 0, 10000000, 0
    FROM {every_year} AS year, generate_series(0, 49) AS place
    UNION ALL
    SELECT growth.id({pots_from}, 10, c * 10000 + year), 'each-customer',
        growth.id(growth.ms(1 + c * 10 / 3), 3, c)::text, year || '-01-01',
        make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC'), make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC'), NULL,
        'release', NULL, 1000, 0, 0, count(*), 0
    FROM growth.given WHERE n % {thin} = 0 GROUP BY c, year;

INSERT INTO budget_movements (id, budget_period_id, issuance_id, kind, source_id, committed_minor, committed_count, at,
        actor)
    SELECT growth.id(ms, 14 + pot, n), period, issuance_id, 'commit', issuance_id, minor, 1, at, {giver}
    FROM growth.given, LATERAL (VALUES (0, growth.id({pots_from}, 12, year * 100), 100),
        (1, growth.id({pots_from}, 13, year * 100 + substr(location, 7)::int), 100),
        (2, growth.id({pots_from}, 10, c * 10000 + year), 0)) AS charged (pot, period, minor)
    WHERE n % {thin} = 0;

INSERT INTO audit_events (id, at, actor, actor_name, action, subject_kind, subject_id, case_id, facts, request_id)
    SELECT growth.id(ms, 17, n), at, {giver}, 'program', 'issuance.issued', 'issuance', issuance_id::text,
        case_id, '{{"incentive": "dollar", "amount_minor": 100, "currency": "USD"}}'::jsonb, md5(n::text)
    FROM growth.given WHERE n % ({thin} * {thin}) = 0
    UNION ALL
    SELECT growth.id(ms, 18, n), at, {giver}, 'till', 'voucher.redeemed', 'voucher', voucher_id::text, case_id,
        '{{"amount_minor": 100}}'::jsonb, md5(n::text)
    FROM growth.given WHERE n % ({thin} * {thin}) = 0 AND status = 'redeemed';

INSERT INTO outbox_messages (id, issuance_id, voucher_id, channel, template, status, attempts, created_at, available_at, provider,
        provider_message_id, ended_at)
    SELECT growth.id(ms, 19, n), issuance_id, voucher_id, 'email', 'voucher', 'delivered', 1, at, at,
        'sendgrid', md5('m' || n), at
    FROM growth.given WHERE n % ({thin} * {thin}) = 0;

INSERT INTO delivery_attempts (id, message_id, number, provider, started_at, ended_at, outcome)
    SELECT growth.id(ms, 20, n), growth.id(ms, 19, n), 1, 'sendgrid', at, at, 'accepted'
    FROM growth.given WHERE n % ({thin} * {thin}) = 0;

INSERT INTO redemption_attempts (id, voucher_id, outcome, last4, actor, at)
    SELECT growth.id(ms, 21, n), voucher_id, 'redeemed', '0000', {giver}, at
    FROM growth.given WHERE n % ({thin} * {thin}) = 0 AND status = 'redeemed';

INSERT INTO idempotency_keys (scope, key, request_digest, result_id, created_at)
    SELECT {giver} || ':issuances', md5('k' || n), growth.digest('k' || n), issuance_id, at
    FROM growth.given WHERE at > {end} - interval '14 days';

INSERT INTO approvals (id, issuance_id, status, reasons, requested_amount_minor, requested_by, requested_at, expires_at,
        granted_amount_minor, decided_by, decided_at, level_since_at)
    SELECT growth.id(ms, 22, n), issuance_id, 'granted', '["limit"]'::jsonb, 100, {giver}, at, at + interval '3
        days', 100, 'person:00000000-0000-7000-8000-000000000001', at, at
    FROM growth.given WHERE n % 50 = 0
    UNION ALL
    SELECT growth.id(ms, 22, n), issuance_id, 'pending', '["limit"]'::jsonb, 100,
        'person:00000000-0000-7000-8000-000000000002', at, {end} + interval '3 days', NULL, NULL,
        NULL, at
    FROM growth.vouchers WHERE n > {decided};
