//! The rules of `migration lint`, as data: the linter reports by them, and the reference is generated from them.

/// A rule, by the name that `-- lint: allow` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LintRule {
    /// For example `index-on-field`.
    pub name: &'static str,
    /// Its source and its use.
    pub kind: LintRuleKind,
}

/// The source and the use of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LintRuleKind {
    /// A rule of this project.
    Own {
        /// The findings, in a sentence.
        finds: &'static str,
        /// False if no comment can silence it.
        silenceable: bool,
    },
    /// A rule of squawk, which is used.
    Squawk {
        /// The statements that it applies to.
        scope: LintScope,
        /// The remedy in this project.
        remedy: &'static str,
    },
    /// A rule of squawk, which is not used.
    Off {
        /// The reason, in a sentence.
        reason: &'static str,
    },
}

/// The statements that a rule of squawk applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LintScope {
    /// All statements.
    All,
    /// Statements about a table that a running server may use: not one that the same release creates.
    ShippedTables,
    /// The same, for a lock: with a database, it is measured.
    Locks,
}

impl LintRule {
    /// Returns the rule of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<&'static LintRule> {
        LINT_RULES.iter().find(|rule| rule.name == name)
    }
}

const fn own(name: &'static str, finds: &'static str) -> LintRule {
    LintRule { name, kind: LintRuleKind::Own { finds, silenceable: true } }
}

const fn strict(name: &'static str, finds: &'static str) -> LintRule {
    LintRule { name, kind: LintRuleKind::Own { finds, silenceable: false } }
}

const fn all(name: &'static str, remedy: &'static str) -> LintRule {
    LintRule { name, kind: LintRuleKind::Squawk { scope: LintScope::All, remedy } }
}

const fn shipped(name: &'static str, remedy: &'static str) -> LintRule {
    LintRule { name, kind: LintRuleKind::Squawk { scope: LintScope::ShippedTables, remedy } }
}

const fn locks(name: &'static str, remedy: &'static str) -> LintRule {
    LintRule { name, kind: LintRuleKind::Squawk { scope: LintScope::Locks, remedy } }
}

const fn off(name: &'static str, reason: &'static str) -> LintRule {
    LintRule { name, kind: LintRuleKind::Off { reason } }
}

/// Servers of the previous image run while the file is applied, and again after a rollback.
const TWO_RELEASES: &str = "remove it in a later release, when no server uses it any more";
const RENAME: &str = "add the new name next to the old one, and remove the old one in a later release";
const NEW_FILE: &str = "move the statement into a file of its own with `-- no-transaction`, and add CONCURRENTLY";
const DOMAIN: &str = "put the constraint on the table";
const TIMEOUTS: &str =
    "The boot bounds every wait for a lock (`MIGRATION_LOCK_TIMEOUT`), and `-- statement-timeout` the time of a file.";
const REFUSED: &str = "The boot refuses such a file (exit code 30), and the lint reports it as `refused-by-boot`.";
const SEEN_BY_OURS: &str = "`undeclared-loss` demands `-- destroys:`, by which the boot saves the data to the attic.";
const RANGE: &str = "The range of a column is a decision of the data model.";
const ADDITIONS: &str = "Additions are the purpose of a migration, and Directus reads and writes by column name.";
const BEHAVIOUR: &str = "Off by default in squawk; a change of behaviour is the purpose of such a statement.";

