"""The rows of the drill. Each is a generator: preparations, `yield` (what share of the throughput can be had back, if
not all), the fault until it is over, `yield` a remark, and what brings back the usual state, after it has been measured
how long the pool needed to be normal again."""
import os
import pathlib
import signal
import time


import feeder
import harness
import lab
import stuck
from harness import elapsed, is_running, wait_until

ROWS = {}
LONG = set()            # rows that cannot be shortened


def row(name, long=False):
    def add(function):
        ROWS[name] = function
        if long:
            LONG.add(name)
        return function
    return add


def repeat(lab_, seconds, pause_s, action):
    """Does it again and again for so long; returns how often."""
    deadline, n = time.monotonic() + lab_.seconds(seconds), 0
    while time.monotonic() < deadline:
        action()
        n += 1
        time.sleep(pause_s)
    return n


# ---- processes ----

@row("SIGKILL of a random worker every 200 ms")
def kill_workers(lab_):
    yield
    yield f"{repeat(lab_, 10, 0.2, lab_.kill_worker)} kills"


@row("SIGSTOP of a worker past its lease, then SIGCONT")
def stop_past_lease(lab_):
    lab_.reload(queue={"stuck_after": "3s", "job_deadline": "2s", "poll": "500ms"}, openai={"timeout": "1s"})
    yield
    reaped = lab_.pool.metric("jobs_reaped_total")
    victim = wait_until(lab_.pool.busy)[0]
    lab_.pool.kill(victim, signal.SIGSTOP)
    wait_until(lambda: lab_.pool.metric("jobs_reaped_total") > reaped, what="the stopped worker's jobs to be reaped")
    time.sleep(1)
    lab_.pool.kill(victim, signal.SIGCONT)
    yield f"{lab_.pool.metric('jobs_reaped_total') - reaped} jobs reaped"
    wait_until(lambda: lab_.pool.metric("claims_lost_total") > 0, what="late results to be dropped")
    lab_.reload()


@row("SIGKILL of the janitor, again and again")
def kill_janitor(lab_):
    def kill():
        janitor = lab_.pool.janitor()
        if janitor:
            lab_.pool.kill(janitor)

    yield
    yield f"{repeat(lab_, 5, 0.5, kill)} kills"


@row("SIGKILL of the supervisor, a new pool takes over")
def kill_supervisor(lab_):
    yield
    children = list(lab_.pool.children().values())
    lab_.pool.kill(lab_.pool.pid)
    lab_.pool.wait_dead()
    gone = elapsed(lambda: wait_until(lambda: not any(map(is_running, children)), what="the children to be gone"))
    lab_.restart_pool()
    if gone > 1 and not lab_.short:
        raise AssertionError(f"children outlived the supervisor by {gone:.1f} s")
    yield f"children gone after {gone:.2f} s"
    lab_.pool.wait_up()


def rename_claimants(lab_, boot, pid, start):
    """What is left claimed, and asked about, as if by a process of that boot with this pid and start time."""
    def rename(table, column, where):
        return len(lab_.db.rows(
            f"UPDATE {table} SET {column} = regexp_replace({column}, '/[0-9a-f]{{8}}([.][0-9]+)/[0-9]+/[0-9]+$',"
            f" format('/%%s\\1/%%s/%%s', %s::text, %s::text, %s::text)) WHERE {where} RETURNING 1",
            boot, str(pid), str(start)))

    rename("phrase_flights", "asker", "asker <> ''")
    return rename("grading_jobs", "claimed_by", "status = 'processing'")


def start_ticks(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()[19])


@row("power failure and reboot, pids are used again")
def reboot(lab_):
    yield
    lab_.kill_everything(lab_.pool)
    # The pids of before are now those of living processes, even with the start times of before.
    left = rename_claimants(lab_, "11111111", os.getpid(), start_ticks(os.getpid()))
    lab_.boot.write_text("22222222-2222-2222-2222-222222222222\n", encoding="ascii")
    lab_.restart_pool()
    yield f"{left} jobs left behind"
    lab_.pool.wait_up()
    wait_until(lambda: not lab_.db.value("SELECT count(*) FROM grading_jobs WHERE claimed_by LIKE '%%/11111111.%%'"
                                         " AND status = 'processing'"), what="the jobs of before the reboot")


