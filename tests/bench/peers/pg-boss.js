// pg-boss with batches of 1,000 jobs, fetched without a pause while they come back full, and with its own NOTIFY for
// the latency on an idle queue. https://pgboss.io/api/workers
import { PgBoss } from 'pg-boss';
import pg from 'pg';

const QUEUE = 'rate';
const SCHEMA = 'pgboss';

const environment = () => ({ host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER,
  database: process.env.PGDATABASE });

export async function open() {
  const pool = new pg.Pool({ max: 1 });
  let started;
  // Maintenance and cron are left out: their rounds would fall into one run and not into the next.
  async function boss(options) {
    if (!started) {
      started = new PgBoss({ ...environment(), schema: SCHEMA, supervise: false, schedule: false, useListenNotify: true,
        ...options });
      started.on('error', console.error);
      await started.start();
    }
    return started;
  }
  return {
    async install() {
      await (await boss()).createQueue(QUEUE, { notify: true });
    },
    async enqueue(jobs) {
      await (await boss()).insert(QUEUE, jobs.map((data) => ({ data })));
    },
    async send(job) {
      await (await boss()).send(QUEUE, job);
    },
    async work(results) {
      const options = { batchSize: 1000, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
      await (await boss()).work(QUEUE, options, (jobs) => results.store(jobs.map(({ data }) => data)));
    },
    async left() {
      const { rows } = await pool.query(`SELECT count(*) FROM ${SCHEMA}.job WHERE state < 'completed'`);
      return rows[0].count;
    },
  };
}
