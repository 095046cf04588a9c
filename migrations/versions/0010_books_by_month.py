"""On PostgreSQL, what is only ever added to and has no other key than its id is kept by month.

Ids are UUIDs of version 7, which begin with the milliseconds of their birth: a range of ids is a month. What is there
already becomes the first part as it stands, not row by row: it is read once, to see that it is what it says. Whoever
writes to these tables waits for as long.

And what was given in a period is found, on both databases, without reading all that was ever given.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Each with its indexes, and what it refers to.
BY_MONTH: dict[str, tuple[str, ...]] = {
    "audit_events": ("actor", "at", "case_id", "subject_id"),
    "delivery_attempts": ("message_id",),
}
REFERS = {"delivery_attempts": ("message_id", "outbox_messages")}

# What follows the last month is kept in the "rest" until somebody makes the month: no row is ever refused for want of
# one. Rows that came meanwhile stay where they are; then the rest becomes a part like the others, and a new one is made.
_FUNCTIONS = """
CREATE SCHEMA months;
CREATE FUNCTION months.id_at(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
CREATE FUNCTION months.time_of(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT to_timestamp(('x' || lpad(replace(left(id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)
$$;
CREATE FUNCTION months.after(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT (date_trunc('month', at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'
$$;
CREATE FUNCTION months.spelled(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY_MM')
$$;
CREATE FUNCTION months.made_until(parent text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT months.time_of((regexp_match(pg_get_expr(part.relpartbound, part.oid), 'TO \\(''([^'']+)''\\)'))[1]::uuid) AS until
    FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
    WHERE inhparent = format('public.%I', parent)::regclass
    ORDER BY until DESC NULLS LAST LIMIT 1
$$;
CREATE FUNCTION months.add_part(parent text, part text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Attached, not made in place: whoever writes to the other parts does not wait.
    EXECUTE format('CREATE TABLE months.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION months.%I %s', parent, part, bounds);
    -- Triggers for each row come with the table that it is a part of; this one does not.
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON months.%I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()',
                   parent || '_no_truncate', part);
END $$;
CREATE FUNCTION months.add(parent text, until timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := months.made_until(parent);
    next timestamptz;
    rest text := parent || '_rest';
    newest uuid;
    late boolean;
    made integer := 0;
BEGIN
    WHILE since <= until LOOP
        next := months.after(since);
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM months.%I WHERE id < months.id_at($1))', rest) INTO late USING next;
        IF late THEN
            EXECUTE format('SELECT id FROM months.%I ORDER BY id DESC LIMIT 1', rest) INTO newest;
            next := months.after(months.time_of(newest));
            EXECUTE format('ALTER TABLE public.%I DETACH PARTITION months.%I', parent, rest);
            EXECUTE format('ALTER TABLE months.%I RENAME TO %I', rest, parent || '_late_before_' || months.spelled(next));
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION months.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, parent || '_late_before_' || months.spelled(next),
                           months.id_at(since), months.id_at(next));
            PERFORM months.add_part(parent, rest, 'DEFAULT');
        ELSE
            PERFORM months.add_part(parent, parent || '_' || months.spelled(since), format(
                'FOR VALUES FROM (%L) TO (%L)', months.id_at(since), months.id_at(next)));
        END IF;
        since := next;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
CREATE FUNCTION months.add_all(until timestamptz) RETURNS integer LANGUAGE sql AS $$
    SELECT coalesce(sum(months.add(relname::text, until)), 0)::integer
    FROM pg_partitioned_table JOIN pg_class ON oid = partrelid
    WHERE relnamespace = 'public'::regnamespace
      AND to_regclass(format('months.%I', relname || '_rest')) IS NOT NULL
      AND months.made_until(relname::text) <= until
$$;
"""


def upgrade() -> None:
    """Make what is there the first part, and this month's followers; SQLite keeps each table as one."""
    op.create_index("ix_issuances_issued_at", "issuances", ["issued_at"])
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(_FUNCTIONS)
    for table in BY_MONTH:
        _cut(table)


def _cut(table: str) -> None:
    op.execute(f"DROP TRIGGER {table}_append_only ON {table}")  # it comes back with the table that this is a part of
    op.execute(f"ALTER TABLE {table} SET SCHEMA months")
    op.execute(f"ALTER TABLE months.{table} RENAME TO {table}_first")
    op.execute(
        f"CREATE TABLE {table} (LIKE months.{table}_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (id)"
    )
    _complete(table)
    op.execute(
        f"""
        DO $$
        DECLARE
            newest uuid := (SELECT id FROM months.{table}_first ORDER BY id DESC LIMIT 1);
            next timestamptz := months.after(greatest(now(), months.time_of(newest)));
            part text := '{table}_before_' || months.spelled(next);
        BEGIN
            EXECUTE format('ALTER TABLE months.{table}_first RENAME TO %I', part);
            EXECUTE format('ALTER TABLE {table} ATTACH PARTITION months.%I FOR VALUES FROM (MINVALUE) TO (%L)',
                           part, months.id_at(next));
        END $$
        """  # noqa: S608 - our own table
    )
    op.execute(f"SELECT months.add_part('{table}', '{table}_rest', 'DEFAULT')")
    op.execute(f"SELECT months.add('{table}', now() + interval '2 months')")


def _complete(table: str) -> None:
    """Give a new table what creating it like another leaves out."""
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY (id)")
    if table in REFERS:
        column, other = REFERS[table]
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_{column} FOREIGN KEY ({column}) REFERENCES {other} (id)"
        )
    for column in BY_MONTH[table]:
        op.execute(f"CREATE INDEX ix_{table}_{column} ON {table} ({column})")
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    """Make one table of each again: its rows are written anew, and whoever needs it waits for as long."""
    op.drop_index("ix_issuances_issued_at", "issuances")
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in BY_MONTH:
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_by_month")
        op.execute(f"CREATE TABLE {table} (LIKE {table}_by_month INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        op.execute(f"INSERT INTO {table} SELECT * FROM {table}_by_month")  # noqa: S608 - our own table
        op.execute(f"DROP TABLE {table}_by_month")
        _complete(table)
    op.execute("DROP SCHEMA months CASCADE")
