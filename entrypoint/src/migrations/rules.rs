//! Rules for the content of a migration, checked when the files are read: before the boot touches the database.

use std::ops::Range;

use super::directives::{Directives, read};
use super::do_block::DoBlock;
use super::scan::{CopyDirection, Scan, ScanFault, copy_direction, scan, words};
use super::source_location::SourceLocation;
use super::{no_transaction, track_counts};

/// Returns the directives and statements of a file, and all its problems, each with its place and remedy.
pub(super) fn check(filename: &str, sql: &str) -> (Directives, Vec<Range<usize>>, Vec<String>) {
    let (directives, bad_headers) = read(sql);
    let Scan { statements, faults } = scan(sql);
    let mut found: Vec<(usize, String)> = bad_headers.into_iter().map(|bad| (bad.at, bad.problem)).collect();
    if let Some(at) = sql.find('\0') {
        found.push((at, "a NUL byte, which PostgreSQL does not accept in text: remove it".to_owned()));
    }
    found.extend(faults.into_iter().map(|fault| fault_problem(sql, fault)));
    for range in &statements {
        if let Some((at, problem)) = statement_problem(&sql[range.clone()], directives.no_transaction) {
            found.push((range.start + at, problem));
        }
    }
    found.sort_unstable();
    let problems = found
        .into_iter()
        .map(|(at, problem)| {
            let SourceLocation { line, column, .. } = SourceLocation::at(sql, at);
            format!("{filename}:{line}:{column}: {problem}")
        })
        .collect();
    (directives, statements, problems)
}

fn fault_problem(sql: &str, fault: ScanFault) -> (usize, String) {
    match fault {
        ScanFault::Unterminated(at, opening) => {
            let kind = if opening == "/*" { "comment" } else { "quote" };
            let tag_end = sql[at + 1..].find('$').filter(|_| opening == "$$");
            let opening = tag_end.map_or(opening, |end| &sql[at..at + end + 2]);
            (at, format!("this {kind} ({opening}) is never closed: close it"))
        }
        ScanFault::MetaCommand(at) => {
            let command: String = sql[at..].chars().take_while(|c| !c.is_whitespace()).take(20).collect();
            (at, format!("{command} is a psql command, which PostgreSQL does not understand: write SQL instead"))
        }
    }
}

/// Returns the problem of a statement, with the offset in it.
fn statement_problem(statement: &str, no_transaction: bool) -> Option<(usize, String)> {
    if let Some(problem) = foreign_command(statement, no_transaction) {
        return Some((0, problem));
    }
    if let Some(at) = track_counts::set_at(statement) {
        let problem = "track_counts: a boot needs PostgreSQL's counts of deleted rows, so no file may set it: remove the \
                       statement";
        return Some((at, problem.to_owned()));
    }
    if no_transaction {
        return no_transaction::refuse(statement);
    }
    if let Some(problem) = no_transaction::required_by(statement) {
        return Some((0, problem));
    }
    if let Some((at, command)) = DoBlock::of(statement).and_then(|block| block.find_transaction_end()) {
        let problem = format!(
            "{command} in a DO block: each file is one transaction, which the boot begins and ends: remove it, or move the \
             block into a file with the directive `-- no-transaction`"
        );
        return Some((at, problem));
    }
    // PL/pgSQL's EXECUTE does not implement this form (0A000), and its error has no position.
    selects_into(statement).then(|| (0, "SELECT … INTO: write CREATE TABLE … AS SELECT …".to_owned()))
}

/// Returns the problem of a command that would end the boot's transaction, or that needs psql's input and output.
fn foreign_command(statement: &str, no_transaction: bool) -> Option<String> {
    let mut first_words = words(statement);
    let first = first_words.next()?.to_ascii_uppercase();
    let second = first_words.next().unwrap_or("").to_ascii_uppercase();
    let ends_transactions = match first.as_str() {
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => true,
        "START" | "PREPARE" => second == "TRANSACTION",
        _ => false,
    };
    if ends_transactions {
        let command = if second == "TRANSACTION" { format!("{first} {second}") } else { first };
        let reason = if no_transaction {
            "the file has `-- no-transaction`, so each statement runs on its own: remove the command or the directive"
        } else {
            "each file is one transaction, which the boot begins and ends: remove it"
        };
        return Some(format!("{command}: {reason}"));
    }
    Some(match copy_direction(statement)? {
        CopyDirection::FromStdin => {
            "COPY … FROM STDIN: there is no input: write the rows as INSERT … VALUES".to_owned()
        }
        CopyDirection::ToStdout => "COPY … TO STDOUT: its output is not read: remove it".to_owned(),
    })
}

