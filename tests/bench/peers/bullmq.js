// BullMQ on Redis: many jobs at a time in one worker, finished jobs removed, the commands of one turn of the event loop
// sent together. https://docs.bullmq.io/guide/workers/concurrency
import { Queue, Worker } from 'bullmq';

const QUEUE = 'rate';
const connection = { path: process.env.REDIS_SOCKET, enableAutoPipelining: true };

export async function open() {
  const queue = new Queue(QUEUE, { connection });
  return {
    install: () => queue.obliterate({ force: true }),
    async enqueue(jobs) {
      await queue.addBulk(jobs.map((data) => ({ name: QUEUE, data })));
    },
    async send(job) {
      await queue.add(QUEUE, job);
    },
    async work(results) {
      const worker = new Worker(QUEUE, ({ data }) => results.add(data),
        { connection, concurrency: 100, removeOnComplete: { count: 0 }, removeOnFail: { count: 1000 } });
      worker.on('error', console.error);
      await worker.waitUntilReady();
    },
    async left() {
      const counts = await queue.getJobCounts('waiting', 'active', 'prioritized', 'delayed', 'failed');
      return Object.values(counts).reduce((sum, n) => sum + n, 0);
    },
  };
}
