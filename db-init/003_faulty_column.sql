-- `positions.faulty` marks positions that are known to be wrong, so that they are left out but not lost; and an index
-- over those that are not.

ALTER TABLE public.positions ADD COLUMN IF NOT EXISTS faulty boolean NOT NULL DEFAULT false;

-- The latest sound positions of a device.
CREATE INDEX IF NOT EXISTS positions_faulty_idx ON public.positions (device_id, ts DESC) WHERE NOT faulty;

-- What this file promises.
DO $assert$
DECLARE
    actual       text;
    wanted_index CONSTANT text :=
        'CREATE INDEX positions_faulty_idx ON public.positions USING btree (device_id, ts DESC) WHERE (NOT faulty)';
BEGIN
    SELECT format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE ' NULL' END
           || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
      INTO actual
      FROM pg_catalog.pg_attribute a
      LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = to_regclass('public.positions') AND a.attname = 'faulty' AND NOT a.attisdropped;
    IF actual IS DISTINCT FROM 'boolean NOT NULL DEFAULT false' THEN
        RAISE EXCEPTION 'column public.positions.faulty is %, not boolean NOT NULL DEFAULT false',
            coalesce(actual, 'missing');
    END IF;

    SELECT CASE WHEN indisvalid THEN '' ELSE 'INVALID: ' END || pg_get_indexdef(indexrelid)
      INTO actual
      FROM pg_catalog.pg_index
     WHERE indexrelid = to_regclass('public.positions_faulty_idx');
    IF actual IS DISTINCT FROM wanted_index THEN
        RAISE EXCEPTION 'index positions_faulty_idx is %, not %', coalesce(actual, 'missing'), wanted_index;
    END IF;
END
$assert$;
