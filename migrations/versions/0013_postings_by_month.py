"""On PostgreSQL the ledger's lines are kept by month, as revision 0010 keeps the audit trail; SQLite keeps one table.

At commit the database adds up an entry's lines. It would look for them in every month; so each month looks in itself:
the lines of an entry are in one month (their ids begin with the entry's milliseconds), and where those of each month
come to nothing, so does the whole. What is there already becomes the first part as it stands and is read once.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "ledger_postings"
INDEXED = ("account", "entry_id")
REFERS = {"account": "ledger_accounts (key)", "entry_id": "ledger_entries (id)"}

# A month's own function, since a statement that names the month is planned once and looks nowhere else. It asks as its
# owner: whoever may write to the table need not be let into the months.
_BALANCES = """
CREATE FUNCTION months.balance(part text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($make$
        CREATE OR REPLACE FUNCTION months.%1$I() RETURNS trigger LANGUAGE plpgsql
            SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $check$
        DECLARE
            off numeric;
            lowest text;
            highest text;
        BEGIN
            SELECT sum(amount_minor), min(currency), max(currency) INTO off, lowest, highest
            FROM months.%2$I WHERE entry_id = NEW.entry_id;
            IF off IS DISTINCT FROM 0 OR lowest <> highest THEN
                RAISE EXCEPTION 'ledger entry %% does not balance', NEW.entry_id USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        END $check$
        $make$, part || '_balances', part);
    EXECUTE format('DROP TRIGGER IF EXISTS ledger_entry_balances ON months.%I', part);
    EXECUTE format('CREATE CONSTRAINT TRIGGER ledger_entry_balances AFTER INSERT ON months.%I '
                   'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION months.%I()', part, part || '_balances');
END $$;
CREATE FUNCTION months.balance_all() RETURNS void LANGUAGE sql AS $$
    -- New parts, and those that were the rest until now, whose functions name what has another name.
    SELECT months.balance(part.relname::text)
    FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
    WHERE inhparent = 'public.ledger_postings'::regclass AND NOT EXISTS (
        SELECT 1 FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE tgrelid = part.oid AND tgname = 'ledger_entry_balances' AND proname = part.relname || '_balances')
$$;
CREATE OR REPLACE FUNCTION months.add_all(until timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    due text[] := ARRAY(
        SELECT relname::text FROM pg_partitioned_table JOIN pg_class ON oid = partrelid
        WHERE relnamespace = 'public'::regnamespace
          AND to_regclass(format('months.%I', relname || '_rest')) IS NOT NULL
          AND months.made_until(relname::text) <= until);
    other regclass;
    made integer;
BEGIN
    -- A part that refers to a table locks it too, in the end. Whoever writes has locked that one first, then the part:
    -- in another order the two would wait for each other.
    FOR other IN SELECT DISTINCT confrelid::regclass FROM pg_constraint
                 WHERE contype = 'f' AND conrelid IN (SELECT format('public.%I', each)::regclass FROM unnest(due) AS each)
    LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', other);
    END LOOP;
    SELECT coalesce(sum(months.add(each, until)), 0)::integer INTO made FROM unnest(due) AS each;
    PERFORM months.balance_all();
    RETURN made;
END $$;
"""

# As revisions 0002 and 0010 made them.
_BALANCES_OF_BEFORE = """
CREATE FUNCTION ledger_entry_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount_minor) FROM ledger_postings WHERE entry_id = NEW.entry_id) <> 0
       OR (SELECT count(DISTINCT currency) FROM ledger_postings WHERE entry_id = NEW.entry_id) <> 1 THEN
        RAISE EXCEPTION 'ledger entry % does not balance', NEW.entry_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
-- At commit, when all lines of the entry are there.
CREATE CONSTRAINT TRIGGER ledger_entry_balances AFTER INSERT ON ledger_postings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_balances();
CREATE OR REPLACE FUNCTION months.add_all(until timestamptz) RETURNS integer LANGUAGE sql AS $$
    SELECT coalesce(sum(months.add(relname::text, until)), 0)::integer
    FROM pg_partitioned_table JOIN pg_class ON oid = partrelid
    WHERE relnamespace = 'public'::regnamespace
      AND to_regclass(format('months.%I', relname || '_rest')) IS NOT NULL
      AND months.made_until(relname::text) <= until
$$;
DROP FUNCTION months.balance_all();
DROP FUNCTION months.balance(text);
"""


def upgrade() -> None:
    """Make what is there the first part, and this month's followers; SQLite keeps one table."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(f"DROP TRIGGER ledger_entry_balances ON {TABLE}")
    op.execute("DROP FUNCTION ledger_entry_balances()")
    op.execute(f"DROP TRIGGER {TABLE}_append_only ON {TABLE}")  # it comes back with the table that this is a part of
    op.execute(f"ALTER TABLE {TABLE} SET SCHEMA months")
    op.execute(f"ALTER TABLE months.{TABLE} RENAME TO {TABLE}_first")
    like = f"LIKE months.{TABLE}_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
    op.execute(f"CREATE TABLE {TABLE} ({like}) PARTITION BY RANGE (id)")
    _complete()
    op.execute(
        f"""
        DO $$
        DECLARE
            newest uuid := (SELECT id FROM months.{TABLE}_first ORDER BY id DESC LIMIT 1);
            next timestamptz := months.after(greatest(now(), months.time_of(newest)));
            part text := '{TABLE}_before_' || months.spelled(next);
        BEGIN
            EXECUTE format('ALTER TABLE months.{TABLE}_first RENAME TO %I', part);
            EXECUTE format('ALTER TABLE {TABLE} ATTACH PARTITION months.%I FOR VALUES FROM (MINVALUE) TO (%L)',
                           part, months.id_at(next));
        END $$
        """  # noqa: S608 - our own table
    )
    op.execute(f"SELECT months.add_part('{TABLE}', '{TABLE}_rest', 'DEFAULT')")
    op.execute(f"SELECT months.add('{TABLE}', now() + interval '2 months')")
    op.execute(_BALANCES)
    op.execute("SELECT months.balance_all()")


def _complete() -> None:
    """Give a new table what creating it like another leaves out."""
    op.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT pk_{TABLE} PRIMARY KEY (id)")
    for column, other in REFERS.items():
        op.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT fk_{TABLE}_{column} FOREIGN KEY ({column}) REFERENCES {other}")
    for column in INDEXED:
        op.execute(f"CREATE INDEX ix_{TABLE}_{column} ON {TABLE} ({column})")
    op.execute(
        f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    """Make one table again: its rows are written anew, and whoever needs it waits for as long."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(f"ALTER TABLE {TABLE} RENAME TO {TABLE}_by_month")
    op.execute(f"CREATE TABLE {TABLE} (LIKE {TABLE}_by_month INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    op.execute(f"INSERT INTO {TABLE} SELECT * FROM {TABLE}_by_month")  # noqa: S608 - our own table
    op.execute(f"DROP TABLE {TABLE}_by_month")
    op.execute(
        """
        DO $$
        DECLARE check_of regprocedure;
        BEGIN
            FOR check_of IN SELECT oid::regprocedure FROM pg_proc
                WHERE pronamespace = 'months'::regnamespace AND proname LIKE 'ledger\\_postings\\_%\\_balances'
            LOOP
                EXECUTE format('DROP FUNCTION %s', check_of);
            END LOOP;
        END $$
        """
    )
    _complete()
    op.execute(_BALANCES_OF_BEFORE)
