-- A row for each SQL file that the boots of this database applied, and for each object that exists because of them:
-- kind, owner, name, definition and comment, with tabs between them.
select concat_ws(e'\t', kind, belongs_to, name, regexp_replace(definition, '\s+', ' ', 'g'),
                 nullif(regexp_replace(comment, '\s+', ' ', 'g'), ''))
from (
    select 'file' as kind, phase as belongs_to, filename as name, checksum as definition, '' as comment, 0 as place
    from boot.migrations
    union all
    -- The definition of an extension depends on the server.
    select kind, belongs_to, name, case kind when 'extension' then '' else definition end,
           case kind when 'table' then obj_description(relation) when 'column' then col_description(relation, attnum) end,
           coalesce(attnum, 0)
    from (select *, to_regclass(quote_ident(belongs_to)) as relation from boot.owned) as object
    left join pg_catalog.pg_attribute on kind = 'column' and attrelid = relation and attname = name
    -- Without the triggers by which an extension does its work.
    where not exists (
        select from pg_catalog.pg_trigger join pg_catalog.pg_depend on objid = tgfoid and deptype = 'e'
        where kind = 'trigger' and tgrelid = relation and tgname = name
    )
) as row
order by kind collate "C", belongs_to collate "C", place, name collate "C";
