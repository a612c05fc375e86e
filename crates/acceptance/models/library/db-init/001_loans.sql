-- Table of the library's lending desk; it is not a Directus collection.
-- owns-table: loans
CREATE TABLE IF NOT EXISTS public.loans (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reader   text        NOT NULL,
    lent_at  timestamptz NOT NULL,
    due_at   timestamptz NOT NULL,
    CONSTRAINT loans_due_after_lent CHECK (due_at > lent_at)
);

DO $assert$
BEGIN
    IF to_regclass('public.loans') IS NULL THEN
        RAISE EXCEPTION 'public.loans does not exist';
    END IF;
END
$assert$;
