//! The end state of a boot in a form that can be compared: after any fault and another boot, it must be the same as
//! after an undisturbed boot.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

use super::database::TestDatabase;

/// Everything that a boot decides, by part, so that an error can name the difference. Serial numbers and times are
/// excluded: they differ between two good boots.
const PARTS: &str = r#"
    select 'columns', md5(string_agg(format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                                            a.attnotnull, pg_get_expr(d.adbin, d.adrelid)),
                                     E'\n' order by c.relname, a.attname))
    from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped
    union all
    select 'indexes', md5(string_agg(indexdef, E'\n' order by indexname)) from pg_indexes where schemaname = 'public'
    union all
    select 'constraints', md5(string_agg(format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)),
                                         E'\n' order by conrelid::regclass::text, conname))
    from pg_constraint where connamespace = 'public'::regnamespace
    union all
    select 'migrations of the ledger', string_agg(format('%s/%s %s', phase, filename, left(checksum, 12)), ', ' order by phase, filename)
    from boot.migrations
    union all
    select 'last snapshot', (select left(digest, 12) from boot.snapshots order by id desc limit 1)
    union all
    select 'migrations of Directus', format('%s, %s', count(*), md5(string_agg(version, ' ' order by version))) from directus_migrations
    union all
    select 'collections', format('%s, %s', count(*), md5(string_agg(to_jsonb(c)::text, E'\n' order by collection)))
    from directus_collections c
    union all
    select 'fields', format('%s, %s', count(*), md5(string_agg((to_jsonb(f) - 'id')::text, E'\n' order by collection, field)))
    from directus_fields f
    union all
    select 'relations', format('%s, %s', count(*), md5(string_agg((to_jsonb(r) - 'id')::text, E'\n' order by many_collection, many_field)))
    from directus_relations r
    union all
    select 'users, roles, policies', format('%s, %s, %s', (select count(*) from directus_users), (select count(*) from directus_roles),
                                            (select count(*) from directus_policies))
    union all
    select 'administrators', count(distinct u.id)::text
    from directus_users u join directus_access a on a."user" = u.id or a.role = u.role join directus_policies p on p.id = a.policy
    where p.admin_access and u.status = 'active'
"#;

/// The parts of a database after a boot, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndState(BTreeMap<String, String>);

impl EndState {
    /// Reads the end state. It is an error if no boot has finished in the database.
    pub async fn of(database: &TestDatabase) -> anyhow::Result<EndState> {
        let client = database.connect().await?;
        let rows = client.query(PARTS, &[]).await.context("failed to read the end state")?;
        let parts = rows.iter().map(|row| (row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default()));
        let state = EndState(parts.collect());
        let administrators = state.part("administrators");
        ensure!(administrators == "1", "there are {administrators} administrators, not one");
        Ok(state)
    }

    /// The value of one part; empty if there is no such part.
    pub fn part(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The end state without one part.
    pub fn without(mut self, name: &str) -> EndState {
        self.0.remove(name);
        self
    }

    /// Checks that it equals the end state of an undisturbed boot; the error names every difference.
    pub fn ensure_same_as(&self, undisturbed: &EndState) -> anyhow::Result<()> {
        let differences = self.differences(undisturbed);
        ensure!(differences.is_empty(), "the end state is not that of an undisturbed boot: {}", differences.join("; "));
        Ok(())
    }

    fn differences(&self, other: &EndState) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let parts = names.into_iter().map(|name| (name, self.part(name), other.part(name)));
        let different = parts.filter(|(_, own, other)| own != other);
        different.map(|(name, own, other)| format!("{name} `{own}` instead of `{other}`")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::EndState;

    fn state(parts: &[(&str, &str)]) -> EndState {
        EndState(parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn every_difference_is_named() {
        let (one, two) = (state(&[("fields", "7"), ("indexes", "a")]), state(&[("fields", "8"), ("indexes", "a")]));
        assert_eq!(one.differences(&two), ["fields `7` instead of `8`"]);
        assert!(one.ensure_same_as(&one).is_ok());
        let less = state(&[("fields", "7")]);
        assert_eq!(less.differences(&one), ["indexes `` instead of `a`"]);
    }
}
