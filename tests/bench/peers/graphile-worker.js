// graphile-worker as its performance page tunes it: jobs are fetched and completed in batches, 24 at a time. (With 100
// at a time, which the page does not speak of, more of them are stored together and a job takes a third less CPU.)
// https://worker.graphile.org/docs/performance
import { makeWorkerUtils, run, runMigrations, Logger, WorkerPreset } from 'graphile-worker';
import pg from 'pg';

const TASK = 'rate';
const SCHEMA = 'graphile_worker';

const preset = {
  extends: [WorkerPreset],
  worker: {
    schema: SCHEMA,
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    // The default logs a line a job. (A pool smaller than the number of jobs is no bottleneck with batches.)
    logger: new Logger(() => (level, message) => {
      if (level === 'error') console.error(message);
    }),
  },
};

export async function open() {
  const pool = new pg.Pool({ max: 1 });
  let utils;
  const connected = async () => utils ??= await makeWorkerUtils({ preset });
  return {
    install: () => runMigrations({ preset }),
    async enqueue(jobs) {
      await (await connected()).addJobs(jobs.map((payload) => ({ identifier: TASK, payload })));
    },
    async send(job) {
      await (await connected()).addJob(TASK, job);
    },
    async work(results) {
      await run({ preset, noHandleSignals: true, taskList: { [TASK]: (job) => results.add(job) } });
    },
    // Completed jobs are deleted.
    async left() {
      const { rows } = await pool.query(`SELECT count(*) FROM ${SCHEMA}._private_jobs`);
      return rows[0].count;
    },
  };
}