@row("pool killed, its pids used again within one boot")
def reused_pid(lab_):
    yield
    lab_.kill_everything(lab_.pool)
    boot = lab_.boot.read_text(encoding="ascii")[:8]
    left = rename_claimants(lab_, boot, os.getpid(), start_ticks(os.getpid()) - 1)
    lab_.restart_pool()
    yield f"{left} jobs left behind"
    lab_.pool.wait_up()
    wait_until(lambda: not lab_.db.value("SELECT count(*) FROM grading_jobs WHERE status = 'processing'"
                                         " AND claimed_by LIKE '%%/' || %s || '/%%'", str(os.getpid())))


@row("TERM and start under load")
def term(lab_):
    yield
    took = elapsed(lab_.pool.stop)
    lab_.restart_pool()
    yield f"stopped in {took:.1f} s"
    lab_.pool.wait_up()


@row("QUIT and start under load")
def quit_pool(lab_):
    yield
    took = elapsed(lambda: lab_.pool.stop(signal.SIGQUIT))
    lab_.restart_pool()
    yield f"stopped in {took:.1f} s"
    lab_.pool.wait_up()


@row("HUP under load, again and again")
def hup(lab_):
    yield
    yield f"{repeat(lab_, 6, 1, lambda: lab_.pool.send(signal.SIGHUP))} reloads"
    wait_until(lab_.is_whole)


@row("scale up and down under load")
def scale(lab_):
    sizes = iter([1, 12, 2, 9, 6] * 100)
    yield
    repeat(lab_, 6, 1, lambda: lab_.pool.ctl(f"scale {next(sizes)}"))
    lab_.pool.ctl(f"scale {lab.WORKERS}")
    yield ""
    wait_until(lab_.is_whole)


@row("two pools on one database, one of them killed")
def two_pools(lab_):
    other = lab_.new_pool()
    other.configure(pool={"workers": 3})
    other.start()
    wait_until(other.busy)
    yield lab.WORKERS / (lab.WORKERS + 3)
    held = sum(worker["in_flight"] for worker in other.show("workers"))
    lab_.kill_everything(other)
    yield f"it had {held} jobs in hand"
    lab_.pools.remove(other)


@row("the host's clock an hour ahead, then an hour behind")
def clock(lab_):
    yield
    for shift in ("3600", "-3600"):
        lab_.pool.stop()
        lab_.restart_pool(DRILL_CLOCK_S=shift)
        lab_.pool.wait_up()
        time.sleep(lab_.seconds(4))
    yield "pool restarted for it"
    lab_.pool.stop()
    lab_.restart_pool(DRILL_CLOCK_S="0")
    lab_.pool.wait_up()


@row("stderr is a pipe that nobody reads")
def stuck_stderr(lab_):
    pipe = stuck.unread_pipe()
    lab_.pool.stop()
    lab_.restart_pool(stderr=pipe.write)
    lab_.pool.wait_up()
    yield
    before = lab_.recent_rate()
    stuck.fill(pipe.write)
    lab_.pool.ctl("log debug")
    began = lab_.now()
    repeat(lab_, 10, 1, lab_.kill_worker)       # which the supervisor wants to tell
    rate, status = lab_.rate(began, lab_.now()), lab_.pool.show("status")
    if not status["log_lines_dropped"] or "nobody reads" not in (status["log_error"] or ""):
        raise AssertionError(f"the socket does not tell of a stuck log: {status['log_error']}")
    if rate < lab.NORMAL_SHORT * before:
        raise AssertionError(f"the pool goes at {rate:.0f} instead of {before:.0f} a second")
    took = elapsed(lab_.pool.stop)
    with lab_.pool.log_path.open("a", encoding="utf-8") as log:
        log.write(pipe.drain())
    pipe.close()
    lab_.restart_pool()
    yield f"{status['log_lines_dropped']} lines dropped, stopped in {took:.1f} s"
    lab_.pool.wait_up()


@row("a job that makes its worker crash")
def poison(lab_):
    lab_.reload(pool={"workers": 2})
    yield
    words = harness.rep("Hello.", f"This is {lab.POISON}.", "Bye.", first=7)
    rows = feeder.insert(lab_.feeder.connection, [words], priority=1)
    job = rows[0][0]
    lab_.may_fail.append(job)
    lab_.pool.killed_by.add(signal.SIGSEGV)
    failed = lab_.db.wait(job, "failed")
    if failed.attempts != 3 or "signal 11" not in failed.error or "line 8" not in failed.error:
        raise AssertionError(f"the poisonous job ended so: attempts {failed.attempts}, {failed.error}")
    yield f"{failed.attempts} crashes, then failed"
    lab_.reload()


