//! Everything that can be wrong with a migration, and the very lines that an operator reads about it: one table, kept
//! as a snapshot (`cargo insta review`, or `INSTA_UPDATE=always`).

mod common;

use std::fmt::Write as _;
use std::process::Stdio;

use common::{Database, Ended, Image, run};

/// Names under `db-init/`, and contents, which are not always text.
type Files = &'static [(&'static str, &'static [u8])];

/// One way to do it wrong.
#[derive(Clone, Default)]
struct Case {
    title: &'static str,
    /// Runs in the database before anything else.
    setup: &'static str,
    /// Files of an image that booted before this one.
    before: Files,
    /// Files of this image, under `db-init/`.
    files: Files,
    /// Variables of this boot.
    variables: &'static [(&'static str, &'static str)],
    /// What another session has open meanwhile.
    meanwhile: &'static str,
    /// How often it is booted; the last one is shown.
    boots: usize,
}

/// A file that no database is asked about.
fn unread(title: &'static str, content: &'static [u8]) -> Case {
    Case { title, files: Box::leak(Box::new([("003_bad.sql", content)])), ..Case::default() }
}

/// A file whose SQL fails.
fn sql(title: &'static str, content: &'static str) -> Case {
    unread(title, content.as_bytes())
}

fn files() -> Vec<Case> {
    vec![
        Case { title: "a bad name", files: &[("3-laps.sql", b"select 1;\n")], ..Case::default() },
        Case {
            title: "two files of one number",
            files: &[("003_a.sql", b"select 1;\n"), ("03_b.sql", b"select 1;\n")],
            ..Case::default()
        },
        unread("no SQL", b"-- later\n"),
        unread("latin-1", b"select 1;\n-- Gr\xf6\xdfe\nselect 2;\n"),
        unread("a NUL byte", b"select '\0';\n"),
        unread("COMMIT", b"create table a (id int);\ncommit;\ncreate table b (id int);\n"),
        unread("BEGIN without a transaction", b"-- no-transaction\nbegin;\nvacuum laps;\n"),
        unread("COPY FROM STDIN, as pg_dump writes it", b"copy laps (id) from stdin;\n1\n2's\n\\.\nselect 1;\n"),
        unread("COPY TO STDOUT", b"copy laps to stdout;\n"),
        unread("a command of psql", b"\\connect other\nselect 'select 1' \\gexec\n"),
        unread("a quote that is never closed", b"select 1;\nselect 'it''s;\nselect 2;\n"),
        unread("a dollar quote that is never closed", b"do $a$ begin\n  null;\nend $b$;\n"),
        unread("a comment that is never closed", b"select 1; /* and /* more */\n"),
        unread("SELECT INTO", b"select 1 as id into copied;\n"),
        unread("a slip in a header", b"-- no-transactions\ncreate index concurrently a on laps (id);\n"),
        unread("a time without a unit", b"-- statement-timeout: 30\nselect 1;\n"),
        unread("an index without a name", b"-- no-transaction\ncreate index concurrently on laps (id);\n"),
        unread(
            "statements that do not need to be without a transaction",
            b"-- no-transaction\ncreate table if not exists a (id int);\ndrop index laps_id;\n\
              do $$ begin\n  perform 1;\nend $$;\ndiscard all;\n",
        ),
        unread(
            "a destructive DO block without a transaction",
            b"-- no-transaction\ndo $$ begin\n  delete from laps;\n  commit;\nend $$;\n\
              do $$ begin\n  commit;\n  execute 'truncate laps';\nend $$;\n",
        ),
        unread(
            "a declared loss without a transaction",
            b"-- destroys: rows of laps\n-- no-transaction\ntruncate laps;\n",
        ),
        unread("COMMIT inside a DO block", b"do $$ begin\n  commit;\nend $$;\n"),
        unread("a setting that the boot needs", b"set local track_counts = off;\ndelete from laps;\n"),
        Case {
            title: "everything at once",
            files: &[
                ("003_a.sql", b"-- statement_timeout: 1s\nrollback;\n\\d\nselect 'x\n"),
                ("004_b.sql", b""),
                ("post-schema/9.sql", b"select 1;"),
            ],
            ..Case::default()
        },
    ]
}

