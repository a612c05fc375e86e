-- What is unique within an event or an entry, and that an event ends after it starts: constraints over two columns,
-- which a Directus snapshot cannot hold.

DO $migration$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.events'::regclass AND conname = 'events_organization_id_slug_unique'
    ) THEN
        ALTER TABLE public.events
            ADD CONSTRAINT events_organization_id_slug_unique UNIQUE (organization_id, slug);
    END IF;

    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.events'::regclass AND conname = 'events_ends_after_starts'
    ) THEN
        ALTER TABLE public.events
            ADD CONSTRAINT events_ends_after_starts CHECK (ends_at > starts_at);
    END IF;

    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.classes'::regclass AND conname = 'classes_event_id_code_unique'
    ) THEN
        ALTER TABLE public.classes
            ADD CONSTRAINT classes_event_id_code_unique UNIQUE (event_id, code);
    END IF;

    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.entries'::regclass AND conname = 'entries_event_id_race_number_unique'
    ) THEN
        ALTER TABLE public.entries
            ADD CONSTRAINT entries_event_id_race_number_unique UNIQUE (event_id, race_number);
    END IF;

    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.entry_crew'::regclass AND conname = 'entry_crew_entry_id_user_id_unique'
    ) THEN
        ALTER TABLE public.entry_crew
            ADD CONSTRAINT entry_crew_entry_id_user_id_unique UNIQUE (entry_id, user_id);
    END IF;

    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.entry_devices'::regclass AND conname = 'entry_devices_entry_id_device_id_unique'
    ) THEN
        ALTER TABLE public.entry_devices
            ADD CONSTRAINT entry_devices_entry_id_device_id_unique UNIQUE (entry_id, device_id);
    END IF;
END
$migration$;

-- What this file promises: a constraint of that name may have been there, over other columns.
DO $assert$
DECLARE
    promise  record;
    actual   text;
    problems text[] := '{}';
BEGIN
    FOR promise IN
        SELECT * FROM (VALUES
            ('events',        'events_organization_id_slug_unique',      'UNIQUE (organization_id, slug)'),
            ('events',        'events_ends_after_starts',                'CHECK ((ends_at > starts_at))'),
            ('classes',       'classes_event_id_code_unique',            'UNIQUE (event_id, code)'),
            ('entries',       'entries_event_id_race_number_unique',     'UNIQUE (event_id, race_number)'),
            ('entry_crew',    'entry_crew_entry_id_user_id_unique',      'UNIQUE (entry_id, user_id)'),
            ('entry_devices', 'entry_devices_entry_id_device_id_unique', 'UNIQUE (entry_id, device_id)')
        ) AS promises (collection, name, wanted)
    LOOP
        SELECT pg_get_constraintdef(oid)
          INTO actual
          FROM pg_catalog.pg_constraint
         WHERE conrelid = to_regclass(format('public.%I', promise.collection)) AND conname = promise.name;
        IF actual IS DISTINCT FROM promise.wanted THEN
            problems := problems || format('constraint %s of %s is %s, not %s', promise.name, promise.collection,
                                           coalesce(actual, 'missing'), promise.wanted);
        END IF;
    END LOOP;

    IF problems <> '{}' THEN
        RAISE EXCEPTION '%', array_to_string(problems, '; ');
    END IF;
END
$assert$;
