//! The role of the server, if the boot has another one: the privileges that it needs, and those with which it could
//! change the schema.
//!
//! Each boot that worked on the database grants what is missing, at its end. Default privileges would do so at once, but
//! only for tables that exactly the boot's role creates: not for those of an SQL file with `set role`, of an extension
//! or of a restored dump. They also know no exceptions, and stay in the database unseen. A warm boot finds a missing
//! grant in its one query, and then is not warm.

use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::boot::DesiredState;
use crate::error::BootError;
use contract::failure::{self, BootFailure};

/// The findings as a SQL expression, text: a JSON list of kind, object, and the statement that corrects it. `{role}` is
/// the parameter with the server's role, `{tables}` the one with the tables that the SQL files own, and `{tracked}` a
/// condition for those of the data model.
///
/// Names are those of the database, and privileges are what PostgreSQL's own functions report, memberships included. A
/// superuser has all of them, so nothing else is listed for one. Before version 16 a member could always become the
/// role, and CREATEROLE could grant any role. `pg_shdepend` has the owner of every object but those of the server's
/// first role, which is a superuser.
const FINDINGS: &str = r"
(with server as materialized (
    select oid, rolname, rolsuper, rolcreaterole, current_setting('server_version_num')::int < 160000 as is_old
    from pg_catalog.pg_roles where rolname = {role}
),
role as materialized (select * from server where not rolsuper),
acts_as as materialized (
    select r.oid, r.rolname,
        r.rolsuper or r.rolname in ('pg_execute_server_program', 'pg_write_server_files') as is_superior
    from pg_catalog.pg_roles r, role
    where pg_has_role(role.oid, r.oid, case when is_old then 'MEMBER' else 'USAGE, SET, USAGE WITH ADMIN OPTION' end)
),
owned as materialized (
    select refobjid as owner, pg_describe_object(classid, objid, objsubid) as name
    from pg_catalog.pg_shdepend
    where refclassid = 'pg_catalog.pg_authid'::regclass and deptype = 'o' and refobjid in (select oid from acts_as)
      and (dbid = (select oid from pg_catalog.pg_database where datname = current_database())
           or classid = 'pg_catalog.pg_database'::regclass
              and objid = (select oid from pg_catalog.pg_database where datname = current_database()))
      and classid <> 'pg_catalog.pg_default_acl'::regclass
      and not (classid = 'pg_catalog.pg_class'::regclass
               and (exists (select from pg_catalog.pg_class c where c.oid = objid and relpersistence = 't')
                    or exists (select from pg_catalog.pg_depend d
                               where d.classid = pg_shdepend.classid and d.objid = pg_shdepend.objid
                                 and d.deptype in ('a', 'i'))))
),
relation as materialized (
    select oid, relkind, relowner, relname in ({model}) as is_model, pg_has_role(relowner, 'USAGE') as is_ours,
        case relkind when 'S' then 'sequence ' else 'table ' end || oid::regclass as name
    from pg_catalog.pg_class c
    where relnamespace = any (current_schemas(false)::regnamespace[]) and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and relpersistence <> 't'
      and (relname like 'directus\_%' or relname = any ({tables}) or {tracked}
           or relowner = (select oid from pg_catalog.pg_roles where rolname = current_user))
      and not exists (select from pg_catalog.pg_depend d
                      where classid = 'pg_catalog.pg_class'::regclass and objid = c.oid and deptype = 'e')
),
missing as (
    select name, is_ours, string_agg(privilege, ', ') as privileges
    from role, relation, unnest(case
        when relkind = 'S' then '{USAGE,UPDATE}'
        when relkind = 'm' or is_model then '{SELECT}'
        else '{SELECT,INSERT,UPDATE,DELETE}' end::text[]) privilege
    where not case
        when relkind = 'S' then has_sequence_privilege(role.oid, relation.oid, privilege)
        else has_table_privilege(role.oid, relation.oid, privilege) end
    group by name, is_ours
    union all
    select 'schema ' || quote_ident(nspname), pg_has_role(nspowner, 'USAGE'), 'USAGE'
    from role, pg_catalog.pg_namespace n
    where n.oid = any (current_schemas(false)::regnamespace[]) and not has_schema_privilege(role.oid, n.oid, 'USAGE')
),
excess as (
    select 'creates' as kind, 'schema ' || quote_ident(nspname) as name, 'CREATE' as privileges, nspowner as owner,
        has_schema_privilege(role.oid, n.oid, 'CREATE') as is_held, has_schema_privilege('public', n.oid, 'CREATE') as by_all
    from role, pg_catalog.pg_namespace n where nspname !~ '^pg_'
    union all
    select 'enters', 'schema ' || quote_ident(nspname), 'ALL', nspowner,
        has_schema_privilege(role.oid, n.oid, 'USAGE'), has_schema_privilege('public', n.oid, 'USAGE')
    from role, pg_catalog.pg_namespace n where nspname in ('boot', 'attic')
    union all
    select 'creates', 'database ' || quote_ident(datname), 'CREATE', datdba,
        has_database_privilege(role.oid, d.oid, 'CREATE'), has_database_privilege('public', d.oid, 'CREATE')
    from role, pg_catalog.pg_database d where datname = current_database()
    union all
    select word, name, list, relowner,
        has_table_privilege(role.oid, relation.oid, list), has_table_privilege('public', relation.oid, list)
    from role, relation, (values ('triggers', 'TRIGGER'), ('writes', 'INSERT, UPDATE, DELETE, TRUNCATE')) kind (word, list)
    where relkind <> 'S' and (is_model or word = 'triggers')
)
select coalesce(json_agg(json_build_array(kind, name, statement) order by kind, name), '[]')::text from (
    select 'absent' as kind, {role} as name, format('CREATE ROLE %I LOGIN PASSWORD ''…''', {role}) as statement
    where not exists (select from server)
    union all
    select 'superuser', rolname, format('ALTER ROLE %I NOSUPERUSER', rolname) from server where rolsuper
    union all
    select 'grants-roles', rolname, format('ALTER ROLE %I NOCREATEROLE', rolname) from role where rolcreaterole and is_old
    union all
    select 'acts-as', acts_as.rolname, format('REVOKE %I FROM %I', acts_as.rolname, role.rolname)
    from acts_as, role
    where acts_as.oid <> role.oid and (is_superior or acts_as.oid in (select owner from owned))
    union all
    select 'owns', name, format('REASSIGN OWNED BY %I TO %I', rolname, current_user)
    from owned, role where owner = role.oid
    union all
    select kind, name, format('REVOKE %s ON %s FROM %s', privileges, name,
        case when by_all then 'PUBLIC' else quote_ident(rolname) end)
    from excess, role where is_held and owner not in (select oid from acts_as)
    union all
    select case when is_ours then 'missing' else 'refused' end, name,
        format('GRANT %s ON %s TO %I', privileges, name, rolname)
    from missing, role
) finding)";

