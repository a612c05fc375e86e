//! Two roles: the boot's owns the schema, the server's can use it and cannot change it.

mod common;

use std::process::Command;

use common::{BootResult, Database, Image, binary, offers_timescaledb, run};
use contract::ExitCode;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

/// A database that belongs to the role of the boot, and the two roles.
struct TwoRoles {
    database: Database,
    boot: String,
    web: String,
}

impl TwoRoles {
    /// Creates both roles. The boot's owns a Directus and its database.
    async fn create() -> TwoRoles {
        let roles = TwoRoles::of(Database::bootstrapped().await).await;
        roles
            .execute(
                "do $$ declare t text; begin
                     for t in select tablename from pg_tables where schemaname = 'public' loop
                         execute format('alter table public.%I owner to {boot}', t);
                     end loop;
                 end $$",
            )
            .await;
        roles
    }

    async fn of(database: Database) -> TwoRoles {
        let name = database.connection_parts().database;
        let roles = TwoRoles { boot: format!("boot_{name}"), web: format!("web_{name}"), database };
        roles
            .execute(
                "create role {boot} login password 'hunter2-boot'; create role {web} login password 'hunter2-web';
                 alter database {database} owner to {boot}; alter schema public owner to {boot};
                 revoke create on schema public from public",
            )
            .await;
        roles
    }

    /// Fills in the names of the roles and of the database.
    fn fill(&self, text: &str) -> String {
        let database = self.database.connection_parts().database;
        text.replace("{boot}", &self.boot).replace("{web}", &self.web).replace("{database}", &database)
    }

