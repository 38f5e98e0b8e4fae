"""Compares what was asked for with what is there when all is over. Every finding is a sentence; none is the aim."""
import collections

from llm_server import expected_rating

SCALE = ["excellent", "good", "poor", "missed_opportunity"]

# name: a query whose rows are each a finding
QUERIES = {
    "a job is not settled": """
        SELECT id, status, claimed_by, attempts, error FROM grading_jobs WHERE status NOT IN ('completed', 'failed')""",
    "a job is gone, or was never asked for": """
        SELECT d.id AS asked, g.id AS there FROM drill_jobs d FULL JOIN grading_jobs g USING (id) WHERE d.id IS NULL OR g.id IS NULL""",
    "a line has no rating, and its job names no reason": """
        SELECT l.session_id, l.line_index, g.status, g.error FROM drill_lines l
        JOIN grading_jobs g ON g.id = l.job_id
        LEFT JOIN line_ratings r ON r.session_id = l.session_id AND r.line_index = l.line_index
        WHERE r.line_index IS NULL AND (g.error IS NULL OR g.status = 'completed' AND
          strpos(g.error, l.line_index::text) = 0)""",
    "a rating has no line": """
        SELECT r.session_id, r.line_index FROM line_ratings r
        LEFT JOIN drill_lines l ON r.session_id = l.session_id AND r.line_index = l.line_index
        WHERE l.line_index IS NULL OR l.text <> r.line_text OR l.job_id <> r.job_id""",
    "a session's counters are not what its tables say": """
        SELECT s::text AS session, j.jobs, j.completed, j.failed, l.lines, r.rated, r.seqs, c.lines AS counted FROM (
          SELECT session_id, count(*) AS jobs, count(*) FILTER (WHERE status = 'completed') AS completed,
            count(*) FILTER (WHERE status = 'failed') AS failed FROM grading_jobs GROUP BY session_id) j
        LEFT JOIN (SELECT session_id, count(*) AS lines FROM drill_lines GROUP BY session_id) l USING (session_id)
        LEFT JOIN (SELECT session_id, count(*) AS rated, count(DISTINCT seq) AS seqs
                   FROM line_ratings GROUP BY session_id) r USING (session_id)
        FULL JOIN grading_sessions s USING (session_id)
        LEFT JOIN (SELECT session_id, sum(lines) AS lines FROM drill_jobs JOIN grading_jobs USING (id, session_id)
                   WHERE counted_as = 'completed' GROUP BY session_id) c USING (session_id)
        WHERE j.session_id IS NULL OR s.session_id IS NULL OR s.total_batches <> j.jobs
          OR s.completed_batches <> j.completed OR s.failed_batches <> j.failed
          OR s.rated_lines <> coalesce(r.rated, 0) OR s.rated_seq < coalesce(r.rated, 0)
          OR coalesce(r.seqs, 0) <> coalesce(r.rated, 0)
          OR s.total_lines NOT BETWEEN coalesce(c.lines, 0) AND coalesce(l.lines, 0)
          OR s.status <> CASE WHEN j.completed > 0 THEN 'completed' ELSE 'failed' END
          OR s.completed_at IS NULL""",
}


def normalised(text):
    return " ".join(text.casefold().split())


def wrong_grades(db):
    """Ratings that the provider never gave a line of this text."""
    given = collections.defaultdict(set)
    with db.connect() as conn:
        for (text,) in conn.execute("SELECT DISTINCT text FROM drill_lines"):
            given[normalised(text)].add(expected_rating(text, SCALE))
        return [row for row in conn.execute("SELECT session_id, line_index, line_text, rating FROM line_ratings")
                if row.rating not in given[normalised(row.line_text)]]


def audit(db, may_fail=()):
    """The findings: (what is wrong, how often, one example). may_fail: ids of jobs that are to end as failed."""
    findings = []
    for name, query in QUERIES.items():
        rows = db.rows(query)
        if rows:
            findings.append((name, len(rows), rows[0]))
    wrong = wrong_grades(db)
    if wrong:
        findings.append(("a grade is invented", len(wrong), wrong[0]))
    unjust = db.rows("SELECT id, status, attempts, error FROM grading_jobs WHERE (attempts > 0 OR status = 'failed')"
                     " AND id <> ALL(%s::uuid[])", list(may_fail))
    if unjust:
        findings.append(("an attempt was spent on a fault that was not the job's", len(unjust), unjust[0]))
    return findings
