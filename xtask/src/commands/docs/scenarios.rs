//! The situations in which sample logs are recorded, as data. The name begins with the exit code. They hold for every data
//! model.

/// One situation.
pub(super) struct SampleScenario {
    /// Name of the sample: exit code and circumstances.
    pub(super) name: &'static str,
    pub(super) start: Start,
    /// Runs in the database before the image does.
    pub(super) sql: &'static str,
    /// Commands of the image that run before the recorded one, with `files_before`.
    pub(super) before: &'static [&'static [&'static str]],
    pub(super) files_before: &'static [(&'static str, FileEdit)],
    /// Files below `db-init/`, or `schema.yaml`.
    pub(super) files: &'static [(&'static str, FileEdit)],
    /// Variables to set; an empty value unsets one.
    pub(super) variables: &'static [(&'static str, &'static str)],
    /// The image's command.
    pub(super) command: &'static [&'static str],
    pub(super) meanwhile: Meanwhile,
    /// An action at the first line that contains these words.
    pub(super) action: Option<(&'static str, SampleAction)>,
    /// PostgreSQL is reached through a pooler in transaction mode.
    pub(super) pooled: bool,
    /// A server that Node runs on port 5432 of the host `other`.
    pub(super) other_server: Option<&'static str>,
    /// Further options of `docker create`.
    pub(super) options: &'static [&'static str],
    pub(super) keep: KeptLines,
}

/// The lines that a sample contains.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptLines {
    /// Those of the boot, as text; of a report the report.
    Boot,
    /// Those of the server, which follow the boot's.
    Server,
    /// All that are JSON.
    Json,
}

/// The database before a scenario.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// No database is used.
    Nothing,
    Empty,
    /// An empty database that stores LATIN1.
    Latin1,
    /// A copy of a database on which this image has booted.
    Booted,
}

