//! Each possible mistake in a migration, and the exact lines that the operator gets: one table, kept as a snapshot
//! (`cargo insta review`, or `INSTA_UPDATE=always`).

mod common;

use std::fmt::Write as _;
use std::process::Stdio;

use common::{BootResult, Database, Image, run};
use contract::ExitCode;

/// Names below `db-init/`, and contents, which are not always UTF-8.
type Files = &'static [(&'static str, &'static [u8])];

/// One mistake.
#[derive(Clone, Default)]
struct BadFile {
    title: &'static str,
    /// SQL that runs before the first boot.
    setup: &'static str,
    /// Files of an image that boots before this one.
    before: Files,
    /// Files of this image.
    files: Files,
    /// Variables of the boot.
    variables: &'static [(&'static str, &'static str)],
    /// SQL of another session, which stays open during the boot.
    meanwhile: &'static str,
    /// Number of boots, at least one; the table contains the last.
    boots: usize,
}

/// A case with one file.
fn bytes(title: &'static str, content: &'static [u8]) -> BadFile {
    BadFile { title, files: Box::leak(Box::new([("003_bad.sql", content)])), ..BadFile::default() }
}

/// A case with one file of valid UTF-8.
fn sql(title: &'static str, content: &'static str) -> BadFile {
    bytes(title, content.as_bytes())
}

/// Mistakes that the boot finds before it connects.
fn invalid_files() -> Vec<BadFile> {
    vec![
        BadFile { title: "a bad name", files: &[("3-laps.sql", b"select 1;\n")], ..BadFile::default() },
        BadFile {
            title: "two files with one number",
            files: &[("003_a.sql", b"select 1;\n"), ("03_b.sql", b"select 1;\n")],
            ..BadFile::default()
        },
        bytes("no SQL", b"-- later\n"),
        bytes("latin-1", b"select 1;\n-- Gr\xf6\xdfe\nselect 2;\n"),
        bytes("a NUL byte", b"select '\0';\n"),
        bytes("COMMIT", b"create table a (id int);\ncommit;\ncreate table b (id int);\n"),
        bytes("BEGIN without a transaction", b"-- no-transaction\nbegin;\nvacuum laps;\n"),
        bytes(
            "statements that cannot run in a transaction",
            b"select 1;\ncreate index concurrently a on laps (id);\nvacuum;\ncreate database d;\n",
        ),
        bytes("COPY FROM STDIN, as pg_dump writes it", b"copy laps (id) from stdin;\n1\n2's\n\\.\nselect 1;\n"),
        bytes("COPY TO STDOUT", b"copy laps to stdout;\n"),
        bytes("a psql command", b"\\connect other\nselect 'select 1' \\gexec\n"),
        bytes("a quote that is never closed", b"select 1;\nselect 'it''s;\nselect 2;\n"),
        bytes("a dollar quote that is never closed", b"do $a$ begin\n  null;\nend $b$;\n"),
        bytes("a comment that is never closed", b"select 1; /* and /* more */\n"),
        bytes("SELECT INTO", b"select 1 as id into copied;\n"),
        bytes("a misspelled directive", b"-- no-transactions\ncreate index concurrently a on laps (id);\n"),
        bytes("a time without a unit", b"-- statement-timeout: 30\nselect 1;\n"),
        bytes("an index without a name", b"-- no-transaction\ncreate index concurrently on laps (id);\n"),
        bytes(
            "statements that belong in a transaction",
            b"-- no-transaction\ncreate table if not exists a (id int);\ndrop index laps_id;\n\
              do $$ begin\n  perform 1;\nend $$;\ndiscard all;\n",
        ),
        bytes(
            "a destructive DO block without a transaction",
            b"-- no-transaction\ndo $$ begin\n  delete from laps;\n  commit;\nend $$;\n\
              do $$ begin\n  commit;\n  execute 'truncate laps';\nend $$;\n",
        ),
        bytes(
            "a declared loss without a transaction",
            b"-- destroys: rows of laps\n-- no-transaction\ntruncate laps;\n",
        ),
        bytes("COMMIT inside a DO block", b"do $$ begin\n  commit;\nend $$;\n"),
        bytes("a setting that the boot needs", b"set local track_counts = off;\ndelete from laps;\n"),
        BadFile {
            title: "everything at once",
            files: &[
                ("003_a.sql", b"-- statement_timeout: 1s\nrollback;\n\\d\nselect 'x\n"),
                ("004_b.sql", b""),
                ("post-schema/9.sql", b"select 1;"),
            ],
            ..BadFile::default()
        },
    ]
}