/// Every rule: those of this project, and all of squawk's.
pub const LINT_RULES: &[LintRule] = &[
    strict("refused-by-boot", "A file that the boot would refuse before it runs any file (exit code 30)."),
    own("edited-after-release", "A shipped file with another text. Databases have its checksum, and their boots end."),
    strict("removed-after-release", "A shipped file that is missing. A boot of a database that has it ends."),
    own("number-before-shipped", "A new file with a lower number than a shipped one: the boot refuses it."),
    own(
        "no-assertion",
        "A file with a transaction whose last statement is not a `DO` block that can raise an error, or that still has the assertion of the template.",
    ),
    own(
        "undeclared-loss",
        "A statement that drops a table or column, or deletes or truncates rows, that `-- destroys:` does not announce. With a database: data that was really lost.",
    ),
    own(
        "announces-nothing",
        "An item of `-- destroys:` that no statement of the file can cause. With a database: a loss that did not happen.",
    ),
    own(
        "index-on-field",
        "An index of Directus' own kind on a field of the snapshot: not unique, and over that column alone, also a partial one. Or a unique constraint over one field. Later schema applies fail.",
    ),
    own(
        "view-on-collection",
        "A view over a table of Directus: PostgreSQL then refuses to change the type of a column.",
    ),
    own(
        "column-of-collection",
        "A column of a collection that an SQL file adds without a field in the snapshot, or drops or renames. The snapshot decides about columns.",
    ),
    own(
        "collection-before-schema",
        "A statement before the Directus schema about a collection: an empty database does not have it yet.",
    ),
    own(
        "table-without-owner",
        "A table that a file creates without `-- owns-table`: Directus offers it for tracking, and no boot warns if it changes.",
    ),
    own(
        "lock-on-rows",
        "With a database: a lock that blocks writes or reads of a table with rows, found by running the file.",
    ),
    own("unreadable", "A statement that squawk cannot parse, so no rule was applied to it."),
    strict(
        "bad-allow",
        "A comment that looks like `-- lint: allow RULE (reason)` and is not, names no rule, or has no reason. Comments of squawk have no effect.",
    ),
    strict("unused-allow", "A `-- lint: allow` that silences nothing."),
    locks("require-concurrent-index-creation", NEW_FILE),
    locks("require-concurrent-index-deletion", NEW_FILE),
    locks("require-concurrent-partition-detach", NEW_FILE),
    locks("require-concurrent-reindex", NEW_FILE),
    locks("constraint-missing-not-valid", "add the constraint NOT VALID here, and validate it in the next file"),
    locks("adding-foreign-key-constraint", "add the constraint NOT VALID here, and validate it in the next file"),
    locks("adding-field-with-default", "add the column without this default, fill it in batches, then set the default"),
    locks(
        "adding-not-nullable-field",
        "add CHECK (… IS NOT NULL) NOT VALID, validate it in the next file, then SET NOT NULL",
    ),
    locks("adding-serial-primary-key-field", "build a unique index CONCURRENTLY first, and add the key USING INDEX"),
    locks(
        "disallowed-unique-constraint",
        "build a unique index CONCURRENTLY first, and add the constraint USING INDEX",
    ),
    locks(
        "changing-column-type",
        "add a column of the new type, fill it in batches, and change over in a later release",
    ),
    locks("prefer-repack", "leave the space to autovacuum, or reorganise the table in a maintenance window"),
    shipped("renaming-column", RENAME),
    shipped("renaming-table", RENAME),
    shipped("renaming-object", RENAME),
    shipped("adding-required-field", "give the column a default, or make it nullable"),
    shipped("ban-drop-not-null", "make sure that every reader accepts NULL, and allow this finding"),
    shipped("ban-drop-default", TWO_RELEASES),
    shipped("ban-drop-constraint", TWO_RELEASES),
    shipped("ban-drop-generated-expression", TWO_RELEASES),
    shipped("ban-alter-identity", TWO_RELEASES),
    shipped("ban-set-schema", "create the object in the other schema, and remove it here in a later release"),
    shipped("ban-drop-view", TWO_RELEASES),
    shipped("ban-drop-function", TWO_RELEASES),
    shipped("ban-drop-type", TWO_RELEASES),
    shipped("ban-drop-schema", TWO_RELEASES),
    shipped("ban-drop-sequence", TWO_RELEASES),
    shipped("ban-drop-domain", TWO_RELEASES),
    shipped("ban-drop-extension", TWO_RELEASES),
    shipped("ban-truncate-cascade", "name every table to truncate, also in `-- destroys:`"),
    all(
        "prefer-robust-stmts",
        "add IF NOT EXISTS or IF EXISTS, or ask the catalog in a DO block: a database may have the result without its ledger row",
    ),
    all("require-table-schema", "write public.… : a file must not depend on the search_path of the role"),
    all("identifier-too-long", "shorten the name: PostgreSQL cuts it off, and the boot then looks for another one"),
    all("prefer-identity", "write bigint GENERATED BY DEFAULT AS IDENTITY"),
    all("prefer-text-field", "write text, with a CHECK for its length if there is a limit"),
    all("prefer-timestamp-tz", "write timestamptz"),
    all("ban-char-field", "write text"),
    all("ban-create-domain-with-constraint", DOMAIN),
    all("ban-alter-domain-with-add-constraint", DOMAIN),
    all("require-enum-value-ordering", "write BEFORE or AFTER with the value next to it"),
    all("ban-duplicate-column-assignments", "keep one of them"),
    off("require-lock-timeout", TIMEOUTS),
    off("require-statement-timeout", TIMEOUTS),
    off("require-timeout-settings", TIMEOUTS),
    off("transaction-nesting", REFUSED),
    off("ban-uncommitted-transaction", REFUSED),
    off("ban-concurrent-index-creation-in-transaction", REFUSED),
    off("ban-drop-database", REFUSED),
    off("ban-drop-table", SEEN_BY_OURS),
    off("ban-drop-column", SEEN_BY_OURS),
    off("prefer-bigint-over-int", RANGE),
    off("prefer-bigint-over-smallint", RANGE),
    off(
        "unused-ignore",
        "It is about squawk's own comments, which have no effect here: see `bad-allow` and `unused-allow`.",
    ),
    off("ban-add-column", ADDITIONS),
    off("ban-add-enum-value", ADDITIONS),
    off("ban-add-composite-attribute", ADDITIONS),
    off("ban-new-write-restriction", "Constraints that a snapshot cannot hold are the purpose of post-schema files."),
    off(
        "ban-drop-index",
        "An index is no promise to a client, and `require-concurrent-index-deletion` covers its lock.",
    ),
    off("ban-drop-trigger", BEHAVIOUR),
    off("ban-alter-generated-expression", BEHAVIOUR),
    off("ban-set-default", BEHAVIOUR),
    off("ban-disable-trigger", BEHAVIOUR),
    off("ban-replica-identity", BEHAVIOUR),
    off("ban-drop-policy", BEHAVIOUR),
    off("ban-revoke", BEHAVIOUR),
    off("ban-replace-view-function", BEHAVIOUR),
    off("ban-alter-policy-condition", BEHAVIOUR),
    off("ban-alter-policy-roles", BEHAVIOUR),
    off("ban-create-policy", BEHAVIOUR),
    off("ban-alter-function-options", BEHAVIOUR),
    off("ban-alter-view-options", BEHAVIOUR),
    off("ban-alter-role-options", BEHAVIOUR),
    off("ban-alter-database-options", BEHAVIOUR),
    off("ban-alter-row-level-security", BEHAVIOUR),
    off("ban-detach-inheritance", BEHAVIOUR),
    off("ban-alter-sequence-values", BEHAVIOUR),
    off("ban-alter-system-options", BEHAVIOUR),
    off("ban-alter-extension", BEHAVIOUR),
];

#[cfg(test)]
mod tests {
    use super::{LINT_RULES, LintRule, LintRuleKind};

    #[test]
    fn names_are_unique_and_every_rule_has_its_sentence() {
        for (index, rule) in LINT_RULES.iter().enumerate() {
            assert!(LINT_RULES[..index].iter().all(|other| other.name != rule.name), "{} twice", rule.name);
            assert_eq!(LintRule::of(rule.name), Some(rule));
            match rule.kind {
                LintRuleKind::Own { finds: sentence, .. } | LintRuleKind::Off { reason: sentence } => {
                    assert!(sentence.ends_with('.'), "{}: {sentence}", rule.name);
                }
                LintRuleKind::Squawk { remedy, .. } => assert!(!remedy.ends_with('.'), "{}: {remedy}", rule.name),
            }
        }
    }
}
