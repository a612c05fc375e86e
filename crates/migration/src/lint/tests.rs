//! Tests of the whole check: each own rule with a file that breaks it and one that does not.

use contract::Phase;
use entrypoint::migrations::{MigrationFile, MigrationSet};

use super::collections::Collections;
use super::refused::refused;
use super::shipped::{Shipped, ShippedState};
use super::{LintFile, LintInput, check, report};
use crate::checkout;

const SNAPSHOT: &str = "collections:\n  - {collection: laps, schema: {name: laps}}\n  - {collection: cars, schema: {name: cars}}\n\
                        fields:\n  - {collection: laps, field: id}\n  - {collection: laps, field: speed}\n  - {collection: cars, field: plate}\n";
const ASSERTION: &str = "\ndo $assert$ begin if false then raise exception 'no'; end if; end $assert$;\n";

fn file(path: &str, sql: &str) -> LintFile {
    let phase = if path.contains("post-schema/") { Phase::PostSchema } else { Phase::DbInit };
    let (_, name) = path.rsplit_once('/').expect("a folder");
    let file = MigrationFile::parse(name, sql.as_bytes()).expect("a good file");
    LintFile { path: path.to_owned(), phase, file }
}

/// A release with these files, and a snapshot with `laps` only.
fn shipped(files: &[(&str, ShippedState)]) -> Option<Shipped> {
    let mut collections = Collections::parse(SNAPSHOT).expect("a snapshot");
    collections.remove("cars");
    let files = files.iter().map(|(path, state)| ((*path).to_owned(), *state)).collect();
    Some(Shipped { revisions: vec!["v1".to_owned()], files, collections })
}

fn input(files: Vec<LintFile>, shipped: Option<Shipped>) -> LintInput {
    let collections = Collections::parse(SNAPSHOT).expect("a snapshot");
    LintInput { files, shipped, collections, measured: None }
}

fn found(input: &LintInput) -> Vec<String> {
    check(input).into_iter().map(|finding| format!("{}:{} {}", finding.file, finding.line, finding.rule)).collect()
}

/// The rules that a new post-schema file breaks, after a shipped release.
fn rules(sql: &str) -> Vec<&'static str> {
    let files = vec![file("db-init/post-schema/001_a.sql", &format!("{sql}{ASSERTION}"))];
    check(&input(files, shipped(&[]))).into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn an_index_as_directus_creates_it_is_found_on_fields_only() {
    for sql in [
        "create index concurrently if not exists a on public.laps (speed);",
        "create index concurrently if not exists a on public.laps using brin (speed desc nulls last) where speed > 1;",
    ] {
        let files = vec![file("db-init/post-schema/001_a.sql", &format!("-- no-transaction\n{sql}"))];
        assert_eq!(found(&input(files, shipped(&[]))), ["db-init/post-schema/001_a.sql:2 index-on-field"], "{sql}");
    }
    for sql in [
        "create index concurrently if not exists a on public.laps (speed, id);",
        "create index concurrently if not exists a on public.laps ((speed * 2));",
        "create index concurrently if not exists a on public.laps (abs(speed));",
        "create index concurrently if not exists a on public.laps (speed) include (id);",
        "create unique index concurrently if not exists a on public.laps (speed);",
        "create index concurrently if not exists a on public.other (speed);",
        "create index concurrently if not exists a on timing.laps (speed);",
        "create index concurrently if not exists a on public.laps (unknown);",
    ] {
        let files = vec![file("db-init/post-schema/001_a.sql", &format!("-- no-transaction\n{sql}"))];
        assert_eq!(found(&input(files, shipped(&[]))), [""; 0], "{sql}");
    }
    let unique = |columns| {
        format!("do $$ begin if true then alter table public.cars add constraint u unique ({columns}); end if; end $$;")
    };
    assert_eq!(rules(&unique("plate")), ["index-on-field"]);
    assert_eq!(rules(&unique("plate, id")), [""; 0]);
}

#[test]
fn a_view_over_a_table_of_directus_is_found() {
    for query in [
        "select * from public.laps",
        "select 1 where exists (select from directus_users)",
        "with cars as (select 1) select * from cars join laps on true",
    ] {
        let expected = ["view-on-collection"];
        assert_eq!(rules(&format!("create or replace view public.v as {query};")), expected, "{query}");
        let materialized = format!("create materialized view if not exists public.v as {query};");
        assert_eq!(rules(&materialized), expected, "{query}");
    }
    for query in ["select * from public.positions", "with laps as (select 1) select * from laps", "select 1"] {
        assert_eq!(rules(&format!("create or replace view public.v as {query};")), [""; 0], "{query}");
    }
}