/// Tables that describe the data model, or record Directus' migrations. A server reads them. It writes them only in the
/// editor of the data model, which is not for a server without the right to change the schema.
const MODEL: &str = "'directus_collections', 'directus_fields', 'directus_relations', 'directus_migrations'";

/// Names or statements of one kind in a sentence.
const SHOWN: usize = 5;

/// Returns a SQL expression for [`RoleFindings::parse`]. `role` and `tables` are the parameters for the server's role and
/// for the tables that the SQL files own. `is_installed`: Directus is.
pub(super) fn findings(role: &str, tables: &str, is_installed: bool) -> String {
    let tracked = if is_installed { "relname in (select collection from directus_collections)" } else { "false" };
    FINDINGS.replace("{role}", role).replace("{tables}", tables).replace("{tracked}", tracked).replace("{model}", MODEL)
}

/// Findings about the role of the server, in the order of their kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleFindings(Vec<RoleFinding>);

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleFinding {
    /// `absent`, `missing`, `refused`, or a way to change the schema: `superuser`, `grants-roles`, `acts-as`, `owns`,
    /// `creates`, `triggers`, `writes`, `enters`.
    pub kind: String,
    /// The object, such as `table laps`, or the name of a role.
    pub object: String,
    /// The statement that corrects it.
    pub statement: String,
}