# ---- Postgres ----

@row("Postgres: immediate restart")
def restart_postgres(lab_):
    yield
    lab_.server.restart("immediate")
    yield ""


@row("Postgres away for 30 s")
def postgres_away(lab_):
    yield
    lab_.server.stop("immediate")
    time.sleep(lab_.seconds(30))
    status = lab_.pool.show("status")
    if status["summary"] != "waiting for the database":
        raise AssertionError(f"the socket says {status['summary']!r} while the database is away")
    lab_.server.start()
    yield f"{lab_.seconds(30):.0f} s"


@row("backends terminated at random, every 200 ms")
def terminate(lab_):
    yield
    yield f"{repeat(lab_, 8, 0.2, lab_.terminate_one)} connections"


def through_proxy(lab_, **groups):
    lab_.reload(database={"conninfo": f"host=127.0.0.1 port={lab_.proxy.port} user=postgres dbname={lab_.db.name}"
                                      f" sslmode=disable gssencmode=disable"}, **groups)


def cut_often(lab_, statements):
    """Cuts on both sides of the commit, by turns."""
    n = 0
    for _ in range(2 if lab_.short else 6):
        for when in ("before", "after"):
            for statement in statements:
                cut = lab_.proxy.order_cut(statement, when)
                if not cut.done.wait(10):
                    raise AssertionError(f"no `{statement}` came by within 10 s")
                n += 1
    return n


@row("connection cut in mid-claim, on both sides of the commit")
def cut_claims(lab_):
    through_proxy(lab_)
    yield
    yield f"{cut_often(lab_, ['claim'])} cuts"
    lab_.reload()


@row("connection cut in mid-settlement, on both sides of the commit")
def cut_settlements(lab_):
    through_proxy(lab_, rater={"backend": "openai", "lines_per_call": 2})       # some jobs are settled bit by bit
    yield
    yield f"{cut_often(lab_, ['complete', 'settle'])} cuts"
    lab_.reload()


@row("half-open connections: nothing gets through, nothing is closed", long=True)
def half_open(lab_):
    through_proxy(lab_)
    yield
    lab_.proxy.drop_for_good()
    yield "new connections work"
    lab_.reload()


@row("statement timeout")
def statement_timeout(lab_):
    lab_.reload(database={"conninfo": lab_.db.conninfo + " options='-c statement_timeout=300ms'"})
    yield
    with lab_.db.connect(autocommit=False) as other:
        other.execute("LOCK TABLE line_ratings IN ACCESS EXCLUSIVE MODE")
        time.sleep(lab_.seconds(5))
    if "canceling statement due to statement timeout" not in lab_.pool.log:
        raise AssertionError("no statement met its timeout")
    yield "a table locked, statement_timeout of 300 ms"
    lab_.reload()


@row("deadlocks and serialization failures, a third of all writes")
def conflicts(lab_):
    yield
    lab_.refuse(["40P01", "40001", "55P03"], 0.3)
    time.sleep(lab_.seconds(6))
    lab_.refuse_no_more()
    yield ""


@row("1,000 refused rows ahead of 5,000 healthy jobs")
def refused_ahead(lab_):
    """Fewer in the shortened drill. What is refused need not be done at the end: it is tried again once a minute."""
    nrefused, nhealthy = (150, 750) if lab_.short else (1000, 5000)
    yield
    before = lab_.recent_rate()
    with lab_.guarded("OLD.priority = 1", "55000 PT403 P0001"):
        refused = lab_.insert(nrefused, priority=1)
        began, healthy = lab_.now(), lab_.insert(nhealthy)
        wait_until(lambda: lab_.ncompleted(healthy) == len(healthy), 180, "the healthy jobs", pause=0.2)
        rate = lab_.rate(began + 10, lab_.now())
        wait_until(lambda: {error["row"] for error in lab_.pool.show("errors")} & set(refused),
                   what="refused rows to be named on the socket")
        touched = lab_.db.value("SELECT count(*) FROM grading_jobs WHERE id = ANY(%s::uuid[])"
                                " AND (status <> 'pending' OR times_claimed > 0)", refused)
        if touched:
            raise AssertionError(f"{touched} of the refused rows were changed all the same")
    if not lab_.short and rate < lab.NORMAL * before:
        raise AssertionError(f"ten seconds on, the others go at {rate:.0f} instead of {before:.0f} a second")
    yield f"{len(refused)} ahead of {len(healthy)}"


