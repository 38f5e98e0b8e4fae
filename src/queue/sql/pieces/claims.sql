-- What the claims that write down what they take have in common, for \ir. How they find it (:due),
-- :claimable, :claimant, :beside and :cap are their own.
\set columns `cat pieces/place.sql`
\set times_claimed `cat pieces/times_claimed.sql`
\set claimed_once_more `cat pieces/claimed_once_more.sql`
\set job_columns `cat pieces/job_columns.sql`
\set claimed `cat pieces/claimed.sql`
\set opened `cat pieces/opened.sql`
\set rows `cat pieces/all_locked.sql`
\set place 'due'
\set readable 'true'
\set job_type 'c.job_type'
\set job_data 'c.job_data'
\set of_whole `cat pieces/whole.sql`
\set whole_session `cat pieces/whole_session.sql`
\set strides `cat pieces/strides.sql`
\set claimed_rows `cat pieces/claimed_rows.sql`