/// Contradictions between the files and the ledger.
fn inconsistent_ledgers() -> Vec<BadFile> {
    vec![
        BadFile {
            title: "an applied file was edited",
            before: &[("003_new.sql", b"select 3;\n")],
            files: &[("003_new.sql", b"select 33;\n")],
            ..BadFile::default()
        },
        BadFile {
            title: "an applied file was edited, and another version of it accepted",
            before: &[("003_new.sql", b"select 3;\n")],
            files: &[("003_new.sql", b"select 33;\n")],
            variables: &[("MIGRATION_ACCEPT", "003_new.sql:0123456789abcdef")],
            ..BadFile::default()
        },
        BadFile {
            title: "an applied file is gone",
            before: &[("003_new.sql", b"select 3;\n"), ("004_newer.sql", b"select 4;\n")],
            files: &[("004_newer.sql", b"select 4;\n")],
            ..BadFile::default()
        },
        BadFile {
            title: "a new file comes before an applied one",
            before: &[("004_newer.sql", b"select 4;\n")],
            files: &[("003_late.sql", b"select 3;\n"), ("004_newer.sql", b"select 4;\n")],
            ..BadFile::default()
        },
        BadFile {
            title: "two branches",
            before: &[("004_theirs.sql", b"select 4;\n")],
            files: &[("003_ours.sql", b"select 3;\n")],
            ..BadFile::default()
        },
    ]
}

