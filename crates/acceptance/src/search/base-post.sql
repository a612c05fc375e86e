-- Constraints that a snapshot cannot contain.
alter table public.topics add constraint topics_name_length check (length(name) < 500);
alter table public.articles_topics add constraint articles_topics_once unique (articles_id, topics_id);
create index articles_live on public.articles (status, sort) where status = 'published';
create index letters_lower on public.letters (lower(printed_at), id);