impl RoleFindings {
    /// Reads the findings about the server's role; none if the boot has the same role. `is_installed`: Directus is, and
    /// the boot's role may read its tables.
    ///
    /// # Errors
    /// The driver's.
    pub async fn read(
        client: &Client,
        desired: &DesiredState,
        is_installed: bool,
    ) -> Result<RoleFindings, tokio_postgres::Error> {
        let Some(server) = &desired.config.database.server_role else { return Ok(RoleFindings::default()) };
        let tables: Vec<&str> = desired.migrations.owned_tables().collect();
        let query = format!("select {}", findings("$1", "$2", is_installed));
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(server, Type::TEXT), (&tables, Type::TEXT_ARRAY)];
        Ok(RoleFindings::parse(client.query_typed_one(&query, &parameters).await?.get(0)))
    }

    /// Parses the value of [`findings`].
    #[must_use]
    pub(super) fn parse(json: &str) -> RoleFindings {
        let rows: Vec<Vec<Option<String>>> = serde_json::from_str(json).unwrap_or_default();
        let of_row = |row: Vec<Option<String>>| {
            let [kind, object, statement] = <[Option<String>; 3]>::try_from(row).ok()?.map(Option::unwrap_or_default);
            Some(RoleFinding { kind, object, statement })
        };
        RoleFindings(rows.into_iter().filter_map(of_row).collect())
    }

    /// All findings.
    #[must_use]
    pub fn all(&self) -> &[RoleFinding] {
        &self.0
    }

    fn of_kind(&self, kind: &str) -> Vec<&RoleFinding> {
        self.0.iter().filter(|finding| finding.kind == kind).collect()
    }

    /// True if a server with this role could not serve.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        ["absent", "missing", "refused"].iter().any(|kind| !self.of_kind(kind).is_empty())
    }

    /// The number of objects that the server's role owns.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.of_kind("owns").len()
    }

    /// The missing grants that the boot's role can make.
    #[must_use]
    pub fn grants(&self) -> Vec<&str> {
        statements(&self.of_kind("missing"))
    }

    /// Returns an error if the boot's role cannot give the server what it needs.
    ///
    /// # Errors
    /// [`BootError::ServerRole`] with this entry of the catalog.
    pub fn require(&self, failure: &'static BootFailure) -> Result<(), BootError> {
        let (what, statement) = match (self.of_kind("absent").first(), self.of_kind("refused").as_slice()) {
            (Some(role), _) => (format!("the role {} of DB_USER does not exist", role.object), &role.statement),
            (None, [first, ..]) => {
                let objects = names(&self.of_kind("refused"));
                (
                    format!("the role of DB_USER lacks privileges on {objects}, which another role owns"),
                    &first.statement,
                )
            }
            (None, []) => return Ok(()),
        };
        Err(BootError::ServerRole { what, statement: statement.clone(), failure })
    }

    /// The ways in which the server's role could change the schema, each a sentence without a subject, with its remedy.
    #[must_use]
    pub fn excess(&self) -> Vec<String> {
        let mut ways = Vec::new();
        for (kind, words) in EXCESS {
            let found = self.of_kind(kind);
            if !found.is_empty() {
                let mut statements = statements(&found);
                statements.dedup();
                ways.push(format!("{}: {}", words.replace("{}", &names(&found)), shortened(&statements, "; ")));
            }
        }
        ways
    }
}

/// The kinds of excess, most powerful first, with their words.
const EXCESS: [(&str, &str); 8] = [
    ("superuser", "is a superuser"),
    ("grants-roles", "has CREATEROLE, and before PostgreSQL 16 may grant itself any role"),
    ("acts-as", "may act as {}"),
    ("owns", "owns {}"),
    ("creates", "may create objects in {}"),
    ("triggers", "may create triggers on {}"),
    ("writes", "may write the description of the data model in {}"),
    ("enters", "may enter {}, which only the boot needs"),
];

/// The objects of these findings, the first ones by name.
fn names(findings: &[&RoleFinding]) -> String {
    shortened(&findings.iter().map(|finding| finding.object.as_str()).collect::<Vec<_>>(), ", ")
}

fn statements<'a>(findings: &[&'a RoleFinding]) -> Vec<&'a str> {
    findings.iter().map(|finding| finding.statement.as_str()).collect()
}

