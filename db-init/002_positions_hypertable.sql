-- The table `positions`, which the tracking service writes: a hypertable on ts, in chunks of one day.
-- owns-table: positions
--
-- It is none of Directus' collections: it has no primary key, and what Directus tracks is Directus' to drop.
--
-- In a database without timescaledb (only with trm.timescaledb=optional, see 001) it is a plain table with the same
-- columns and indexes. To convert it once the extension is there, write a new migration with
--   SELECT create_hypertable('public.positions', by_range('ts', INTERVAL '1 day'),
--                            create_default_indexes => false, migrate_data => true);

CREATE TABLE IF NOT EXISTS public.positions (
    device_id   text             NOT NULL,
    ts          timestamptz      NOT NULL,
    ingested_at timestamptz      NOT NULL DEFAULT now(),
    latitude    double precision NOT NULL,
    longitude   double precision NOT NULL,
    altitude    real             NOT NULL,
    angle       real             NOT NULL,
    speed       real             NOT NULL,
    satellites  smallint         NOT NULL,
    priority    smallint         NOT NULL,
    codec       text             NOT NULL,
    attributes  jsonb            NOT NULL
);

DO $migration$
DECLARE
    -- Quoted where need be; NULL without the extension.
    extension_schema text := (
        SELECT extnamespace::regnamespace FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'
    );
BEGIN
    IF extension_schema IS NULL THEN
        RAISE WARNING 'positions is a plain table, no hypertable: the database has no extension timescaledb';
        RETURN;
    END IF;
    -- Dynamic, because these functions exist with the extension only.
    EXECUTE format(
        $sql$
            SELECT %1$s.create_hypertable('public.positions', %1$s.by_range('ts', INTERVAL '1 day'),
                                          create_default_indexes => false, if_not_exists => true)
        $sql$,
        extension_schema
    );
END
$migration$;

-- A device sends again what was not acknowledged: the same position twice must be a conflict.
CREATE UNIQUE INDEX IF NOT EXISTS positions_device_ts ON public.positions (device_id, ts);
CREATE INDEX IF NOT EXISTS positions_ts ON public.positions (ts DESC);

-- What this file promises. IF NOT EXISTS looks at names only: an older object of that name, but of another shape, gets
-- as far as here. Columns beyond these are later migrations' business.
DO $assert$
DECLARE
    positions CONSTANT regclass := to_regclass('public.positions');
    promise   record;
    actual    text;
    is_hyper  boolean;
    problems  text[] := '{}';
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = positions AND relkind = 'r') THEN
        RAISE EXCEPTION 'public.positions is not a table';
    END IF;

    FOR promise IN
        SELECT * FROM (VALUES
            ('device_id',   'text NOT NULL'),
            ('ts',          'timestamp with time zone NOT NULL'),
            ('ingested_at', 'timestamp with time zone NOT NULL DEFAULT now()'),
            ('latitude',    'double precision NOT NULL'),
            ('longitude',   'double precision NOT NULL'),
            ('altitude',    'real NOT NULL'),
            ('angle',       'real NOT NULL'),
            ('speed',       'real NOT NULL'),
            ('satellites',  'smallint NOT NULL'),
            ('priority',    'smallint NOT NULL'),
            ('codec',       'text NOT NULL'),
            ('attributes',  'jsonb NOT NULL')
        ) AS promises (name, wanted)
    LOOP
        SELECT format_type(a.atttypid, a.atttypmod)
               || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE ' NULL' END
               || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
          INTO actual
          FROM pg_catalog.pg_attribute a
          LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = positions AND a.attname = promise.name AND NOT a.attisdropped;
        IF actual IS DISTINCT FROM promise.wanted THEN
            problems := problems
                || format('column %s is %s, not %s', promise.name, coalesce(actual, 'missing'), promise.wanted);
        END IF;
    END LOOP;

    FOR promise IN
        SELECT * FROM (VALUES
            ('positions_device_ts',
             'CREATE UNIQUE INDEX positions_device_ts ON public.positions USING btree (device_id, ts)'),
            ('positions_ts',
             'CREATE INDEX positions_ts ON public.positions USING btree (ts DESC)')
        ) AS promises (name, wanted)
    LOOP
        SELECT CASE WHEN indisvalid THEN '' ELSE 'INVALID: ' END || pg_get_indexdef(indexrelid)
          INTO actual
          FROM pg_catalog.pg_index
         WHERE indexrelid = to_regclass(format('public.%I', promise.name));
        IF actual IS DISTINCT FROM promise.wanted THEN
            problems := problems
                || format('index %s is %s, not %s', promise.name, coalesce(actual, 'missing'), promise.wanted);
        END IF;
    END LOOP;

    IF EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = positions AND contype = 'p') THEN
        problems := problems || 'it has a primary key'::text;
    END IF;

    IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'timescaledb') THEN
        EXECUTE $sql$
            SELECT EXISTS (
                SELECT FROM timescaledb_information.dimensions
                 WHERE hypertable_schema = 'public' AND hypertable_name = 'positions'
                   AND column_name = 'ts' AND time_interval = INTERVAL '1 day'
            )
        $sql$ INTO is_hyper;
        IF NOT is_hyper THEN
            problems := problems || 'it is no hypertable on ts with chunks of 1 day'::text;
        END IF;
    END IF;

    IF problems <> '{}' THEN
        RAISE EXCEPTION 'public.positions is not what this file promises: %', array_to_string(problems, '; ')
            USING HINT = 'It was there before, in another shape: bring it into this one by hand, or move it away.';
    END IF;
END
$assert$;
