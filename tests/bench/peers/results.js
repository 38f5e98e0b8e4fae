// Where a peer's results go: the rows that gradingd stores, made of fixed texts about as long as real ones, because a
// peer rates nothing here. However many jobs come at once, they are one prepared statement, one round trip, one commit;
// arrays unnested cost the server about half of what json_to_recordset() does.
//
// Forms: "rows", one line_ratings row a line and the session's counters; "json", one row a job, no counters; "single",
// that row with a statement of its own, as handlers in the documentations store their results.
import { randomUUID } from 'node:crypto';

const RATING = 'missed_opportunity';
const ALTERNATIVES = [
  'What matters most to you when it comes to that?',
  "That's good to know. What would you want to be different?",
  'How does that look for you at the moment, and what have you tried so far when it comes to that part of it?',
];
const ALTERNATIVES_ARRAY = `{${ALTERNATIVES.map((text) => `"${text}"`)}}`;
const REASON = 'asks nothing, names no benefit and no next step now';
const PROVENANCE = '5b0a1c1e-6f7c-5e0f-9a53-0d2f3c4b5a69';    // the id of one, as a line has it

const rows = {
  text: `
    WITH rated AS (
      INSERT INTO peer.line_ratings (session_id, line_index, line_text, rating, alternatives, reason, job_id,
        provenance_id, seq)
      SELECT session, index, text, rating, alternatives::text[], reason, job, $1::uuid, index + 1
      FROM unnest($2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[])
        AS l(session, index, text, rating, alternatives, reason, job)
    )
    INSERT INTO peer.grading_sessions AS s (session_id, total_batches, completed_batches, total_lines, rated_lines,
      rated_seq, started_at, first_rated_at, completed_at)
    SELECT session, max(batches), count(*), sum(lines), sum(lines), sum(lines), now(), now(),
      CASE WHEN count(*) >= max(batches) THEN now() END
    FROM unnest($9::uuid[], $10::int[], $11::int[]) AS j(session, batches, lines)
    GROUP BY session ORDER BY session
    ON CONFLICT (session_id) DO UPDATE SET
      completed_batches = s.completed_batches + excluded.completed_batches,
      total_lines = s.total_lines + excluded.total_lines,
      rated_lines = s.rated_lines + excluded.rated_lines,
      rated_seq = s.rated_seq + excluded.rated_seq,
      completed_at = CASE WHEN s.completed_batches + excluded.completed_batches >= s.total_batches THEN now() END,
      updated_at = now()`,
  values(jobs) {
    const [sessions, batches, counts] = [[], [], []];
    const line = { session: [], index: [], text: [], rating: [], alternatives: [], reason: [], job: [] };
    for (const { session, data: { transcript, totalBatches } } of jobs) {
      sessions.push(session);
      batches.push(totalBatches);
      counts.push(transcript.length);
      const job = randomUUID();
      for (const { index, text } of transcript) {
        line.session.push(session);
        line.index.push(index);
        line.text.push(text);
        line.rating.push(RATING);
        line.alternatives.push(ALTERNATIVES_ARRAY);
        line.reason.push(REASON);
        line.job.push(job);
      }
    }
    return [PROVENANCE, ...Object.values(line), sessions, batches, counts];
  },
};

const json = {
  text: `
    INSERT INTO peer.results (session_id, batch, result)
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::json[])`,
  values: (jobs) => [
    jobs.map(({ session }) => session),
    jobs.map(({ data }) => data.batchIndex),
    jobs.map(({ data }) => JSON.stringify({
      lines: data.transcript.map(({ index }) =>
        ({ index, rating: RATING, alternatives: ALTERNATIVES, reason: REASON })),
      provenance: PROVENANCE,
    })),
  ],
};

const FORMS = { rows, json, single: json };

export class Results {
  #stored = 0;
  #waiting = [];
  #due = false;

  // told: called with the number of jobs stored so far, whenever it grows.
  constructor(pool, form, told) {
    Object.assign(this, { pool, form: FORMS[form], name: form, told });
  }

  // Stores a batch of {session, data}.
  async store(jobs) {
    if (this.name === 'single') await Promise.all(jobs.map((job) => this.#send([job])));
    else await this.#send(jobs);
  }

  async #send(jobs) {
    await this.pool.query({ name: this.name, text: this.form.text, values: this.form.values(jobs) });
    this.told(this.#stored += jobs.length);
  }

  // Stores one job, together with all others that arrive in the same turn of the event loop (unless each is stored
  // singly): for queues that hand out jobs one by one.
  add(job) {
    if (this.name === 'single') return this.#send([job]);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject });
      if (!this.#due) setImmediate(() => this.#flush());
      this.#due = true;
    });
  }

  async #flush() {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#due = false;
    try {
      await this.store(batch.map(({ job }) => job));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}
