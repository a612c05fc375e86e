-- A few rows in every table of SQL, and in Directus' own tables that a boot could affect.
insert into directus_roles (id, name) select md5('role' || i)::uuid, 'Role ' || i from generate_series(1, 3) i;
insert into directus_users (id, first_name, email, status, role)
select md5('user' || i)::uuid, 'User ' || i, 'user' || i || '@example.com', 'active', md5('role' || (1 + i % 3))::uuid from generate_series(1, 4) i;
insert into directus_files (id, storage, filename_download, title, type)
select md5('file' || i)::uuid, 'local', 'file' || i || '.txt', 'File ' || i, 'text/plain' from generate_series(1, 4) i;
insert into directus_presets (bookmark, collection, layout)
select 'Bookmark of ' || c, c, 'tabular' from unnest(array['articles', 'topics', 'venues', 'directus_users']) c;
insert into directus_permissions (collection, action, fields, policy)
select c, 'read', '*', (select id from directus_policies order by id limit 1) from unnest(array['articles', 'topics', 'letters']) c;
insert into directus_activity (action, "user", collection, item)
select 'create', md5('user1')::uuid, c, '1' from unnest(array['articles', 'topics', 'venues']) c;
insert into directus_revisions (activity, collection, item, data)
select id, collection, item, '{"title": "before"}' from directus_activity where item = '1';
insert into public.sites (id, name, code, score, ratio, active, mood, filled, tags, seen)
select i, 'Site ' || i, 'C-' || i || '-long-code', i + 0.125, i / 3.0, i % 2 = 0, (array['calm', 'busy', 'closed'])[1 + i % 3]::public.mood,
       i * 10, jsonb_build_object('n', i), '2026-01-01 10:30:00+00'::timestamptz + i * interval '1 day'
from generate_series(1, 5) i;
update public.sites set parent = 1 where id > 3;
insert into public.site_visits (site, note, amount) select 1 + i % 5, 'visit ' || i, i * 5 from generate_series(1, 8) i;
insert into public.site_days select i, '2026-02-01'::date + i, 'day ' || i from generate_series(1, 4) i;
insert into public.readings
select 'device ' || i % 2, '2026-01-01 00:00:00+00'::timestamptz + i * interval '1 hour', i / 7.0, json_build_object('n', i) from generate_series(1, 6) i;
insert into public.measurements select i, '2025-06-01'::date + i * 150, 'value ' || i from generate_series(1, 6) i;
insert into public.archive_base values (1, 'one'), (2, 'two');
insert into public.archive_child values (3, 'three', 'more'), (4, 'four', 'more');
insert into public.rules (expression, weight) values ('a > 1', 0.5), ('b < 2', 1.5), ('true', null);
insert into public.notes values (1, 'first note', 'short', 10), (2, 'second note', 'words and words', 2000000), (3, null, null, null);