    /// Runs statements as a superuser.
    async fn execute(&self, sql: &str) {
        let sql = self.fill(sql);
        self.database.connect().await.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The URL of the database for the server's role.
    fn url(&self) -> String {
        let parts = self.database.connection_parts();
        format!("postgres://{}:hunter2-web@{}/{}", self.web, parts.server(), parts.database)
    }

    /// Connects as the server does.
    async fn serve(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.expect("the role may log in");
        tokio::spawn(async move { drop(connection.await) });
        client
    }

    /// A subcommand with both roles.
    fn command(&self, image: &Image, subcommand: &[&str]) -> Command {
        let mut command = image.command(&self.url(), subcommand);
        command.env("BOOT_DB_USER", &self.boot).env("BOOT_DB_PASSWORD", "hunter2-boot");
        command
    }

    fn run(&self, image: &Image) -> BootResult {
        run(&mut self.command(image, &["boot"]))
    }

    /// Boots successfully.
    #[track_caller]
    fn boot(&self, image: &Image) -> BootResult {
        let ended = self.run(image);
        assert_eq!(ended.code, 0, "{}", ended.output);
        ended
    }

    /// The report of `status`, as text and as JSON.
    fn status(&self, image: &Image) -> (String, Value) {
        let outputs = [vec!["status"], vec!["status", "--json"]].map(|subcommand| {
            let output = self.command(image, &subcommand).output().expect("the binary runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("UTF-8")
        });
        let json: Value = serde_json::from_str(&outputs[1]).expect("a JSON object");
        let [text, _] = outputs;
        (text, json["roles"].clone())
    }
}

/// Asserts that PostgreSQL accepts each statement of the server.
async fn assert_allowed(client: &Client, statements: &[&str]) {
    for statement in statements {
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Asserts that PostgreSQL refuses each statement of the server for lack of a privilege.
async fn assert_denied(client: &Client, statements: &[&str]) {
    for statement in statements {
        let refused = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("42501"), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn the_server_gets_what_it_needs_and_cannot_change_the_schema() {
    let (roles, image) = (TwoRoles::create().await, Image::new());
    image
        .write("db-init/003_serial.sql", "create table stages (id serial primary key); create view s as table stages;");
    let first = roles.boot(&image);
    assert!(first.output.contains("got its privileges, by"), "{}", first.output);
    assert!(!first.output.contains("warning"), "{}", first.output);

    let server = roles.serve().await;
    let allowed = [
        "insert into laps values (1, 2)",
        "update laps set speed = 3",
        "delete from laps",
        "insert into stages default values",
        "select setval('stages_id_seq', 7)",
        "select from s",
        "update directus_users set status = 'active'",
        "select from directus_fields",
        "select from directus_migrations",
    ];
    assert_allowed(&server, &allowed).await;
    let denied = [
        "create table x ()",
        "create schema x",
        "alter table laps add column x int",
        "drop table laps",
        "create index on laps (id)",
        "truncate laps",
        "create trigger x before insert on laps execute function suppress_redundant_updates_trigger()",
        "insert into directus_fields (field) values ('x')",
        "delete from directus_migrations",
        "select from boot.migrations",
    ];
    assert_denied(&server, &denied).await;

    let (text, json) = roles.status(&image);
    assert!(text.contains(&roles.fill("roles        {boot} boots, {web} serves\n")), "{text}");
    assert!(text.contains(&roles.fill("{web} cannot change the schema")), "{text}");
    assert_eq!((&json["separate"], json["findings"].as_array().map(Vec::len)), (&Value::Bool(true), Some(0)), "{json}");

    // Nothing is left to do: neither Node nor another query.
    let warm = run(roles.command(&image, &["boot"]).env("PATH", "/nowhere"));
    assert!(warm.output.contains("not needed, everything is in place"), "{}", warm.output);
}

#[tokio::test]
async fn a_boot_grants_what_its_files_create_and_what_was_revoked() {
    let (roles, image) = (TwoRoles::create().await, Image::new());
    roles.boot(&image);
    image.write("db-init/003_next.sql", "-- owns-table: positions\ncreate table positions (id bigserial)");
    image.write("db-init/post-schema/002_next.sql", "create view fast as select * from laps where speed > 9");
    roles.boot(&image);
    let server = roles.serve().await;
    assert_allowed(&server, &["insert into positions default values", "select from fast"]).await;

    roles.execute("revoke insert on positions, laps from {web}").await;
    assert_denied(&server, &["insert into positions default values"]).await;
    let (text, json) = roles.status(&image);
    assert!(text.contains("lacks privileges on table laps, table positions: the next boot grants them"), "{text}");
    assert_eq!(json["separate"], false);
    assert_eq!(json["findings"][0]["statement"], roles.fill("GRANT INSERT ON table laps TO {web}"));
    let plan = roles.command(&image, &["plan"]).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&plan.stdout);
    assert_eq!(plan.status.code(), Some(i32::from(ExitCode::ChangesPending.code())), "{text}");
    assert!(text.contains(&roles.fill("grants       GRANT INSERT ON table laps TO {web}\n")), "{text}");
    let again = roles.boot(&image);
    assert!(again.output.contains("by 2 grants") && again.output.contains("3/8 lock: free"), "{}", again.output);
    assert_allowed(&server, &["insert into positions default values"]).await;
}

#[tokio::test]
async fn the_server_writes_into_new_chunks_of_a_hypertable_and_cannot_drop_them() {
    let (roles, image) = (TwoRoles::create().await, Image::new());
    let client = roles.database.connect().await;
    let is_offered = offers_timescaledb(&client).await;
    // Without TimescaleDB, partitions take the place of chunks.
    let (extension, table) = if is_offered {
        ("create extension if not exists timescaledb", "; select create_hypertable('telemetry', 'ts')")
    } else {
        ("select 1", " partition by range (ts); create table telemetry_all partition of telemetry default")
    };
    roles.execute(extension).await;
    image.write(
        "db-init/003_telemetry.sql",
        &format!("create table telemetry (ts timestamptz not null, v int){table};"),
    );
    let first = roles.boot(&image);
    assert!(!first.output.contains("warning"), "{}", first.output);

    let server = roles.serve().await;
    let rows = "insert into telemetry select now() + n * interval '1 day', n from generate_series(1, 30) n";
    assert_allowed(&server, &[rows, "update telemetry set v = v + 1", "delete from telemetry where v < 5"]).await;
    assert_eq!(server.query_one("select count(*) from telemetry", &[]).await.expect("rows").get::<_, i64>(0), 27);
    assert_denied(&server, &["drop table telemetry", "alter table telemetry drop column v"]).await;
    if is_offered {
        let chunks = "select count(*) from timescaledb_information.chunks where hypertable_name = 'telemetry'";
        assert!(client.query_one(chunks, &[]).await.expect("a view").get::<_, i64>(0) > 3);
        assert_denied(&server, &["select drop_chunks('telemetry', newer_than => now())"]).await;
    }
    // The chunks, which the server has made PostgreSQL create, belong to the boot's role.
    let (_, json) = roles.status(&image);
    assert_eq!((&json["separate"], json["findings"].as_array().map(Vec::len)), (&Value::Bool(true), Some(0)), "{json}");
    let warm = run(roles.command(&image, &["boot"]).env("PATH", "/nowhere"));
    assert!(warm.output.contains("not needed, everything is in place"), "{}", warm.output);
}

#[tokio::test]
async fn one_role_that_becomes_two_is_granted_its_privileges_by_a_boot_without_other_work() {
    let (roles, image) = (TwoRoles::create().await, Image::new());
    // The role that was the only one becomes that of the boot.
    let parts = roles.database.connection_parts();
    let alone = format!("postgres://{}:hunter2-boot@{}/{}", roles.boot, parts.server(), parts.database);
    assert_eq!(run(&mut image.boot(&alone)).code, 0);
    let output = image.command(&alone, &["status"]).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains(&roles.fill("roles        {boot} boots and serves\n")), "{text}");

    roles.boot(&image);
    assert_allowed(&roles.serve().await, &["insert into laps values (1, 2)"]).await;
}

/// Ways in which the role of the server can get more than it needs, and the words with the statement that undoes it.
const EXCESS: [(&str, &str); 10] = [
    ("alter role {web} superuser", "is a superuser: ALTER ROLE {web} NOSUPERUSER"),
    ("grant {boot} to {web}", "may act as {boot}: REVOKE {boot} FROM {web}"),
    ("create role mid_{web} in role {boot}; grant mid_{web} to {web}", "may act as {boot}: REVOKE {boot} FROM {web}"),
    (
        "grant pg_write_server_files to {web}",
        "may act as pg_write_server_files: REVOKE pg_write_server_files FROM {web}",
    ),
    ("alter table laps owner to {web}", "owns table laps: REASSIGN OWNED BY {web} TO {boot}"),
    ("grant create on schema public to public", "in schema public: REVOKE CREATE ON schema public FROM PUBLIC"),
    (
        "grant create on database {database} to {web}",
        "in database {database}: REVOKE CREATE ON database {database} FROM {web}",
    ),
    ("grant trigger on laps to {web}", "may create triggers on table laps: REVOKE TRIGGER ON table laps FROM {web}"),
    (
        "grant update on directus_fields to {web}",
        "in table directus_fields: REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON table directus_fields FROM {web}",
    ),
    (
        "grant usage on schema boot to {web}",
        "may enter schema boot, which only the boot needs: REVOKE ALL ON schema boot FROM {web}",
    ),
];

#[tokio::test]
async fn each_way_to_change_the_schema_is_named_by_boot_and_status() {
    for (sql, words) in EXCESS {
        let (roles, image) = (TwoRoles::create().await, Image::new());
        roles.boot(&image);
        roles.execute(sql).await;
        let words = roles.fill(words);
        let warm = run(roles.command(&image, &["boot"]).env("PATH", "/nowhere"));
        let sentence = roles.fill("warning: the server could change the schema, because its role {web} ");
        let warning = warm.output.lines().find(|line| line.contains(&sentence));
        assert!(warning.is_some_and(|line| line.contains(&words)), "{sql}: {}", warm.output);
        let (text, json) = roles.status(&image);
        assert!(text.contains("could change the schema:") && text.contains(&words), "{sql}: {text}");
        assert_eq!(json["separate"], false, "{sql}");
        // The statement that was named removes the finding. A former owner lacks the grants that the next boot makes.
        let statement = json["findings"][0]["statement"].as_str().expect("a statement").to_owned();
        if !sql.contains("mid_") {
            roles.execute(&statement).await;
            roles.boot(&image);
            assert_eq!(roles.status(&image).1["separate"], true, "{sql}: {statement}");
        }
    }
}

#[tokio::test]
async fn the_tables_of_the_server_must_change_their_owner_first() {
    let roles = TwoRoles::of(Database::bootstrapped().await).await;
    let image = Image::new();
    let everything = "do $$ declare t text; begin
        for t in select tablename from pg_tables where schemaname = 'public' loop
            execute format('alter table public.%I owner to {web}', t);
        end loop;
    end $$";
    roles.execute(everything).await;
    let ended = roles.run(&image);
    let transfer = roles.fill("let a superuser run REASSIGN OWNED BY \"{web}\" TO \"{boot}\" in this database");
    let owner = roles.fill("the server's role {web} owns 8 objects");
    ended.assert_failed("lock", ExitCode::DatabaseRefused, &["permission denied for table", &owner, &transfer]);

    roles.execute("reassign owned by {web} to {boot}").await;
    roles.boot(&image);
    assert_eq!(roles.status(&image).1["separate"], true);
}

#[tokio::test]
async fn a_role_of_the_server_that_does_not_exist_is_named_before_anything_changes() {
    let (roles, image) = (TwoRoles::create().await, Image::new());
    roles.execute("drop role {web}").await;
    let ended = roles.run(&image);
    let words = [
        roles.fill("the role {web} of DB_USER does not exist; nothing was changed"),
        roles.fill("let a superuser run CREATE ROLE {web} LOGIN PASSWORD"),
    ];
    ended.assert_failed("lock", ExitCode::DatabaseRefused, &words.each_ref().map(String::as_str));
    assert_eq!(ended.output.matches("db-init:").count(), 0, "{}", ended.output);
}

#[tokio::test]
async fn a_privilege_that_the_boot_may_not_grant_is_named_with_its_statement() {
    let (roles, image) = (TwoRoles::create().await, Image::new());
    roles.execute("create role third_{web}; alter table directus_roles owner to third_{web}").await;
    roles.execute("grant all on directus_roles to {boot}").await;
    let ended = roles.run(&image);
    let statement =
        roles.fill("run GRANT SELECT, INSERT, UPDATE, DELETE ON table directus_roles TO {web} in this database, then");
    ended.assert_failed(
        "lock",
        ExitCode::DatabaseRefused,
        &["table directus_roles, which another role owns", &statement],
    );

    roles.execute("grant select, insert, update, delete on directus_roles to {web}").await;
    roles.boot(&image);
    assert_allowed(&roles.serve().await, &["select from directus_roles"]).await;
}

#[tokio::test]
async fn a_wrong_password_of_the_boot_is_named_by_its_own_variable() {
    let (roles, image) = (TwoRoles::create().await, Image::new());
    let ended = run(roles.command(&image, &["boot"]).env("BOOT_DB_PASSWORD", "hunter2-wrong"));
    let words = ["password authentication failed", &roles.boot, "correct BOOT_DB_USER or BOOT_DB_PASSWORD"];
    ended.assert_failed("database", ExitCode::DatabaseRefused, &words);
}

#[tokio::test]
async fn the_server_never_sees_the_role_of_the_boot() {
    let (roles, image) = (TwoRoles::create().await, Image::new());
    image.write("password", "hunter2-boot");
    let parts = roles.database.connection_parts();
    let own_url = format!("postgres://{}:hunter2-boot@{}/{}", roles.boot, parts.server(), parts.database);
    let ways: [&[(&str, &str)]; 3] = [
        &[("BOOT_DB_USER", &roles.boot), ("BOOT_DB_PASSWORD", "hunter2-boot")],
        &[("BOOT_DB_USER", &roles.boot), ("BOOT_DB_PASSWORD_FILE", &image.path("password"))],
        &[("BOOT_DB_CONNECTION_STRING", &own_url)],
    ];
    for way in ways {
        let mut parts_alone = image.command("", &["start", "--", "env"]);
        let server =
            common::ConnectionParts { user: roles.web.clone(), password: "hunter2-web".into(), ..parts.clone() };
        server.set_variables(&mut parts_alone);
        for mut start in [image.command(&roles.url(), &["start", "--", "env"]), parts_alone] {
            let output = start.envs(way.iter().copied()).output().expect("the binary runs");
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(output.status.success(), "{way:?}: {text}");
            let variables: Vec<&str> = text.lines().filter(|line| !line.starts_with(contract::PREFIX)).collect();
            assert!(!variables.iter().any(|line| line.contains("hunter2-boot")), "{way:?}: {text}");
            let of_the_boot = ["BOOT_DB_USER", "BOOT_DB_PASSWORD", "BOOT_DB_CONNECTION_STRING"];
            let is_of_the_boot = |line: &&str| of_the_boot.iter().any(|name| line.starts_with(name));
            assert!(!variables.iter().any(is_of_the_boot), "{way:?}: {text}");
            let model = format!("{}={}", contract::DATA_MODEL, contract::DATA_MODEL_READ_ONLY);
            assert!(variables.contains(&model.as_str()), "{way:?}: {text}");
        }
    }
    // One role may change the data model, even if the environment claims otherwise.
    let mut alone = binary();
    alone
        .args(["start", "--", "env"])
        .envs(image.boot(&own_url).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = alone.env(contract::DATA_MODEL, contract::DATA_MODEL_READ_ONLY).output().expect("the binary runs");
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&format!("{}=", contract::DATA_MODEL)));
}