#[test]
fn columns_of_collections_belong_to_the_snapshot() {
    for sql in [
        "alter table public.laps add column if not exists tyre text;",
        "alter table public.cars rename column plate to sign;",
        "-- destroys: column cars.plate\nalter table public.cars drop column if exists plate;",
    ] {
        assert_eq!(rules(sql), ["column-of-collection"], "{sql}");
    }
    for sql in [
        "alter table public.laps add column if not exists speed smallint;",
        "alter table public.positions add column if not exists tyre text;",
        "alter table public.laps alter column speed set default 1;",
    ] {
        assert_eq!(rules(sql), [""; 0], "{sql}");
    }
}

#[test]
fn before_the_schema_an_empty_database_has_no_collections() {
    let rules = |sql: &str| {
        let files = vec![file("db-init/001_a.sql", &format!("{sql}{ASSERTION}"))];
        check(&input(files, shipped(&[]))).into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    let own = "-- owns-table: own\ncreate table if not exists public.own";
    for sql in ["update public.laps set speed = 1;", &format!("{own} (lap int references public.laps);")] {
        assert_eq!(rules(sql), ["collection-before-schema"], "{sql}");
    }
    for sql in [
        "alter table if exists public.laps alter column speed set default 1;",
        "do $$ begin if to_regclass('public.laps') is not null then update public.laps set speed = 1; end if; end $$;",
        &format!("{own} (lap int);"),
    ] {
        assert_eq!(rules(sql), [""; 0], "{sql}");
    }
}

#[test]
fn a_table_of_a_file_needs_its_directive() {
    let create = "create table if not exists public.pits (id bigint);";
    assert_eq!(rules(create), ["table-without-owner"]);
    assert_eq!(rules(&format!("-- owns-table: pits\n{create}")), [""; 0]);
    assert_eq!(rules("create temp table if not exists pits (id bigint);"), [""; 0]);
}

#[test]
fn a_file_ends_with_an_assertion() {
    let check = |sql: &str| found(&input(vec![file("db-init/001_a.sql", sql)], None));
    let expected = ["db-init/001_a.sql:1 no-assertion"];
    for sql in
        ["select 1;", "do $$ begin raise exception 'x'; end $$; select 1;", "do $$ begin raise notice 'x'; end $$;"]
    {
        assert_eq!(check(sql), expected, "{sql}");
    }
    let unfinished = crate::new_file::template("001_a.sql", Phase::DbInit);
    let line = unfinished.lines().position(|line| line.contains("RAISE")).expect("it raises an error") + 1;
    assert_eq!(check(&unfinished), [format!("db-init/001_a.sql:{line} no-assertion")]);
    for sql in [
        "select 1; do $$ begin if true then raise exception 'x'; end if; end $$;",
        "select 1; do $$ begin assert 1 = 1; end $$; -- the end",
        "select 1; do $$ begin raise 'x'; end $$",
        "-- no-transaction\nvacuum;",
    ] {
        assert_eq!(check(sql), [""; 0], "{sql}");
    }
}

#[test]
fn locks_count_only_on_tables_that_a_server_may_use() {
    let index = "create index if not exists a on public.pits (id);";
    assert_eq!(rules(index), ["require-concurrent-index-creation"]);
    let create = "-- owns-table: pits\ncreate table if not exists public.pits (id bigint);";
    assert_eq!(rules(&format!("{create}\n{index}")), [""; 0]);
    let earlier = |state: &[(&str, ShippedState)]| {
        let files = vec![
            file("db-init/001_a.sql", &format!("{create}{ASSERTION}")),
            file("db-init/002_b.sql", &format!("{index}{ASSERTION}")),
        ];
        found(&input(files, shipped(state)))
    };
    assert_eq!(earlier(&[]), [""; 0]);
    let shipped_before = earlier(&[("db-init/001_a.sql", ShippedState::Unchanged)]);
    assert_eq!(shipped_before, ["db-init/002_b.sql:1 require-concurrent-index-creation"]);
    let check = |table| {
        format!("do $$ begin if true then alter table public.{table} add constraint c check (id > 0); end if; end $$;")
    };
    assert_eq!(rules(&check("laps")), ["constraint-missing-not-valid"]);
    assert_eq!(rules(&check("cars")), [""; 0], "a collection of this release");
}

#[test]
fn a_shipped_file_is_compared_and_not_linted() {
    let path = "db-init/001_a.sql";
    let check = |state| found(&input(vec![file(path, "delete from laps;")], shipped(&[(path, state)])));
    assert_eq!(check(ShippedState::Unchanged), [""; 0]);
    assert_eq!(check(ShippedState::Edited), ["db-init/001_a.sql:1 edited-after-release"]);
    let allowed = "-- lint: allow edited-after-release (a password had to leave)\ndelete from laps;";
    let files = vec![file(path, allowed)];
    assert_eq!(found(&input(files, shipped(&[(path, ShippedState::Edited)]))), [""; 0]);
    let gone = shipped(&[("db-init/000_z.sql", ShippedState::Removed)]);
    assert_eq!(found(&input(Vec::new(), gone)), ["db-init/000_z.sql:1 removed-after-release"]);
}

#[test]
fn a_new_file_has_the_highest_number_of_its_folder() {
    let files = |path| vec![file(path, &format!("select 1;{ASSERTION}"))];
    let after = || shipped(&[("db-init/005_a.sql", ShippedState::Removed)]);
    let numbers = |path| {
        found(&input(files(path), after())).into_iter().filter(|line| line.contains("number")).collect::<Vec<_>>()
    };
    assert_eq!(numbers("db-init/004_b.sql"), ["db-init/004_b.sql:1 number-before-shipped"]);
    assert_eq!(numbers("db-init/006_b.sql"), [""; 0]);
    assert_eq!(numbers("db-init/post-schema/001_b.sql"), [""; 0]);
}

#[test]
fn a_statement_that_cannot_be_parsed_is_reported() {
    let sql = "select 1;\nalter table public.laps frobnicate;";
    assert!(rules(sql).contains(&"unreadable"), "{:?}", rules(sql));
    assert!(rules("do $$ begin if then frobnicate; end $$;").contains(&"unreadable"));
}

#[test]
fn a_refusal_of_the_boot_has_its_place() {
    let problems = [
        "001_a.sql:2:3: COMMIT: each file is one transaction, which the boot begins and ends: remove it",
        "1_a.sql and 001_b.sql have the same number: give the newer one the next number",
        "cannot read /x: denied",
        "post-schema/a.sql does not have the name of a migration: name it NNN_words.sql, such as 004_laps.sql",
    ];
    let findings = refused(&problems.map(str::to_owned));
    assert_eq!((findings[0].file.as_str(), findings[0].line, findings[0].column), ("db-init/001_a.sql", 2, 3));
    assert_eq!(findings[0].reason, "COMMIT: each file is one transaction, which the boot begins and ends");
    assert_eq!(findings[0].remedy, "remove it");
    let rest: Vec<&str> = findings[1..].iter().map(|finding| finding.file.as_str()).collect();
    assert_eq!(rest, ["db-init/1_a.sql", "db-init", "db-init/post-schema/a.sql"]);
    assert_eq!(findings[1].reason, "1_a.sql and 001_b.sql have the same number");
    assert!(findings[3].remedy.starts_with("name it NNN_words.sql"), "{:?}", findings[3]);
}

#[test]
fn the_files_of_this_checkout_pass_as_if_nothing_had_been_shipped() {
    let files = MigrationSet::read(checkout::root().as_std_path()).expect("the boot accepts them");
    let path = testbed::workspace::path(contract::in_tree(contract::SNAPSHOT_FILE));
    let snapshot = std::fs::read_to_string(path).expect("a snapshot");
    let collections = Collections::parse(&snapshot).expect("a snapshot");
    let input = LintInput { files: LintFile::of(&files), shipped: None, collections, measured: None };
    assert_eq!(check(&input), []);
}

#[test]
fn the_example_of_the_documentation_is_true() {
    let page = testbed::workspace::path("docs/change-the-schema.md");
    let page = std::fs::read_to_string(page).expect("a page");
    let (_, section) = page.split_once("\n### Checking a new file\n").expect("the section");
    let section = section.split("\n### ").next().expect("a first part");
    let block =
        |kind| section.split_once(&format!("```{kind}\n")).and_then(|(_, rest)| rest.split_once("```")).expect(kind).0;
    let report = |sql: &str| {
        let files = vec![file("db-init/900_laps.sql", sql)];
        let findings = check(&LintInput { files, shipped: shipped(&[]), ..LintInput::default() });
        report::LintReport {
            ok: false,
            findings,
            new_files: 1,
            shipped_files: 0,
            shipped_by: Vec::new(),
            notes: Vec::new(),
        }
    };
    let example = block("sql");
    let text = report(example).text();
    assert!(text.starts_with(block("text")), "{text}");
    let (_, comment) = section.rsplit_once("```sql\n").expect("the comment");
    let (comment, _) = comment.split_once("```").expect("its end");
    let silenced = example.replace("CREATE INDEX", &format!("{comment}CREATE INDEX"));
    assert_eq!(report(&silenced).findings, []);
}
