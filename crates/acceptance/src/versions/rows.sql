-- At least two rows for each table of the model in this folder's snapshots (scripts/versions/model.mjs), in the order
-- of the foreign keys. Runs once, on a database to which the snapshot of any version was applied, in autocommit or
-- inside a transaction of the caller. Keys from a sequence are looked up by another column.

insert into languages (code, name, direction) values
  ('en-US', 'English', 'ltr'),
  ('ar-SA', 'العربية', 'rtl');

insert into venues (code, name, capacity) values
  ('home', 'Home ground', 0),
  ('spa', 'Circuit de Spa-Francorchamps', 70000),
  ('old-hall', 'The Old Hall''s Yard', null);

insert into directus_users (id, first_name, last_name, email, status, phone, home_venue) values
  ('11111111-1111-4111-8111-111111111111', 'Ada', 'Author', 'ada@example.com', 'active', '+49 30 1234567', 'spa'),
  ('22222222-2222-4222-8222-222222222222', 'Ben', 'Reader', 'ben@example.com', 'suspended', null, null);

insert into directus_files (id, storage, filename_disk, filename_download, title, type, alt_text) values
  ('33333333-3333-4333-8333-333333333333', 'local', 'start.jpg', 'start.jpg', 'Start', 'image/jpeg', 'Cars start'),
  ('44444444-4444-4444-8444-444444444444', 'local', 'logo.svg', 'logo.svg', 'Logo', 'image/svg+xml', '');

insert into junction_directus_users_venues (directus_users_id, venues_code) values
  ('11111111-1111-4111-8111-111111111111', 'spa'),
  ('11111111-1111-4111-8111-111111111111', 'old-hall'),
  (null, 'home');

insert into topics (name, sort, color) values
  ('Racing', 1, '#FF0000'),
  ('Club life', 2, null);
insert into topics (name, parent, sort) values
  ('Rally', (select id from topics where name = 'Racing'), 1),
  ('Hill climb', (select id from topics where name = 'Racing'), 2);

insert into articles
  (id, status, sort, user_created, date_created, user_updated, date_updated, title, slug, published_on, body, tags,
   hero, author, seo_title)
values
  ('55555555-5555-4555-8555-555555555555', 'published', 1, '11111111-1111-4111-8111-111111111111',
   '2024-02-29 12:00:00+00', '22222222-2222-4222-8222-222222222222', '2024-03-31 02:30:00+02', 'First round at Spa',
   'first-round', '2024-03-01 08:00:00',
   '<p>It rained. <b>Again.</b></p>', 'rain,"wet"', '33333333-3333-4333-8333-333333333333',
   '11111111-1111-4111-8111-111111111111', 'Spa 2024'),
  ('66666666-6666-4666-8666-666666666666', 'draft', null, null, null, null, null, 'Club''s evening – ünïcödé',
   'club-evening', null, null, null, null, null, null);

insert into articles_translations (articles_id, languages_code, title) values
  ('55555555-5555-4555-8555-555555555555', 'en-US', 'First round at Spa'),
  ('55555555-5555-4555-8555-555555555555', 'ar-SA', 'الجولة الأولى'),
  ('66666666-6666-4666-8666-666666666666', 'en-US', null);

insert into articles_files (articles_id, directus_files_id, sort) values
  ('55555555-5555-4555-8555-555555555555', '33333333-3333-4333-8333-333333333333', 1),
  ('55555555-5555-4555-8555-555555555555', '44444444-4444-4444-8444-444444444444', 2);

insert into articles_topics (articles_id, topics_id) values
  ('55555555-5555-4555-8555-555555555555', (select id from topics where name = 'Rally')),
  ('66666666-6666-4666-8666-666666666666', (select id from topics where name = 'Club life'));

insert into block_text (content) values ('# Saturday'), ('Sunday was *dry*.');
insert into block_quote (id, quote) values
  ('77777777-7777-4777-8777-777777777777', 'We will be back.'),
  ('88888888-8888-4888-8888-888888888888', null);
insert into block_embed (key, settings) values
  ('onboard', '[{"url": "https://example.com/onboard"}]'),
  ('map', null);

insert into articles_blocks (articles_id, collection, item, sort) values
  ('55555555-5555-4555-8555-555555555555', 'block_text',
   (select id::text from block_text where content = '# Saturday'), 1),
  ('55555555-5555-4555-8555-555555555555', 'block_quote', '77777777-7777-4777-8777-777777777777', 2),
  ('55555555-5555-4555-8555-555555555555', 'block_embed', 'onboard', 3);

insert into letters (article, sent_from, printed_at, written_by_role, received_on, last_seen) values
  ('55555555-5555-4555-8555-555555555555', 'spa', 'old-hall', (select id from directus_roles order by id limit 1),
   '2024-03-02', '2024-03-02 09:15:00');
insert into letters (article, answers, received_on) values
  ('55555555-5555-4555-8555-555555555555', (select min(id) from letters), '2024-03-05');

-- The second row stems from the time before the collection was a singleton: Directus shows the first.
insert into site (name, logo) values
  ('The drivers'' paper', '44444444-4444-4444-8444-444444444444'),
  (default, null);

insert into types_nullable
  (a_boolean, a_big_integer, a_float, a_decimal, a_timestamp, a_time, a_json, a_csv, a_uuid, a_hash)
values
  (true, 9007199254740993, 0.1, 12345678.9, '2024-02-29 23:59:59.999+01', '23:59:59', '{"a": [1, null, "ü"]}', '1,2',
   '99999999-9999-4999-8999-999999999999', '$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA'),
  (null, null, null, null, null, null, null, null, null, null);

insert into types_default default values;
insert into types_default
  (a_string, an_empty_string, a_numeric_string, a_text, a_true, a_false, an_integer, a_big_integer, a_float, a_decimal,
   a_timestamp, a_date_time, a_date, a_time, a_json, an_empty_list, a_uuid, a_generated_uuid)
values
  ('other', 'full', '7', 'NULL', false, true, 2147483647, -9223372036854775808, -1.5, 123456789.125,
   '2024-10-27 02:30:00+02', '1999-12-31 23:59:59', '0001-01-01', '00:00:00', '[]', '[{"b": 1}]',
   'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb');

insert into types_unique (a_string, an_integer, a_decimal, a_date, a_uuid) values
  ('ÄÖÜ', default, 0.00001, '2024-02-29', 'cccccccc-cccc-4ccc-8ccc-cccccccccccc'),
  ('', 2, default, null, null),
  ('sixteen letters!', -2147483648, 99999.99999, '2024-03-01', null);
