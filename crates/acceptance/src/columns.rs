//! The columns of a database, and SQL expressions that fill them.

use anyhow::Context as _;
use tokio_postgres::{Client, Row};

/// The columns of all tables except those of Directus.
const COLUMNS: &str = r"
    select c.relname::text, a.attname::text, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null), t.typtype = 'e',
        a.atttypmod - 4, f.confrelid::regclass::text,
        (select k.attname::text from pg_attribute k where k.attrelid = f.confrelid and k.attnum = f.confkey[1]),
        a.attnotnull, exists (select from pg_index x where x.indrelid = c.oid and x.indisprimary and a.attnum = any (x.indkey)),
        a.attnum, a.attgenerated <> '' or a.attidentity <> '' or coalesce(pg_get_expr(d.adbin, d.adrelid) like 'nextval%', false)
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    left join pg_constraint f on f.conrelid = c.oid and f.contype = 'f' and f.conkey = array[a.attnum]
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not c.relispartition
      and c.relname not like 'directus\_%'
      and not exists (select from pg_depend e where e.objid = c.oid and e.deptype = 'e')
    order by c.relname, a.attnum";

/// A column of a table.
pub(crate) struct TableColumn {
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) data_type: String,
    pub(crate) is_enum: bool,
    /// Maximum length of a text; unlimited if 0 or less.
    pub(crate) length: i32,
    /// The referenced table and column.
    pub(crate) target: Option<(String, String)>,
    /// NOT NULL.
    pub(crate) is_required: bool,
    /// Part of the primary key.
    pub(crate) is_key: bool,
    /// Position in the table: later columns get later times and larger numbers, as CHECK constraints may require.
    pub(crate) position: i16,
    /// True if PostgreSQL generates the values.
    pub(crate) is_generated: bool,
}

impl TableColumn {
    /// The columns of all tables except those of Directus, by table and position.
    pub(crate) async fn all(client: &Client) -> anyhow::Result<Vec<TableColumn>> {
        let rows = client.query(COLUMNS, &[]).await.context("failed to list columns")?;
        Ok(rows.iter().map(TableColumn::of).collect())
    }

    fn of(row: &Row) -> TableColumn {
        TableColumn {
            table: row.get(0),
            name: row.get(1),
            data_type: row.get(2),
            is_enum: row.get(3),
            length: row.get(4),
            target: row.get::<_, Option<String>>(5).zip(row.get(6)),
            is_required: row.get(7),
            is_key: row.get(8),
            position: row.get(9),
            is_generated: row.get(10),
        }
    }

    /// An SQL expression over the row's number `i`; `None` if the column stays empty.
    pub(crate) fn value(&self) -> Option<String> {
        let TableColumn { name, data_type, length, position, .. } = self;
        if self.is_generated {
            return None;
        }
        if let Some((table, column)) = &self.target {
            return Some(format!(
                "(select \"{column}\" from {table} order by 1
                  offset (i - 1) % (select greatest(count(*), 1) from {table}) limit 1)"
            ));
        }
        if self.is_enum {
            return Some(format!("(enum_range(null::{data_type}))[1]"));
        }
        Some(match data_type.as_str() {
            "uuid" => format!("md5('{name}' || i)::uuid"),
            "integer" | "bigint" | "smallint" => format!("i * 100 + {position}"),
            "real" | "double precision" => format!("i + {position} + 0.625"),
            "numeric" => format!("i + {position} + 0.25"),
            "boolean" => "i % 2 = 0".to_owned(),
            "timestamp with time zone" => {
                format!("'2026-06-06 06:00:00+00'::timestamptz + (i + {position}) * interval '1 hour'")
            }
            "timestamp without time zone" => {
                format!("'2026-06-06 06:00:00'::timestamp + (i + {position}) * interval '1 hour'")
            }
            "date" => format!("'2026-06-06'::date + i + {position}"),
            "time without time zone" => "'06:00:00'::time + i * interval '1 minute'".to_owned(),
            "json" => "json_build_object('n', i, 'text', 'größer')".to_owned(),
            "jsonb" => "jsonb_build_object('n', i)".to_owned(),
            "bytea" => "('bytes ' || i)::bytea".to_owned(),
            "text" | "character varying" | "character" if *length > 0 => {
                format!("left(i || ' {name} größer', {length})")
            }
            "text" | "character varying" | "character" => format!("i || ' {name} größer'"),
            _ => return None,
        })
    }
}