fn histories() -> Vec<Case> {
    vec![
        Case {
            title: "an applied file was edited",
            before: &[("003_new.sql", b"select 3;\n")],
            files: &[("003_new.sql", b"select 33;\n")],
            ..Case::default()
        },
        Case {
            title: "an applied file was edited, and another state of it accepted",
            before: &[("003_new.sql", b"select 3;\n")],
            files: &[("003_new.sql", b"select 33;\n")],
            variables: &[("MIGRATION_ACCEPT", "003_new.sql:0123456789abcdef")],
            ..Case::default()
        },
        Case {
            title: "an applied file is gone",
            before: &[("003_new.sql", b"select 3;\n"), ("004_newer.sql", b"select 4;\n")],
            files: &[("004_newer.sql", b"select 4;\n")],
            ..Case::default()
        },
        Case {
            title: "a new file comes before an applied one",
            before: &[("004_newer.sql", b"select 4;\n")],
            files: &[("003_late.sql", b"select 3;\n"), ("004_newer.sql", b"select 4;\n")],
            ..Case::default()
        },
        Case {
            title: "two branches",
            before: &[("004_theirs.sql", b"select 4;\n")],
            files: &[("003_ours.sql", b"select 3;\n")],
            ..Case::default()
        },
    ]
}

fn refusals() -> Vec<Case> {
    vec![
        sql(
            "a syntax error behind wide characters",
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
            "a check violation behind a comment",
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
        Case {
            title: "a procedure that commits",
            setup: "create procedure p() language plpgsql as $$ begin commit; end $$",
            files: &[("003_bad.sql", b"select 1;\ncall p();\n")],
            ..Case::default()
        },
        sql("a statement that takes too long", "-- statement-timeout: 200ms\nselect 1;\nselect pg_sleep(10);\n"),
        sql("a missing extension", "select 1;\ncreate extension no_such_extension;\n"),
        sql(
            "a missing right",
            "create role nobody_of_this_test;\nset role nobody_of_this_test;\ncreate table theirs (id int);\n",
        ),
        sql("a statement that cannot run in a transaction", "select 1;\ncreate index concurrently a on laps (id);\n"),
        Case {
            title: "a failure without a transaction",
            setup: "create table t (id int)",
            files: &[(
                "003_bad.sql",
                b"-- no-transaction\ncreate index concurrently if not exists t_id on t (id);\nvacuum t;\n\
                  create index concurrently if not exists t_id2\n  on t ((id2 + 1));\nvacuum t;\n",
            )],
            ..Case::default()
        },
        sql(
            "a failure inside a DO block without a transaction",
            "-- no-transaction\ndo $$ begin\n  commit;\n  raise exception 'no';\nend $$;\n",
        ),
        Case {
            title: "an index that was cut off, and cannot be built now either",
            setup: "create table t (id int); insert into t values (1), (1)",
            files: &[(
                "003_bad.sql",
                b"-- no-transaction\nanalyze t;\ncreate unique index concurrently if not exists t_id on t (id);\n",
            )],
            boots: 2,
            ..Case::default()
        },
        Case {
            title: "a lock that is not let go",
            setup: "create table t (id int)",
            files: &[("003_bad.sql", b"create table half (id int);\nalter table t add column x int;\n")],
            variables: &[("MIGRATION_LOCK_TIMEOUT", "2"), ("MIGRATION_LOCK_TRIES", "2")],
            meanwhile: "set application_name = 'psql'; begin; lock table t",
            ..Case::default()
        },
        Case {
            title: "a lock that is not let go, without a transaction",
            setup: "create table t (id int)",
            files: &[(
                "003_bad.sql",
                b"-- no-transaction\nanalyze t;\ncreate index concurrently if not exists t_id on t (id);\n",
            )],
            variables: &[("MIGRATION_LOCK_TIMEOUT", "2"), ("MIGRATION_LOCK_TRIES", "2")],
            meanwhile: "set application_name = 'psql'; begin; insert into t values (1)",
            ..Case::default()
        },
    ]
}

/// How many cases are tried at a time.
const AT_ONCE: usize = 4;

#[test]
fn every_bad_file_is_told_as_it_is_written_down_here() {
    let mut table = String::new();
    for case in files() {
        // Nothing listens there: what is wrong with a file is found before PostgreSQL is asked.
        tell(&mut table, &case, &booted(&case, "postgres://u:p@127.0.0.1:1/d"));
    }
    for cases in [histories(), refusals()].concat().chunks(AT_ONCE) {
        let ended: Vec<Ended> = std::thread::scope(|scope| {
            let tried: Vec<_> = cases.iter().map(|case| scope.spawn(|| ended(case))).collect();
            tried.into_iter().map(|ended| ended.join().expect("it ends")).collect()
        });
        for (case, ended) in cases.iter().zip(ended) {
            tell(&mut table, case, &ended);
        }
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("bad_migrations", table);
    });
}