fn selects_into(statement: &str) -> bool {
    let first = words(statement).next().unwrap_or("");
    if !["select", "with"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
        return false;
    }
    let mut last = "";
    words(statement).any(|word| {
        let inserts = last.eq_ignore_ascii_case("insert") || last.eq_ignore_ascii_case("merge");
        last = word;
        word.eq_ignore_ascii_case("into") && !inserts
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(sql: &str) -> Vec<String> {
        check("001_a.sql", sql).2
    }

    #[test]
    fn transaction_commands_are_refused_as_statements_only() {
        for command in [
            "begin",
            "start transaction",
            "COMMIT",
            "end",
            "rollback to a",
            "abort",
            "savepoint a",
            "release a",
            "prepare transaction 'a'",
        ] {
            let found = problems(&format!("select 1;\n  {command};"));
            assert_eq!(found.len(), 1, "{command}");
            assert!(found[0].starts_with("001_a.sql:2:3: "), "{found:?}");
            assert!(found[0].contains("one transaction"), "{found:?}");
        }
        let function = "create function f() returns int language sql begin atomic select 1; end;";
        for sql in ["do $$ begin execute 'commit'; end $$", "select 'commit; end'", "prepare a as select 1", function] {
            assert_eq!(problems(sql), [""; 0], "{sql}");
        }
        assert!(problems("-- no-transaction\ncommit;")[0].contains("runs on its own"));
    }

    #[test]
    fn copy_over_the_connection_is_refused() {
        let found = problems("copy a from stdin;\n1\n\\.\ncopy a to stdout;");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("001_a.sql:1:1: COPY … FROM STDIN") && found[1].starts_with("001_a.sql:4:1: "));
        assert_eq!(problems("copy a from '/tmp/a'"), [""; 0]);
    }

    #[test]
    fn select_into_is_refused_and_insert_is_not() {
        assert!(problems("select 1 into a")[0].contains("CREATE TABLE"));
        assert!(problems("with x as (select 1) select * into a from x")[0].contains("CREATE TABLE"));
        for sql in ["with x as (select 1) insert into a select * from x", "select 'into'", "insert into a values (1)"] {
            assert_eq!(problems(sql), [""; 0], "{sql}");
        }
    }

    #[test]
    fn all_problems_of_a_file_are_reported_in_line_order() {
        let found = problems("-- no-transactions\ncommit;\n\\d\nselect '\0';\nselect 'x");
        let places: Vec<&str> = found.iter().map(|problem| problem.split(": ").next().expect("a place")).collect();
        assert_eq!(places, ["001_a.sql:1:1", "001_a.sql:2:1", "001_a.sql:3:1", "001_a.sql:4:9", "001_a.sql:5:8"]);
    }

    #[test]
    fn a_concurrently_built_index_needs_a_name() {
        assert_eq!(problems("-- no-transaction\ncreate index concurrently a on b (c)"), [""; 0]);
        assert!(problems("-- no-transaction\ncreate index concurrently on b (c)")[0].contains("without a name"));
    }

    #[test]
    fn a_block_that_commits_needs_the_directive() {
        let found = problems("select 1;\ndo $$ begin\n  perform 1;\n  commit;\nend $$");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("001_a.sql:4:3: COMMIT in a DO block: "), "{found:?}");
        assert!(found[0].contains("`-- no-transaction`"), "{found:?}");
        assert_eq!(problems("-- no-transaction\ndo $$ begin commit; end $$"), [""; 0]);
    }

    #[test]
    fn a_file_without_a_transaction_may_contain_only_statements_that_need_it() {
        let found = problems(
            "-- no-transaction\nvacuum a;\n  create table b (id int);\ndo $$ begin commit;\ndrop table c; end $$",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("001_a.sql:3:3: CREATE TABLE "), "{found:?}");
        assert!(found[1].starts_with("001_a.sql:5:1: DROP in a DO block "), "{found:?}");
    }

    #[test]
    fn a_file_without_a_transaction_cannot_declare_a_loss() {
        let found = problems("-- First.\n -- destroys: table a\n-- destroys: table b\n-- no-transaction\nvacuum a");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("001_a.sql:2:2: `-- destroys:` "), "{found:?}");
    }

    #[test]
    fn setting_track_counts_is_refused() {
        for directive in ["", "-- no-transaction\n"] {
            let found = problems(&format!("{directive}set\n  track_counts = off"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(":3: track_counts: "), "{found:?}");
        }
    }
}
