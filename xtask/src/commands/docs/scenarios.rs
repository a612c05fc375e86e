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
}

/// The database before a scenario.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// No database is used.
    Nothing,
    Empty,
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
    };
}

/// A table with rows that Directus does not track.
const LAPS: &str = "create table public.laps (id integer primary key, speed integer);
    insert into public.laps select n, 200 + n from generate_series(1, 3) n;";
/// A change of a collection that the snapshot does not have.
const EDITED_LIVE: &str = "update public.directus_collections set note = 'edited live'
    where collection = (select min(collection) from public.directus_collections);\n";
/// A migration that takes its time.
const SLOW: (&str, FileEdit) = ("900_laps.sql", FileEdit::Text("select pg_sleep(30);\n"));
const DECLARED: (&str, FileEdit) =
    ("900_laps.sql", FileEdit::Text("-- destroys: table laps\ndrop table public.laps;\n"));

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
        name: "0-older-image",
        before: &[&["boot"]],
        files_before: &[("schema.yaml", FileEdit::Append("# Of a newer image.\n"))],
        ..SampleScenario::NONE
    },
    SampleScenario { name: "0-status", command: &["status"], ..SampleScenario::NONE },
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
        name: "20-connection-refused",
        start: Start::Nothing,
        variables: &[("DB_PORT", "5433"), ("BOOT_DATABASE_TIMEOUT", "3")],
        ..SampleScenario::NONE
    },
    SampleScenario { name: "21-wrong-password", variables: &[("DB_PASSWORD", "wrong")], ..SampleScenario::NONE },
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
    SampleScenario { name: "50-no-server", start: Start::Nothing, command: &["healthcheck"], ..SampleScenario::NONE },
    SampleScenario { name: "64-unknown-option", start: Start::Nothing, command: &["--hlep"], ..SampleScenario::NONE },
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
