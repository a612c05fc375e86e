-- An organization has each member, vehicle and device once. A Directus snapshot holds unique flags of single columns
-- only, so these constraints over two columns are made here.

DO $migration$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.organization_users'::regclass
           AND conname = 'organization_users_organization_id_user_id_unique'
    ) THEN
        ALTER TABLE public.organization_users
            ADD CONSTRAINT organization_users_organization_id_user_id_unique UNIQUE (organization_id, user_id);
    END IF;

    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.organization_vehicles'::regclass
           AND conname = 'organization_vehicles_organization_id_vehicle_id_unique'
    ) THEN
        ALTER TABLE public.organization_vehicles
            ADD CONSTRAINT organization_vehicles_organization_id_vehicle_id_unique UNIQUE (organization_id, vehicle_id);
    END IF;

    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.organization_devices'::regclass
           AND conname = 'organization_devices_organization_id_device_id_unique'
    ) THEN
        ALTER TABLE public.organization_devices
            ADD CONSTRAINT organization_devices_organization_id_device_id_unique UNIQUE (organization_id, device_id);
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
            ('organization_users', 'organization_users_organization_id_user_id_unique',
             'UNIQUE (organization_id, user_id)'),
            ('organization_vehicles', 'organization_vehicles_organization_id_vehicle_id_unique',
             'UNIQUE (organization_id, vehicle_id)'),
            ('organization_devices', 'organization_devices_organization_id_device_id_unique',
             'UNIQUE (organization_id, device_id)')
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