/// Another user of the database, before the recorded command starts.
pub(super) enum Meanwhile {
    Nothing,
    /// Another boot with the same files.
    Boot,
    /// A session of psql that runs this and then sleeps.
    Session(&'static str),
    /// A standby of the server, on the port 5434.
    Standby,
}

/// The content of a file.
pub(super) enum FileEdit {
    Text(&'static str),
    /// The file of the checkout, with a text after it.
    Append(&'static str),
}

/// An event from outside.
pub(super) enum SampleAction {
    /// SIGKILL to the container.
    Kill,
    /// A signal to the container, once the boot's SQL sleeps.
    SignalInSql(&'static str),
    /// A query that is repeated until it returns true.
    Sql(&'static str),
}

impl SampleScenario {
    /// A boot without anything special.
    pub(super) const NONE: SampleScenario = SampleScenario {
        name: "",
        start: Start::Booted,
        sql: "",
        before: &[],
        files_before: &[],
        files: &[],
        variables: &[],
        command: &["boot"],
        meanwhile: Meanwhile::Nothing,
        action: None,
        pooled: false,
        other_server: None,
        options: &[],
        keep: KeptLines::Boot,
    };
}

/// A table with rows that Directus does not track.
const LAPS: &str = "create table public.laps (id integer primary key, speed integer);
    insert into public.laps select n, 200 + n from generate_series(1, 3) n;";
/// A table whose rows contradict many a constraint.
const DOUBTFUL_LAPS: &str = "create table public.laps (id integer primary key, speed integer, driver text, note text);
    insert into public.laps select n, 200, 'driver ' || n, null from generate_series(1, 3) n;";
/// A change of a collection that the snapshot does not have.
const EDITED_LIVE: &str = "update public.directus_collections set note = 'edited live'
    where collection = (select min(collection) from public.directus_collections);\n";
/// A migration that takes its time.
const SLOW: (&str, FileEdit) = ("900_laps.sql", FileEdit::Text("select pg_sleep(30);\n"));
const DECLARED: (&str, FileEdit) =
    ("900_laps.sql", FileEdit::Text("-- destroys: table laps\ndrop table public.laps;\n"));

/// A role for the boot and another one for the server.
const BOTH_ROLES: [(&str, &str); 3] =
    [("BOOT_DB_USER", "directus"), ("BOOT_DB_PASSWORD", "samples-only"), ("DB_USER", "samples_web")];

/// All situations.
pub(super) const SCENARIOS: &[SampleScenario] = &[
    SampleScenario {
        name: "0-cold-boot",
        start: Start::Empty,
        command: &["start"],
        action: Some(("8/8 exec", SampleAction::Kill)),
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "0-warm-boot",
        command: &["start"],
        action: Some(("8/8 exec", SampleAction::Kill)),
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "0-json",
        variables: &[("LOG_STYLE", "raw")],
        command: &["start"],
        action: Some(("Server started", SampleAction::Kill)),
        keep: KeptLines::Json,
        ..SampleScenario::NONE
    },
    // The server prints the file that the boot has written.
    SampleScenario {
        name: "0-metrics",
        start: Start::Empty,
        variables: &[("BOOT_METRICS_FILE", "/tmp/directus.prom")],
        command: &["start", "--", "cat", "/tmp/directus.prom"],
        keep: KeptLines::Server,
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "0-older-image",
        before: &[&["boot"]],
        files_before: &[("schema.yaml", FileEdit::Append("# Of a newer image.\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario { name: "0-status", command: &["status"], ..SampleScenario::NONE },
    SampleScenario {
        name: "0-two-roles",
        sql: "create role samples_web login password 'samples-only';
            grant create on schema public to samples_web; create table public.laps (); alter table public.laps owner to samples_web",
        before: &[&["boot"]],
        variables: &BOTH_ROLES,
        command: &["status"],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "0-attic",
        sql: LAPS,
        before: &[&["boot"]],
        files_before: &[DECLARED],
        files: &[DECLARED],
        command: &["attic"],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "0-attic-restore",
        sql: LAPS,
        before: &[&["boot"]],
        files_before: &[DECLARED],
        files: &[DECLARED],
        command: &["attic", "restore", "1"],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "1-unclassified-error",
        sql: "alter table boot.migrations rename column checksum to digest",
        files: &[("900_laps.sql", FileEdit::Text("create table public.laps (id integer);\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "2-changes",
        files: &[("900_laps.sql", FileEdit::Text("create table public.laps (id integer);\n"))],
        command: &["plan"],
        ..SampleScenario::NONE
    },
    SampleScenario { name: "3-drift", sql: EDITED_LIVE, command: &["plan"], ..SampleScenario::NONE },
    SampleScenario {
        name: "10-missing-variables",
        start: Start::Nothing,
        variables: &[("DB_DATABASE", ""), ("SECRET", "")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "10-misspelled-variable",
        start: Start::Nothing,
        variables: &[("BOOT_LOCK_TIMEOUTS", "30")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "20-unknown-host",
        start: Start::Nothing,
        variables: &[("DB_HOST", "no-such-host"), ("BOOT_DATABASE_TIMEOUT", "1")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "20-silent-server",
        start: Start::Nothing,
        other_server: Some("net.createServer(() => {})"),
        variables: &[("DB_HOST", "other"), ("BOOT_DATABASE_TIMEOUT", "2")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "20-too-many-connections",
        sql: "create role samples_full login password 'samples-only' connection limit 0",
        variables: &[("DB_USER", "samples_full"), ("BOOT_DATABASE_TIMEOUT", "1")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "20-not-postgresql",
        start: Start::Nothing,
        other_server: Some("http.createServer()"),
        variables: &[("DB_HOST", "other"), ("BOOT_DATABASE_TIMEOUT", "1")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "20-connection-refused",
        start: Start::Nothing,
        variables: &[("DB_PORT", "5433"), ("BOOT_DATABASE_TIMEOUT", "3")],
        ..SampleScenario::NONE
    },
    SampleScenario { name: "21-wrong-password", variables: &[("DB_PASSWORD", "wrong")], ..SampleScenario::NONE },
    SampleScenario { name: "21-no-such-database", start: Start::Nothing, ..SampleScenario::NONE },
    SampleScenario {
        name: "21-no-login",
        sql: "create role samples_group nologin password 'samples-only'",
        variables: &[("DB_USER", "samples_group")],
        ..SampleScenario::NONE
    },
    SampleScenario { name: "21-no-tls", variables: &[("DB_SSL", "true")], ..SampleScenario::NONE },
    SampleScenario {
        name: "21-standby",
        files: &[SLOW],
        variables: &[("DB_PORT", "5434"), ("BOOT_DATABASE_TIMEOUT", "2")],
        meanwhile: Meanwhile::Standby,
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-read-only-role",
        sql: "create role samples_reader superuser login password 'samples-only';
            alter role samples_reader set default_transaction_read_only = on",
        files: &[SLOW],
        variables: &[("DB_USER", "samples_reader")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-search-path",
        start: Start::Empty,
        sql: "create role samples_path superuser login password 'samples-only';
            alter role samples_path set search_path = elsewhere; create schema elsewhere",
        variables: &[("DB_USER", "samples_path")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-other-project",
        sql: "create schema other",
        variables: &[("DB_SEARCH_PATH", "other")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-no-privilege",
        start: Start::Empty,
        sql: "create role samples_guest login password 'samples-only'",
        variables: &[("DB_USER", "samples_guest")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-not-the-owner",
        sql: "create table public.laps (id integer);
            create role samples_member login password 'samples-only';
            grant usage, create on schema public, boot to samples_member;
            grant all on all tables in schema public, boot to samples_member;
            grant all on all sequences in schema public, boot to samples_member",
        files: &[("900_laps.sql", FileEdit::Text("alter table public.laps add column speed real;\n"))],
        variables: &[("DB_USER", "samples_member")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-no-server-role",
        start: Start::Empty,
        variables: &[("BOOT_DB_USER", "directus"), ("BOOT_DB_PASSWORD", "samples-only"), ("DB_USER", "samples_nobody")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-full-disk",
        files: &[(
            "900_laps.sql",
            FileEdit::Text(
                "create table public.laps (id integer) tablespace small;\n\
                 insert into public.laps select generate_series(1, 2000000);\n",
            ),
        )],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-missing-extension",
        files: &[("900_laps.sql", FileEdit::Text("create extension lap_counter;\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "21-other-encoding",
        start: Start::Latin1,
        files: &[(
            "900_laps.sql",
            FileEdit::Text("create table public.laps (name text);\ninsert into public.laps values ('ラリー');\n"),
        )],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "22-lock-held",
        files: &[SLOW],
        variables: &[("BOOT_LOCK_TIMEOUT", "3")],
        meanwhile: Meanwhile::Boot,
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "23-connection-lost",
        files: &[SLOW],
        action: Some((
            "3/8 lock",
            SampleAction::Sql(
                "select bool_or(pg_terminate_backend(pid)) from pg_stat_activity where wait_event = 'PgSleep'",
            ),
        )),
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "24-pooler",
        variables: &[("DB_HOST", "pgbouncer"), ("DB_PORT", "6432"), ("PGOPTIONS", "")],
        files: &[SLOW],
        pooled: true,
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "25-no-redis",
        variables: &[("REDIS", "redis://db:6379"), ("BOOT_DATABASE_TIMEOUT", "1")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "30-edited-file",
        before: &[&["boot"]],
        files_before: &[("900_laps.sql", FileEdit::Text("create table public.laps (id integer);\n"))],
        files: &[("900_laps.sql", FileEdit::Text("create table public.laps (id bigint);\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "30-stray-commit",
        files: &[("900_laps.sql", FileEdit::Text("create table public.laps (id integer);\ncommit;\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "30-missing-file",
        before: &[&["boot"]],
        files_before: &[("899_laps.sql", FileEdit::Text("create table public.laps (id integer);\n"))],
        files: &[("900_notes.sql", FileEdit::Text("create table public.notes (id integer);\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "30-vacuum",
        files: &[("900_laps.sql", FileEdit::Text("create table public.laps (id integer);\nvacuum public.laps;\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "31-duplicate-rows",
        sql: DOUBTFUL_LAPS,
        files: &[("900_laps.sql", FileEdit::Text("alter table public.laps add unique (speed);\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "31-null-values",
        sql: DOUBTFUL_LAPS,
        files: &[("900_laps.sql", FileEdit::Text("alter table public.laps alter column note set not null;\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "31-check-violated",
        sql: DOUBTFUL_LAPS,
        files: &[("900_laps.sql", FileEdit::Text("alter table public.laps add check (speed > 300);\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "31-missing-reference",
        sql: DOUBTFUL_LAPS,
        files: &[(
            "900_laps.sql",
            FileEdit::Text(
                "create table public.speeds (id integer primary key);\n\
                 alter table public.laps add foreign key (speed) references public.speeds;\n",
            ),
        )],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "31-bad-cast",
        sql: DOUBTFUL_LAPS,
        files: &[(
            "900_laps.sql",
            FileEdit::Text("alter table public.laps alter column driver type integer using driver::integer;\n"),
        )],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "31-statement-timeout",
        files: &[("900_laps.sql", FileEdit::Text("-- statement-timeout: 100ms\nselect pg_sleep(30);\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "31-procedure-that-commits",
        files: &[(
            "900_laps.sql",
            FileEdit::Text(
                "create procedure public.in_parts() language plpgsql as $$ begin commit; end $$;\ncall public.in_parts();\n",
            ),
        )],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "31-syntax-error",
        files: &[(
            "900_laps.sql",
            FileEdit::Text("create table public.laps (id integer primary key);\nselect 'ラリー', speed from from;\n"),
        )],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "32-blocked",
        sql: LAPS,
        files: &[("900_notes.sql", FileEdit::Text("alter table public.laps add column note text;\n"))],
        variables: &[("MIGRATION_LOCK_TIMEOUT", "1"), ("MIGRATION_LOCK_TRIES", "2")],
        meanwhile: Meanwhile::Session("begin; lock table public.laps in access share mode"),
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "32-blocked-schema",
        sql: EDITED_LIVE,
        variables: &[("MIGRATION_LOCK_TIMEOUT", "1"), ("MIGRATION_LOCK_TRIES", "2")],
        meanwhile: Meanwhile::Session("begin; lock table public.directus_collections in share mode"),
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "40-slow-directus",
        start: Start::Empty,
        variables: &[("BOOT_DIRECTUS_TIMEOUT", "1")],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "40-suspended-administrator",
        sql: "update public.directus_users set status = 'suspended'",
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "41-invalid-yaml",
        files: &[(
            "schema.yaml",
            FileEdit::Text("version: 1\ndirectus: 11.17.4\nvendor: postgres\n  collections: []\n"),
        )],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "42-trigger-in-the-way",
        sql: "update public.directus_collections set note = 'edited live'
                where collection = (select min(collection) from public.directus_collections);
            create function public.refuse() returns trigger language plpgsql as
                $$ begin raise exception 'collections are frozen until the race is over'; end $$;
            create trigger refuse before update on public.directus_collections
                for each row execute function public.refuse();",
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "43-plan",
        sql: "create table public.tyres (id integer primary key, name varchar(255));
            insert into public.tyres select n, 'tyre ' || n from generate_series(1, 3) n;
            insert into public.directus_collections (collection) values ('tyres');",
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "43-many-losses",
        sql: "create table public.tyres (id integer primary key, name varchar(255));
            insert into public.tyres select n, 'tyre ' || n from generate_series(1, 3) n;
            create table public.bolts (id integer primary key);
            create table public.jacks (id integer primary key);
            create table public.tents (id integer primary key);
            create table public.tools (id integer primary key);
            insert into public.directus_collections (collection)
                values ('bolts'), ('jacks'), ('tents'), ('tools'), ('tyres');",
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "43-sql-file",
        sql: LAPS,
        files: &[("900_laps.sql", FileEdit::Text("drop table public.laps;\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "43-unannounced",
        sql: "create table public.laps (id integer primary key, speed integer);
            insert into public.laps select n, 200 + n from generate_series(1, 3) n;
            update public.directus_collections set note = 'edited live'
                where collection = (select min(collection) from public.directus_collections);
            create function public.forget_laps() returns trigger language plpgsql as
                $$ begin delete from public.laps; return new; end $$;
            create trigger forget_laps after update on public.directus_collections
                for each row execute function public.forget_laps();",
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "44-changed-by-sql",
        files: &[("post-schema/900_notes.sql", FileEdit::Text(EDITED_LIVE))],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "45-newer-directus",
        sql: "insert into public.directus_migrations (version, name) values ('20990101A', 'Of A Later Version');
            insert into boot.snapshots (digest, directus_version, image)
                values (repeat('0', 64), '11.99.0', '9.9.9@0000000');",
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "45-breaking-file",
        before: &[&["boot"]],
        files_before: &[(
            "900_laps.sql",
            FileEdit::Text("-- breaks-older-images\ncreate table public.laps (id integer);\n"),
        )],
        ..SampleScenario::NONE
    },
    SampleScenario { name: "50-no-server", start: Start::Nothing, command: &["healthcheck"], ..SampleScenario::NONE },
    SampleScenario { name: "64-unknown-option", start: Start::Nothing, command: &["--hlep"], ..SampleScenario::NONE },
    SampleScenario {
        name: "126-no-writable-folder",
        options: &["--read-only"],
        command: &["start"],
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "126-not-executable",
        start: Start::Nothing,
        command: &["/etc/passwd"],
        ..SampleScenario::NONE
    },
    SampleScenario { name: "127-not-found", start: Start::Nothing, command: &["psqll"], ..SampleScenario::NONE },
    SampleScenario {
        name: "130-interrupt",
        files: &[SLOW],
        action: Some(("3/8 lock", SampleAction::SignalInSql("INT"))),
        ..SampleScenario::NONE
    },
    SampleScenario {
        name: "143-stop",
        files: &[SLOW],
        action: Some(("3/8 lock", SampleAction::SignalInSql("TERM"))),
        ..SampleScenario::NONE
    },
];
