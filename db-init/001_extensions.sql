-- The extensions that the database must have: timescaledb, with which 002 makes `positions` a hypertable.
-- requires-extension: timescaledb (optional: trm.timescaledb=optional)
--
-- A server without it is refused, unless the operator says that a plain table will do, by the session setting
-- trm.timescaledb=optional (PGOPTIONS='-c trm.timescaledb=optional').

DO $migration$
DECLARE
    available boolean := EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'timescaledb');
    -- The library defines this setting when the server preloads it. Without the library CREATE EXTENSION would not
    -- just fail, it would end the session (FATAL).
    preloaded boolean := EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'timescaledb.disable_load');
    obstacle  text;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'timescaledb') THEN
        RETURN;
    ELSIF available AND preloaded THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public;
        RETURN;
    END IF;

    obstacle := CASE WHEN available THEN 'is not in the server''s shared_preload_libraries'
                                    ELSE 'is not installed on the server' END;
    IF current_setting('trm.timescaledb', true) = 'optional' THEN
        RAISE NOTICE 'the extension timescaledb %; going on without it, as trm.timescaledb=optional allows', obstacle;
    ELSE
        RAISE EXCEPTION 'the extension timescaledb %', obstacle
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Use a server that offers TimescaleDB, or accept a plain table for positions with '
                         'PGOPTIONS=''-c trm.timescaledb=optional''.';
    END IF;
END
$migration$;

-- What this file promises.
DO $assert$
BEGIN
    IF current_setting('trm.timescaledb', true) IS DISTINCT FROM 'optional'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'timescaledb') THEN
        RAISE EXCEPTION 'the extension timescaledb is not in the database';
    END IF;
END
$assert$;
