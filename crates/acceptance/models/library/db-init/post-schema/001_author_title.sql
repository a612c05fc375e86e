-- A book is registered once: the same title by the same author is a mistake.
DO $migration$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
         WHERE conrelid = 'public.books'::regclass AND conname = 'books_author_title_unique'
    ) THEN
        ALTER TABLE public.books ADD CONSTRAINT books_author_title_unique UNIQUE (author, title);
    END IF;
END
$migration$;