/// Files that fail in PostgreSQL.
fn failing_files() -> Vec<BadFile> {
    vec![
        sql(
            "a syntax error after wide characters",
            "create table half (id int);\n-- Größe\nselect 'ラリー', a b from from;\n",
        ),
        sql("a statement that ends too early", "select 1;\nselect (1 +\n  2;\n"),
        sql("an error in the second statement", "create table half (id int);\n\n  insert into nowhere values ('ä');\n"),
        sql("an unknown column", "select\n  'Größe' as size,\n  lapz\nfrom laps;\n"),
        sql(
            "a constraint violation",
            "create table t (id int primary key);\ninsert into t values (1);\ninsert into t\n  values (1);\n",
        ),
        sql(
            "a check violation after a comment",
            "create table t (id int check (id > 0));\n\n/* zero */ insert into t values (0);\n",
        ),
        sql("a division by zero", "select 1;\nselect 1 / (id - id) from (values (1)) v (id);\n"),
        sql(
            "RAISE in the second of two DO blocks",
            "do $$ begin\n  raise notice 'ä';\nend $$;\n\ndo $$ begin\n  raise notice 'b';\n  raise exception 'no cars'\n    \
             using hint = 'add one';\nend $$;\n",
        ),
        sql("a syntax error inside a DO block", "do $$\nbegin\n  perform 1;\n  selec 2;\nend $$;\n"),
        sql(
            "an unknown column inside a DO block",
            "do $$\ndeclare n int;\nbegin\n  select count(*) into n from laps where lapz = 'ä';\nend $$;\n",
        ),
        sql(
            "a constraint violation inside a DO block",
            "create table t (id int primary key);\ndo $$\nbegin\n  insert into t values (1);\n  insert into t values (1);\nend $$;\n",
        ),
        sql(
            "a division by zero in a function",
            "create function f(n int) returns int language plpgsql as $$\nbegin\n  return 1 / n;\nend $$;\n\nselect f(1);\nselect f(0);\n",
        ),
        sql(
            "a function that does not compile",
            "create function f() returns int language sql as $$\n  select wrong;\n$$;\n",
        ),
        sql(
            "a function that does not parse",
            "create function f() returns int language plpgsql as $$\nbegin\n  retrun 1;\nend $$;\n",
        ),
        sql(
            "a body of SQL that does not parse",
            "create function f() returns int\nbegin atomic\n  select 1;\n  select wrong;\nend;\n",
        ),
        sql(
            "a deferred constraint, checked at COMMIT",
            "create table a (id int primary key);\ncreate table b (\n  a int references a deferrable initially deferred\n);\n\
             insert into b values (1);\n",
        ),
        sql("a hidden ROLLBACK inside a DO block", "do $$ begin\n  execute 'rollback';\nend $$;\n"),
        BadFile {
            title: "a procedure that commits",
            setup: "create procedure p() language plpgsql as $$ begin commit; end $$",
            files: &[("003_bad.sql", b"select 1;\ncall p();\n")],
            ..BadFile::default()
        },
        sql("a statement that takes too long", "-- statement-timeout: 200ms\nselect 1;\nselect pg_sleep(10);\n"),
        BadFile {
            title: "a missing privilege",
            // As from PostgreSQL 15 on.
            setup: "revoke create on schema public from public",
            files: &[(
                "003_bad.sql",
                b"create role unprivileged;\nset role unprivileged;\ncreate table theirs (id int);\n",
            )],
            ..BadFile::default()
        },
        BadFile {
            title: "a failure without a transaction",
            setup: "create table t (id int)",
            files: &[(
                "003_bad.sql",
                b"-- no-transaction\ncreate index concurrently if not exists t_id on t (id);\nvacuum t;\n\
                  create index concurrently if not exists t_id2\n  on t ((id2 + 1));\nvacuum t;\n",
            )],
            ..BadFile::default()
        },
        sql(
            "a failure inside a DO block without a transaction",
            "-- no-transaction\ndo $$ begin\n  commit;\n  raise exception 'no';\nend $$;\n",
        ),
        BadFile {
            title: "an interrupted index that still cannot be built",
            setup: "create table t (id int); insert into t values (1), (1)",
            files: &[(
                "003_bad.sql",
                b"-- no-transaction\nanalyze t;\ncreate unique index concurrently if not exists t_id on t (id);\n",
            )],
            boots: 2,
            ..BadFile::default()
        },
        BadFile {
            title: "a lock that is not released",
            setup: "create table t (id int)",
            files: &[("003_bad.sql", b"create table half (id int);\nalter table t add column x int;\n")],
            variables: &[("MIGRATION_LOCK_TIMEOUT", "2"), ("MIGRATION_LOCK_TRIES", "2")],
            meanwhile: "set application_name = 'psql'; begin; lock table t",
            ..BadFile::default()
        },
        BadFile {
            title: "a lock that is not released, without a transaction",
            setup: "create table t (id int)",
            files: &[(
                "003_bad.sql",
                b"-- no-transaction\nanalyze t;\ncreate index concurrently if not exists t_id on t (id);\n",
            )],
            variables: &[("MIGRATION_LOCK_TIMEOUT", "2"), ("MIGRATION_LOCK_TRIES", "2")],
            meanwhile: "set application_name = 'psql'; begin; insert into t values (1)",
            ..BadFile::default()
        },
    ]
}

/// Number of cases that boot at the same time.
const AT_ONCE: usize = 4;

#[test]
fn each_mistake_is_reported_as_recorded() {
    let mut table = String::new();
    for case in invalid_files() {
        // No server listens on this port: an invalid file is refused before the boot connects.
        record(&mut table, &case, &boot(&case, "postgres://u:p@127.0.0.1:1/d"));
    }
    for cases in [inconsistent_ledgers(), failing_files()].concat().chunks(AT_ONCE) {
        let ended: Vec<BootResult> = std::thread::scope(|scope| {
            let threads: Vec<_> = cases.iter().map(|case| scope.spawn(|| boot_with_database(case))).collect();
            threads.into_iter().map(|thread| thread.join().expect("the case ends")).collect()
        });
        for (case, ended) in cases.iter().zip(ended) {
            record(&mut table, case, &ended);
        }
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("bad_migrations", table);
    });
}