/// The first items, and the number of the others.
fn shortened(items: &[&str], separator: &str) -> String {
    let shown = items[..items.len().min(SHOWN)].join(separator);
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The two roles, for a report.
#[derive(Clone, Debug, Serialize)]
pub struct RolesReport {
    /// The role that changes the schema.
    pub boot: String,
    /// The role that serves; none if it is the same.
    pub server: Option<String>,
    /// True if the server's role has all that it needs, and nothing with which it could change the schema; none if there
    /// is one role, or if the boot's role could not find out.
    pub separate: Option<bool>,
    /// The findings about the server's role.
    pub findings: Vec<RoleFinding>,
    /// The reason why the boot's role could not find out.
    pub unknown: Option<String>,
    /// The lines of the text.
    #[serde(skip)]
    pub lines: Vec<String>,
}

impl RolesReport {
    /// The report of one role, or of two with these findings or the reason why there are none.
    #[must_use]
    pub fn new(boot: &str, server: Option<&str>, found: Result<RoleFindings, String>) -> RolesReport {
        let mut report = RolesReport {
            boot: boot.to_owned(),
            server: server.map(str::to_owned),
            separate: None,
            findings: Vec::new(),
            unknown: None,
            lines: Vec::new(),
        };
        let Some(server) = server else {
            report.lines.push(format!("{boot} boots and serves"));
            return report;
        };
        report.lines.push(format!("{boot} boots, {server} serves"));
        match found {
            Ok(found) => {
                report.separate = Some(found.all().is_empty());
                if let Err(error) = found.require(&failure::SERVER_ROLE) {
                    report.lines.push(error.to_string());
                }
                let missing = found.of_kind("missing");
                if !missing.is_empty() {
                    report
                        .lines
                        .push(format!("{server} lacks privileges on {}: the next boot grants them", names(&missing)));
                }
                let excess = found.excess();
                report.lines.push(match excess.is_empty() {
                    true => format!("{server} cannot change the schema"),
                    false => format!("{server} could change the schema:"),
                });
                report.lines.extend(excess.iter().map(|way| format!("  it {way}")));
                report.findings = found.0;
            }
            Err(reason) => {
                report.lines.push(format!("{boot} cannot find out what {server} may do: {reason}"));
                report.unknown = Some(reason);
            }
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: &[[&str; 3]]) -> RoleFindings {
        RoleFindings::parse(&serde_json::to_string(rows).expect("plain data"))
    }

    #[test]
    fn no_findings_are_two_separate_roles() {
        let report = RolesReport::new("boot", Some("web"), Ok(found(&[])));
        assert_eq!(report.separate, Some(true));
        assert_eq!(report.lines, ["boot boots, web serves", "web cannot change the schema"]);
    }

    #[test]
    fn one_role_has_no_findings() {
        let report = RolesReport::new("directus", None, Ok(found(&[])));
        assert_eq!((report.separate, report.lines), (None, vec!["directus boots and serves".to_owned()]));
    }

    #[test]
    fn every_kind_of_excess_is_a_sentence_with_its_statement() {
        for (kind, words) in EXCESS {
            let excess = found(&[[kind, "table laps", "REVOKE x"]]).excess();
            assert_eq!(excess, [format!("{}: REVOKE x", words.replace("{}", "table laps"))]);
        }
    }

    #[test]
    fn many_objects_are_counted_and_equal_statements_are_given_once() {
        let names: Vec<String> = (1..=7).map(|n| format!("table t{n}")).collect();
        let rows: Vec<[&str; 3]> = names.iter().map(|name| ["owns", name, "REASSIGN"]).collect();
        let words = "owns table t1, table t2, table t3, table t4, table t5 and 2 more: REASSIGN";
        assert_eq!(found(&rows).excess(), [words]);
    }

    #[test]
    fn a_grant_that_the_boot_can_make_is_no_obstacle() {
        let own = found(&[["missing", "table a", "GRANT SELECT ON TABLE a TO web"]]);
        assert_eq!(own.grants(), ["GRANT SELECT ON TABLE a TO web"]);
        assert!(own.is_incomplete() && own.require(&failure::SERVER_ROLE).is_ok());
        let foreign = found(&[["refused", "table b", "GRANT SELECT ON TABLE b TO web"]]);
        assert!(foreign.is_incomplete() && foreign.grants().is_empty());
        let error = foreign.require(&failure::SERVER_ROLE).expect_err("another owner").to_string();
        assert!(error.contains("table b") && error.contains("run GRANT SELECT ON TABLE b TO web in this"), "{error}");
    }

    #[test]
    fn an_absent_role_is_named() {
        let absent = found(&[["absent", "web", "CREATE ROLE web LOGIN"]]);
        let error = absent.require(&failure::SERVER_ROLE).expect_err("no role").to_string();
        let words =
            "the role web of DB_USER does not exist; nothing was changed: let a superuser run CREATE ROLE web LOGIN";
        assert!(error.starts_with(words), "{error}");
    }
}
