//! The rules of squawk, without those that are wrong or pointless here.

use grammar::{LINT_RULES, LintRule, LintRuleKind, PostgresVersion};
use squawk_linter::{Linter, LinterSettings, Rule, Violation};
use squawk_syntax::ast::{AlterTableAction, AstNode, Stmt};

use super::finding::Found;
use super::source::{Source, SourceUnit};

/// The rule about statements that can be repeated. It is asked apart, as if there were no transaction: a file is
/// repeated not only after a failure, but also in a database that has its result without its ledger row.
const REPEATABLE: Rule = Rule::PreferRobustStmts;

/// Returns the findings of squawk's rules in a file; those in `DO` blocks included.
pub(crate) fn check(source: &Source, in_transaction: bool) -> Vec<Found> {
    let used = LINT_RULES.iter().filter(|rule| matches!(rule.kind, LintRuleKind::Squawk { .. }));
    let used = used.map(|rule| rule.name.parse::<Rule>().expect("a rule of squawk"));
    let mut violations = run(used.filter(|rule| *rule != REPEATABLE), source, in_transaction);
    let repeatable = run([REPEATABLE], source, false);
    violations.extend(repeatable.into_iter().filter(|violation| {
        source.unit_at(violation.text_range.start().into()).is_some_and(|unit| needs_repeating(unit, violation))
    }));
    violations.into_iter().map(found).collect()
}

fn run(rules: impl IntoIterator<Item = Rule>, source: &Source, in_transaction: bool) -> Vec<Violation> {
    let mut linter = Linter::from(rules);
    let pg_version = PostgresVersion::OLDEST.number.parse().expect("a version with numbers");
    linter.settings = LinterSettings { pg_version, assume_in_transaction: in_transaction };
    // Comments of squawk, which need no reason, must have no effect.
    let text = source.text.replace("squawk-", "squawk ");
    linter.lint(&squawk_syntax::SourceFile::parse(&text), &text)
}

fn found(violation: Violation) -> Found {
    let name = violation.code.to_string();
    let rule = LintRule::of(&name).unwrap_or_else(|| panic!("{name} is not in the table of rules"));
    let LintRuleKind::Squawk { remedy, .. } = rule.kind else { panic!("{name} is not used") };
    let reason = match violation.code {
        // Squawk's reason is that half of a file can remain.
        REPEATABLE => "the statement fails if its result is there already",
        _ => violation.message.trim_end_matches('.'),
    };
    Found::new(violation.text_range.start().into(), rule.name, reason, remedy)
}

/// Returns true unless the statement can be repeated as it is. A `DO` block asks the catalog first, and of the changes of
/// a table only those that create something fail the second time; squawk reports all of them.
fn needs_repeating(unit: &SourceUnit, violation: &Violation) -> bool {
    if unit.is_guarded {
        return false;
    }
    let Stmt::AlterTable(alter) = &unit.stmt else { return true };
    let action = alter.actions().find(|action| {
        let range = action.syntax().text_range();
        range.contains_range(violation.text_range)
    });
    matches!(
        action,
        Some(
            AlterTableAction::AddColumn(_)
                | AlterTableAction::AddConstraint(_)
                | AlterTableAction::DropColumn(_)
                | AlterTableAction::DropConstraint(_)
        )
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rules(sql: &str, in_transaction: bool) -> Vec<&'static str> {
        check(&Source::parse(sql), in_transaction).into_iter().map(|found| found.rule).collect()
    }

    #[test]
    fn the_table_has_every_rule_of_squawk_and_no_other() {
        let squawk: BTreeSet<String> = enum_iterator::all::<Rule>().map(|rule| rule.to_string()).collect();
        let table = LINT_RULES.iter().filter(|rule| !matches!(rule.kind, LintRuleKind::Own { .. }));
        assert_eq!(table.map(|rule| rule.name.to_owned()).collect::<BTreeSet<_>>(), squawk);
    }

    #[test]
    fn timeouts_are_no_finding_because_the_boot_sets_them() {
        assert_eq!(rules("alter table public.a alter column b set default 1;", true), [""; 0]);
    }

    #[test]
    fn a_statement_must_be_repeatable_unless_a_block_asks_first() {
        for sql in [
            "create table public.a (b text);",
            "alter table public.a add column b text;",
            "alter table public.a add constraint c check (b > 0) not valid;",
        ] {
            assert_eq!(rules(sql, true), ["prefer-robust-stmts"], "{sql}");
            let block = format!("do $$ begin if not exists (select from pg_class) then\n {sql} end if; end $$;");
            assert_eq!(rules(&block, true), [""; 0], "{block}");
        }
        for sql in [
            "create table if not exists public.a (b text);",
            "alter table public.a add column if not exists b text;",
            "alter table public.a alter column b set default 'x';",
            "alter table public.a validate constraint c;",
        ] {
            assert_eq!(rules(sql, true), [""; 0], "{sql}");
        }
        assert_eq!(rules("create index concurrently b on public.a (c);", false), ["prefer-robust-stmts"]);
    }

    #[test]
    fn statements_in_blocks_are_checked() {
        let sql = "do $$ begin if true then create index if not exists b on public.a (c); end if; end $$;";
        assert_eq!(rules(sql, true), ["require-concurrent-index-creation"]);
        assert_eq!(
            rules(
                "create function f() returns void language plpgsql as $$ begin create index b on a (c); end $$;",
                true
            ),
            [""; 0]
        );
    }

    #[test]
    fn comments_of_squawk_have_no_effect() {
        assert_eq!(
            rules("-- squawk-ignore ban-char-field\ncreate table if not exists public.a (b char);", true),
            ["ban-char-field"]
        );
        assert_eq!(
            rules("-- squawk-ignore-file\ncreate table if not exists public.a (b char);", true),
            ["ban-char-field"]
        );
    }
}