/// PostgreSQL 14 has another message and SQLSTATE than the versions after it.
#[test]
fn a_missing_extension_is_named_with_the_remedy() {
    let case = sql("a missing extension", "select 1;\ncreate extension no_such_extension;\n");
    let words = ["003_bad.sql:2:1: ", "extension", "on the database server, then start again"];
    boot_with_database(&case).assert_failed("db-init", ExitCode::DatabaseRefused, &words);
}

/// Boots a case with its own database.
#[tokio::main(flavor = "current_thread")]
async fn boot_with_database(case: &BadFile) -> BootResult {
    let database = Database::bootstrapped().await;
    let client = database.connect().await;
    client.batch_execute(case.setup).await.expect(case.title);
    if !case.before.is_empty() {
        let before = run(&mut image(case.before).boot(database.url()));
        assert_eq!(before.code, 0, "{}: {}", case.title, before.output);
    }
    client.batch_execute(case.meanwhile).await.expect(case.title);
    boot(case, database.url())
}

/// Boots the image of a case, and returns the last boot, which must fail.
fn boot(case: &BadFile, url: &str) -> BootResult {
    let image = image(case.files);
    let mut boot = image.boot(url);
    boot.envs(case.variables.iter().copied()).stdout(Stdio::piped());
    for _ in 1..case.boots {
        run(&mut boot);
    }
    let ended = run(&mut boot);
    assert_ne!(ended.code, 0, "{}: {}", case.title, ended.output);
    ended
}

/// Returns the image of the tests with these files added.
fn image(files: &[(&str, &[u8])]) -> Image {
    let image = Image::new();
    for (name, content) in files {
        std::fs::write(image.path(&format!("db-init/{name}")), content).expect("the temporary folder is writable");
    }
    image
}

/// Adds a case to the table, with the log of the phase that failed.
fn record(table: &mut String, case: &BadFile, ended: &BootResult) {
    *table += &format!("\n===== {} =====\n", case.title);
    for (name, content) in case.before {
        *table += &format!("--- {name}, applied before\n{}", escape(content));
    }
    for (name, content) in case.files {
        *table += &format!("--- {name}\n{}", escape(content));
    }
    for (name, value) in case.variables {
        *table += &format!("--- {name}={value}\n");
    }
    if !case.meanwhile.is_empty() {
        *table += &format!("--- meanwhile: {}\n", case.meanwhile);
    }
    *table += "--- the log\n";
    let phase = format!("{}/8 {}", ended.last.phase.number(), ended.last.phase);
    let mut lines: Vec<String> =
        ended.output.lines().filter(|line| line.contains(&phase) && !line.ends_with(" ms)")).map(mask).collect();
    // Another connection reports the blockers: the number and the position of these lines depend on the load.
    lines.sort_by_key(|line| !line.contains(" waits for "));
    lines.dedup();
    for line in lines {
        *table += &format!("{line}\n");
    }
}

/// Escapes NUL and invalid UTF-8, and ends the text with a newline.
fn escape(content: &[u8]) -> String {
    let mut text = String::new();
    for chunk in content.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\0', "\\0"));
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a String takes every write");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// A detail that PostgreSQL omits from version 18 on.
const OLDER_DETAIL: &str = r#" Could not open extension control file "/…": No such file or directory:"#;

/// Masks the parts of a line that differ between runs and servers: process ids, ages, the server's paths, one detail.
fn mask(line: &str) -> String {
    let mut masked: Vec<String> = Vec::new();
    let words: Vec<&str> = line.split(' ').collect();
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", |index| words[index]);
        let after = words.get(index + 1).map_or("", |word| word.trim_end_matches(|c: char| !c.is_alphanumeric()));
        let number = word.parse::<u32>().is_ok();
        let varies = number && (before == "pid" || (after == "s" && matches!(before, "for" | "is")));
        masked.push(match word.strip_prefix("\"/") {
            Some(_) => "\"/…\":".to_owned(),
            None if varies => "…".to_owned(),
            None => (*word).to_owned(),
        });
    }
    masked.join(" ").replace(OLDER_DETAIL, "")
}