@row("a trigger of the application's refuses some rows, during recovery")
def guard(lab_):
    held = set()

    def hold_and_kill():
        rows = lab_.db.rows("""
            UPDATE grading_jobs SET error = 'hold' WHERE id IN (
                SELECT id FROM grading_jobs WHERE status = 'processing' AND error IS NULL
                ORDER BY random() LIMIT 3 FOR UPDATE SKIP LOCKED) RETURNING id""")
        held.update(row.id for row in rows)
        lab_.kill_worker()

    yield
    with lab_.guarded("OLD.error = 'hold'"):
        repeat(lab_, 8, 0.5, hold_and_kill)
    yield f"{len(held)} rows"


@row("disk full on the server")
def disk_full(lab_):
    yield
    lab_.refuse(["53100"])
    time.sleep(lab_.seconds(6))
    lab_.db.rows("SELECT 1")
    lab_.refuse_no_more()
    yield ""


@row("failover to a standby, multi-host conninfo")
def failover(lab_):
    old = lab_.server
    standby = lab.Standby(lab_.directory("gds-"), old)
    lab_.servers.append(standby)
    lab_.db.rows("ALTER SYSTEM SET synchronous_standby_names = '*'")
    lab_.db.rows("SELECT pg_reload_conf()")
    wait_until(lambda: lab_.db.value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"))
    lab_.reload(database={"conninfo": f"host={old.directory},{standby.directory} port={old.port},{standby.port}"
                                      f" user=postgres dbname={lab_.db.name} target_session_attrs=read-write"})
    yield
    old.stop("immediate")
    standby.promote()
    lab_.db.close()
    lab_.servers.remove(old)
    lab_.server, lab_.db = standby, harness.Database(standby, lab_.db.name)
    lab_.db.rows("ALTER SYSTEM RESET synchronous_standby_names")
    lab_.db.rows("SELECT pg_reload_conf()")
    lab_.proxy.socket_path = os.path.join(standby.directory, f".s.PGSQL.{standby.port}")
    yield "synchronous replication"
    lab_.reload()


@row("PgBouncer in transaction mode, restarted")
def bouncer(lab_):
    pooler = harness.Bouncer(pathlib.Path(lab_.directory("gdpb-")), lab_.server)
    lab_.reload(database={"conninfo": pooler.conninfo(lab_.db.name), "pool_mode": "transaction",
                          "listen_conninfo": lab_.db.conninfo})
    yield
    for _ in range(2):
        pooler.stop()
        time.sleep(lab_.seconds(2))
        pooler.start()
        time.sleep(lab_.seconds(2))
    yield "twice"
    lab_.reload()
    pooler.stop()


# ---- the provider ----

def misbehave(lab_, seconds, do, **more):
    lab_.provider.behave(do, **more)
    time.sleep(lab_.seconds(seconds))
    served = lab_.provider.behave("good")
    return f"{served.get(do, 0)} calls" if do != "outage" else f"{lab_.seconds(seconds):.0f} s"


@row("provider: a storm of 429, with Retry-After")
def storm(lab_):
    yield
    yield misbehave(lab_, 8, "429", share=0.7, retry_after=1)


@row("provider: answers 500")
def errors_500(lab_):
    yield
    yield misbehave(lab_, 8, "500")


@row("provider: out of credit for a minute")
def out_of_credit(lab_):
    yield
    lab_.provider.behave("credit")
    time.sleep(lab_.seconds(60))
    said = lab_.pool.ctl("show status")
    if "credit balance is too low" not in said:
        raise AssertionError(f"the socket does not say what the provider does: {said}")
    yield f"{lab_.provider.behave('good').get('credit', 0)} calls"


@row("provider: hangs")
def hangs(lab_):
    yield
    yield misbehave(lab_, 10, "hang")


@row("provider: resets connections")
def resets(lab_):
    yield
    yield misbehave(lab_, 8, "reset")


@row("provider: an hour of outage, a minute being a second")
def outage(lab_):
    yield
    yield misbehave(lab_, 60, "outage")


