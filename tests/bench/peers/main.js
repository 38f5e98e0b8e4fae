// One process of a peer: a worker, or the one that fills its queue. It takes orders from stdin, a line each, and
// answers each with a line; it ends with its stdin, so that nothing stays behind when the benchmark is killed.
//
//   install         makes the queue, which must not be there yet
//   enqueue N       puts the first N jobs of the material into it, in bulk
//   send SESSION    enqueues one job as an application does; answers when the call began, in seconds of the
//                   monotonic clock, which is Python's too
//   work            works; "stored N" tells of all its jobs whenever some more are stored
//   left            how many jobs the queue still has
//
// usage: node main.js PEER FORM; PG* and REDIS_SOCKET in the environment say where the servers are
import { createInterface } from 'node:readline';
import pg from 'pg';
import { Results } from './results.js';

const CHUNK = 1000;
const [, , peer, form] = process.argv;
const say = (words) => process.stdout.write(`${words}\n`);

const pool = new pg.Pool({ max: form === 'single' ? 10 : 4 });	// 10 is what it has by itself
const queue = await (await import(`./${peer}.js`)).open();
const results = new Results(pool, form, (n) => say(`stored ${n}`));

async function enqueue(n) {
  const { rows } = await pool.query(
    'SELECT session_id AS session, job_data AS data FROM material ORDER BY place LIMIT $1', [n]);
  for (let at = 0; at < n; at += CHUNK) await queue.enqueue(rows.slice(at, at + CHUNK));
}

const line = (n) => ({ speaker: 'rep', index: n, text: `What matters most to you, ${n}?` });

async function send(session) {
  const data = { transcript: [0, 1, 2, 3, 4].map(line), batchIndex: 0, batchSize: 5, totalBatches: 1,
    salesRepName: 'Ann', customerName: 'Bo' };
  const began = process.hrtime.bigint();
  await queue.send({ session, data });
  return Number(began) / 1e9;
}

const orders = {
  install: () => queue.install(),
  enqueue: (n) => enqueue(Number(n)),
  send,
  work: () => queue.work(results),
  left: () => queue.left(),
};

say('ready');
for await (const order of createInterface({ input: process.stdin })) {
  const [word, argument] = order.split(' ');
  say(await orders[word](argument) ?? 'ok');
}
process.exit();
