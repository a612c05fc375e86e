//! The smallest set of grants, and the messages for roles that have less.

mod common;

use common::{BootResult, Database, Image, run};
use contract::ExitCode;
use tokio_postgres::Client;

/// A role of its own in a database.
struct BootRole {
    name: String,
    /// Owns what the role works with; not every role has one.
    owner: String,
    /// The URL of the database for this role.
    url: String,
}

/// Creates a role with the grants of these statements, in which `{role}`, `{owner}` and `{database}` are names.
async fn create_role(client: &Client, database: &Database, grants: &str) -> BootRole {
    let parts = database.connection_parts();
    let (name, owner) = (format!("boot_{}", parts.database), format!("owner_{}", parts.database));
    let grants = grants.replace("{role}", &name).replace("{owner}", &owner).replace("{database}", &parts.database);
    client
        .batch_execute(&format!("create role {name} login password 'p'; {grants}"))
        .await
        .unwrap_or_else(|error| panic!("{grants}: {error}"));
    let url = format!("postgres://{name}:p@{}/{}", parts.server(), parts.database);
    BootRole { name, owner, url }
}

/// Boots as a role with these grants, which is dropped afterwards.
async fn boot_as(database: &Database, image: &Image, grants: &str) -> BootResult {
    let client = database.connect().await;
    let role = create_role(&client, database, grants).await;
    let ended = run(&mut image.boot(&role.url));
    client.batch_execute(&format!("drop owned by {0}; drop role {0}", role.name)).await.expect("the role is ours");
    ended
}

const DIRECTUS: &str = "grant usage, create on schema public to {role};
    grant all on all tables in schema public to {role};";

#[tokio::test]
async fn schema_of_a_dba_needs_no_privilege_on_the_database() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let grants = format!("{DIRECTUS} create schema boot; grant usage, create on schema boot to {{role}}");
    let ended = boot_as(&database, &image, &grants).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
}

#[tokio::test]
async fn missing_privilege_is_named_with_its_grant() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let ended = boot_as(&database, &image, DIRECTUS).await;
    let parts = database.connection_parts();
    let grant = format!("run GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {0} TO boot_{0}", parts.database);
    let role = format!("role boot_{}", parts.database);
    let words = [role.as_str(), "permission denied for database", &grant, "then start again"];
    ended.assert_failed("db-init", ExitCode::DatabaseRefused, &words);

    image.write("db-init/003_owner.sql", "alter table directus_users add column x int;");
    let grants = format!("{DIRECTUS} create schema boot; grant all on schema boot to {{role}}");
    let database = Database::bootstrapped().await;
    let ended = boot_as(&database, &image, &grants).await;
    let words = ["003_owner.sql:1:1", "must be owner of table directus_users", "ALTER TABLE directus_users OWNER TO"];
    ended.assert_failed("db-init", ExitCode::DatabaseRefused, &words);
}

/// Gives a role the tables of the schema `public`.
fn own_tables(owner: &str) -> String {
    format!(
        "; do $$ declare t text; begin
             for t in select tablename from pg_tables where schemaname = 'public' loop
                 execute format('alter table public.%I owner to {owner}', t);
             end loop;
         end $$"
    )
}

/// Every way in which a role can come by its rights, and the role that owns the tables; `{owner}` owns what the role works
/// with.
const ROLES: [(&str, &str, Option<&str>); 4] = [
    (
        "the owner of the database",
        "alter database {database} owner to {role}; alter schema public owner to {role}",
        Some("{role}"),
    ),
    (
        "a member of the owner",
        "create role {owner}; grant {owner} to {role}; alter schema public owner to {owner};
         grant create on database {database} to {owner}",
        Some("{owner}"),
    ),
    (
        "a member that becomes the owner (SET ROLE) and inherits nothing",
        "create role {owner}; alter role {role} noinherit; grant {owner} to {role}; alter role {role} set role = {owner};
         alter schema public owner to {owner}; grant create on database {database} to {owner}",
        Some("{owner}"),
    ),
    (
        "a role with grants on tables that another owner restored",
        "grant usage, create on schema public to {role}; grant create on database {database} to {role};
         grant all on all tables in schema public to {role}; grant all on all sequences in schema public to {role}",
        None,
    ),
];

#[tokio::test]
async fn every_kind_of_role_boots_twice() {
    for (kind, grants, table_owner) in ROLES {
        let (database, image) = (Database::bootstrapped().await, Image::new());
        let client = database.connect().await;
        let grants = grants.to_owned() + &table_owner.map(own_tables).unwrap_or_default();
        let BootRole { owner, url, .. } = create_role(&client, &database, &grants).await;
        let (first, second) = (run(&mut image.boot(&url)), run(&mut image.boot(&url)));
        assert_eq!(first.code, 0, "{kind}: {}", first.output);
        assert!(second.output.contains("everything is in place"), "{kind}: {}", second.output);
        let created = "select pg_get_userbyid(relowner)::text from pg_class where oid = 'boot.migrations'::regclass";
        let created: String = client.query_one(created, &[]).await.expect("a table").get(0);
        assert_eq!(created == owner, kind.contains("SET ROLE"), "{kind}: {created}");
    }
}

#[tokio::test]
async fn rows_that_contradict_a_file_are_the_cause_and_are_not_shown() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let client = database.connect().await;
    client
        .batch_execute(
            "create table people (id int, email text); insert into people values (1, 'hunter2'), (1, 'hunter2')",
        )
        .await
        .expect("an empty schema");
    for (sql, words) in [
        ("alter table people add unique (email);", ["columns email", "remove the duplicate rows"]),
        ("alter table people add check (id > 1);", ["is violated by some row", "violate the constraint"]),
        ("insert into people values (null, 'x'); alter table people alter id set not null;", ["null values", "fill"]),
        ("alter table people alter email type int using email::int;", ["type integer: \"…\"", "correct the rows"]),
        ("alter table people add exclude (id with =);", ["columns id", "overlap"]),
        (
            "create table teams (id int primary key); alter table people add foreign key (id) references teams;",
            ["columns id", "whose reference does not exist"],
        ),
    ] {
        image.write("db-init/003_people.sql", sql);
        let ended = run(&mut image.boot(database.url()));
        ended.assert_failed("db-init", ExitCode::MigrationFailed, &words);
        assert!(ended.last.message.contains("; or correct the file"), "{}", ended.last.message);
    }
}