/// Boots the case on a database of its own.
#[tokio::main(flavor = "current_thread")]
async fn ended(case: &Case) -> Ended {
    let database = Database::bootstrapped().await;
    let client = database.connect().await;
    client.batch_execute(case.setup).await.expect(case.title);
    if !case.before.is_empty() {
        let before = run(&mut image(case.before).boot(database.url()));
        assert_eq!(before.code, 0, "{}: {}", case.title, before.output);
    }
    client.batch_execute(case.meanwhile).await.expect(case.title);
    booted(case, database.url())
}

/// Boots the case's own image, as often as it says.
fn booted(case: &Case, url: &str) -> Ended {
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

/// The image of the tests with these files added.
fn image(files: &[(&str, &[u8])]) -> Image {
    let image = Image::new();
    for (name, content) in files {
        std::fs::write(image.path(&format!("db-init/{name}")), content).expect("the temporary folder is writable");
    }
    image
}

/// Adds what the case brought and what the boot said, from the line on where it went wrong.
fn tell(table: &mut String, case: &Case, ended: &Ended) {
    let mut add = |text: std::fmt::Arguments<'_>| table.write_fmt(text).expect("a String takes every write");
    add(format_args!("\n===== {} =====\n", case.title));
    for (name, content) in case.before {
        add(format_args!("--- {name}, applied before\n{}", readable(content)));
    }
    for (name, content) in case.files {
        add(format_args!("--- {name}\n{}", readable(content)));
    }
    for (name, value) in case.variables {
        add(format_args!("--- {name}={value}\n"));
    }
    if !case.meanwhile.is_empty() {
        add(format_args!("--- meanwhile: {}\n", case.meanwhile));
    }
    add(format_args!("--- the log\n"));
    let phase = format!("{}/8 {}", ended.last.phase.number(), ended.last.phase);
    let mut lines: Vec<String> =
        ended.output.lines().filter(|line| line.contains(&phase) && !line.ends_with(" ms)")).map(steady).collect();
    // Another connection says who is waited for: how often and between which lines depends on the machine's load.
    lines.sort_by_key(|line| !line.contains(" waits for "));
    lines.dedup();
    for line in lines {
        add(format_args!("{line}\n"));
    }
}

/// Bytes as people see them.
fn readable(content: &[u8]) -> String {
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

/// A line without what differs from run to run and from server to server: process ids, ages, the server's own paths.
fn steady(line: &str) -> String {
    let mut steady: Vec<String> = Vec::new();
    let words: Vec<&str> = line.split(' ').collect();
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", |index| words[index]);
        let after = words.get(index + 1).map_or("", |word| word.trim_end_matches(|c: char| !c.is_alphanumeric()));
        let number = word.parse::<u32>().is_ok();
        let varies = number && (before == "pid" || (after == "s" && matches!(before, "for" | "is")));
        steady.push(match word.strip_prefix("\"/") {
            Some(_) => "\"/…\":".to_owned(),
            None if varies => "…".to_owned(),
            None => (*word).to_owned(),
        });
    }
    steady.join(" ")
}
