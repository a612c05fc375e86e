-- The parts of Directus' system tables that the boot reads, with one applied migration and one administrator.
create table directus_migrations (version text primary key);
create table directus_collections (collection text primary key, note text);
create table directus_fields (id int generated always as identity primary key, collection text, field text);
create table directus_relations (
    id int generated always as identity primary key, many_collection text, many_field text
);
create table directus_roles (id uuid primary key, parent uuid);
create table directus_users (id uuid primary key, role uuid, status text);
create table directus_policies (id uuid primary key, admin_access boolean);
create table directus_access (role uuid, "user" uuid, policy uuid);
insert into directus_migrations values ('20200101A');
insert into directus_roles values ('00000000-0000-0000-0000-000000000001', null);
insert into directus_users values
    ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'active');
insert into directus_policies values ('00000000-0000-0000-0000-000000000003', true);
insert into directus_access values
    ('00000000-0000-0000-0000-000000000001', null, '00000000-0000-0000-0000-000000000003');
