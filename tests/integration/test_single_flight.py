"""Equal lines asked for at the same time cost one call, in one worker, in many, on one host and on several."""
import signal

import pytest

import test_pgbouncer
from harness import rep, stays, wait_until
from llm_server import expected_rating

LINE = "What would you use it for?"
FOREIGN = "elsewhere/12345678.1/4711/99"
bouncer = test_pgbouncer.bouncer


def insert_equal(db, n, text=LINE, **columns):
    return [db.insert(rep(text), **columns) for _ in range(n)]


def all_completed(db, n, timeout=60):
    wait_until(lambda: db.count("completed") == n, timeout, f"{n} jobs to be completed")


def flights(db):
    return db.rows("SELECT * FROM phrase_flights ORDER BY cache_key")


def wait_landed(db):
    """Nothing is left of who asked about what."""
    wait_until(lambda: not flights(db), what="the flights to be over")


def total(pools, name):
    return sum(pool.metric(name) for pool in pools)


def check_one_rating(db, n):
    """All have it, one of them fresh, and no count is off."""
    rows = db.rows("SELECT * FROM grading_line_ratings")
    assert len(rows) == n and len({(row.rating, tuple(row.alternatives), row.reason) for row in rows}) == 1
    assert [row.cached for row in rows].count(False) == 1
    assert db.value("SELECT count(*) FROM phrase_cache") == 1
    assert db.value("SELECT sum(rated_lines) FROM grading_sessions") == n
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    for row in rows:
        assert row.provenance["source"] == ("cache" if row.cached else "fresh")


def wait_claimed(db, n):
    wait_until(lambda: db.count("processing") == n)


def test_a_hundred_equal_lines_cost_one_call_over_two_pools(make_openai_pool, db, llm):
    pools = [make_openai_pool(pool={"workers": 2, "in_flight": 100, "claim_batch": 10}) for _ in range(2)]
    llm.behave({"hold": "answer"})
    insert_equal(db, 100)
    wait_claimed(db, 100)
    wait_until(lambda: llm.in_flight == 1)
    stays(lambda: llm.calls == 1, 1, "a second call")
    llm.release()
    all_completed(db, 100)
    assert llm.calls == 1
    check_one_rating(db, 100)
    wait_until(lambda: total(pools, "cache_shared_total") + total(pools, "cache_hits_total") == 99)
    wait_landed(db)


def test_different_lines_are_asked_about_together(make_openai_pool, db, llm):
    """Of a job's lines some are asked about, others wait, and the ready ones do not wait to be stored."""
    make_openai_pool(pool={"workers": 1})
    llm.behave({"hold": "first", "text": "Common."}, "good")
    first = db.insert(rep("Common."))
    wait_until(lambda: llm.in_flight == 1)
    second = db.insert(rep("Own one.", "Common.", "Own two."))
    session = db.job(second).session_id
    wait_until(lambda: [row.line_index for row in db.ratings(session)] == [0, 2])
    assert db.job(second).status == "processing"
    llm.release()
    for job in (first, second):
        assert db.wait(job, "completed").attempts == 0
    assert [row.cached for row in db.ratings(session)] == [False, True, False]
    assert llm.calls == 2
    assert db.session(session).rated_lines == 3 and db.session(session).status == "completed"


def test_equal_lines_of_one_job_cost_one_line(make_openai_pool, db, llm):
    make_openai_pool()
    job, ratings = db.completed(rep("Same.", "Other.", "same. ", "SAME."))
    assert [len(request["question"]["lines"]) for request in llm.requests] == [2]
    assert [row.cached for row in ratings] == [False, False, True, True]
    assert job.result["rated"] == 4 and job.result["cached"] == 2
    wait_landed(db)


def test_without_a_cache_each_asks_by_itself(make_openai_pool, db, llm):
    make_openai_pool(cache={"ttl": "0"})
    llm.behave({"delay_ms": 300})
    insert_equal(db, 8)
    all_completed(db, 8)
    assert llm.calls == 8
    assert not flights(db)


def test_when_the_asker_dies_another_takes_over(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 3, "claim_batch": 4})
    llm.behave({"hold": "for ever", "first": 1}, "good")
    insert_equal(db, 12)
    wait_claimed(db, 12)
    wait_until(lambda: llm.in_flight == 1)
    asker = int(wait_until(lambda: flights(db))[0].asker.split("/")[2])
    pool.kill(asker, signal.SIGSTOP)
    db.rows("UPDATE phrase_flights SET until = now() + interval '1 hour'")      # it is not the lease that ends
    pool.kill(asker)
    all_completed(db, 12, 30)
    assert llm.calls == 2
    rows = db.rows("SELECT * FROM line_ratings")
    assert len(rows) == 12 and [row.cached for row in rows].count(False) == 1


def test_what_a_lost_host_was_asking_about_is_taken_over(make_openai_pool, db, llm):
    """Its lease runs out; until then nobody asks."""
    make_openai_pool()
    db.completed(rep(LINE))
    key = db.value("SELECT cache_key FROM phrase_cache")
    db.rows("DELETE FROM phrase_cache")
    wait_landed(db)
    calls = llm.calls
    db.rows("INSERT INTO phrase_flights VALUES (%s, %s, now() + interval '3 s')", key, FOREIGN)
    insert_equal(db, 3)
    stays(lambda: llm.calls == calls, 1.5, "asked although another host does")
    all_completed(db, 4, 30)
    assert llm.calls == calls + 1
    wait_landed(db)


def test_a_long_call_keeps_its_lease(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 2, "claim_batch": 1})
    llm.behave({"hold": "answer"})
    insert_equal(db, 2)
    row = wait_until(lambda: flights(db))[0]
    wait_until(lambda: flights(db)[0].until > row.until)
    wait_until(lambda: db.value("SELECT now() > %s", row.until), what="the first lease to be over")
    stays(lambda: llm.calls == 1, 1)
    llm.release()
    all_completed(db, 2)
    assert llm.calls == 1
    assert pool.metric("rater_failures_total") == 0


def test_a_line_that_gets_no_rating_keeps_nobody_waiting_in_a_row(make_openai_pool, db, llm):
    """The first answer without a rating sets all the others free at once."""
    make_openai_pool(pool={"workers": 3, "claim_batch": 8})
    llm.behave({"do": "unknown_rating", "hold": "first", "first": 1}, {"hold": "others"})
    insert_equal(db, 20)
    wait_claimed(db, 20)
    wait_until(lambda: llm.in_flight == 1)
    llm.release("first")
    wait_until(lambda: llm.in_flight >= 19, 30, "the others to be asked at the same time")
    llm.release()
    all_completed(db, 20)


def test_lines_that_nobody_rates_end_by_name_and_soon(make_openai_pool, db, llm):
    make_openai_pool(pool={"workers": 2})
    llm.behave("refusal")
    jobs = insert_equal(db, 30)
    for job in jobs:
        assert "no rating for line 0" in db.wait(job, "failed").error
    assert db.value("SELECT count(*) FROM phrase_cache") == 0
    assert llm.calls <= 30 * 3


def test_a_rating_that_the_database_refuses_keeps_nobody_waiting(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 2, "claim_batch": 4}, rater={"lines_per_call": 1})
    pool.alarms_expected = True
    db.rows("ALTER TABLE line_ratings ADD CHECK (line_text <> %s)" % "'Refused.'")
    llm.behave({"delay_ms": 500, "text": "Slow."}, "good")
    jobs = [db.insert(rep("Refused.", "Slow.")) for _ in range(8)]
    for job in jobs:
        assert "check constraint" in db.wait(job, "failed").error
    wait_until(lambda: not db.value("SELECT count(*) FROM phrase_flights WHERE asker <> ''"))


def test_waiting_for_a_provider_that_is_away_costs_no_attempt(make_openai_pool, db, llm):
    make_openai_pool(pool={"workers": 2, "claim_batch": 5})
    llm.behave({"do": "503", "delay_ms": 300, "first": 3}, "good")
    insert_equal(db, 20)
    all_completed(db, 20)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert llm.calls < 10


def test_nobody_waits_beyond_half_of_its_time(make_openai_pool, db, llm):
    """However long the other one keeps its lease: here it is renewed, and nothing ever comes."""
    make_openai_pool(queue={"job_deadline": "10s"})
    db.completed(rep(LINE))
    key = db.value("SELECT cache_key FROM phrase_cache")
    db.rows("DELETE FROM phrase_cache")
    wait_landed(db)
    db.rows("INSERT INTO phrase_flights VALUES (%s, %s, now() + interval '1 hour')", key, FOREIGN)
    job = db.wait(db.insert(rep(LINE)), "completed")
    assert job.attempts == 0 and job.times_claimed == 1
    assert [row.asker for row in flights(db)] == [FOREIGN]


def test_a_stopped_pool_leaves_nothing_behind(make_openai_pool, db, llm):
    first, second = make_openai_pool(), make_openai_pool(start=False)
    llm.behave({"hold": "answer"})
    insert_equal(db, 4)
    wait_claimed(db, 4)
    wait_until(lambda: llm.in_flight == 1)
    assert first.stop(signal.SIGQUIT) == 0
    wait_until(lambda: db.count("pending") == 4)
    calls = llm.calls       # one; or two, if a worker that heard later had claimed what the first gave back
    llm.behave("good")
    second.start()
    all_completed(db, 4)
    assert calls <= 2 and llm.calls == calls + 1


def test_flights_of_lost_hosts_are_cleaned_away(make_openai_pool, db):
    db.rows("INSERT INTO phrase_flights SELECT n::text, %s, now() - interval '2 minutes' FROM generate_series(1, 5) n",
            FOREIGN)
    db.rows("INSERT INTO phrase_flights VALUES ('x', %s, now())", FOREIGN)
    make_openai_pool(queue={"poll": "200ms"})
    wait_until(lambda: [row.cache_key for row in flights(db)] == ["x"])


def test_without_the_table_each_asks_by_itself(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    db.rows("DROP TABLE phrase_flights")
    pool.alarms_expected = True
    insert_equal(db, 5)
    all_completed(db, 5)
    pool.wait_log("asking the rater about all lines")


@pytest.mark.skipif(not test_pgbouncer.BOUNCER, reason="pgbouncer is not installed")
def test_behind_a_transaction_pooler(make_openai_pool, db, llm, bouncer):
    for _ in range(2):
        make_openai_pool(database={"conninfo": bouncer.conninfo(db.name), "pool_mode": "transaction"},
                         pool={"workers": 2, "claim_batch": 10})
    llm.behave({"hold": "answer"})
    insert_equal(db, 60)
    wait_claimed(db, 60)
    wait_until(lambda: llm.in_flight == 1)
    llm.release()
    all_completed(db, 60)
    assert llm.calls == 1
    check_one_rating(db, 60)


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_restart_of_the_database_loses_nothing(make_openai_pool, db, llm, postgres, restarts):
    """The table is emptied by a crash: what was asked about may be asked about twice."""
    pool = make_openai_pool(pool={"workers": 2})
    pool.alarms_expected = True
    llm.behave({"delay_ms": 500})
    for n in range(restarts):
        insert_equal(db, 10, f"{LINE} {n}")
        wait_until(lambda: llm.calls > n)
        postgres.restart()
    all_completed(db, 10 * restarts)
    assert db.value("SELECT count(*) FROM line_ratings") == 10 * restarts
    wait_landed(db)


def test_many_lines_many_workers(make_openai_pool, db, llm):
    """Overlapping jobs in all orders: nobody waits for each other, each phrase is asked about once."""
    make_openai_pool(pool={"workers": 4, "claim_batch": 3})
    llm.behave({"delay_ms": 20})
    phrases = [f"Phrase {n}." for n in range(12)]
    for n in range(60):
        db.insert(rep(*(phrases[(n * 7 + k * (1 + n % 5)) % 12] for k in range(6))))
    all_completed(db, 60)
    assert db.value("SELECT count(*) FROM line_ratings") == 360
    assert sum(len(request["question"]["lines"]) for request in llm.requests) == 12
    wrong = db.value("SELECT count(*) FROM line_ratings r JOIN phrase_cache c ON lower(r.line_text) = lower(c.phrase)"
                     " WHERE r.rating <> c.rating OR r.alternatives <> c.alternatives")
    assert wrong == 0
    wait_landed(db)


def test_whoever_dies_or_loses_its_connection_nothing_is_lost_or_stays_behind(make_openai_pool, db, llm):
    """Workers are killed and connections cut at random moments, while all want the same few lines."""
    pools = [make_openai_pool(pool={"workers": 3, "claim_batch": 5}) for _ in range(2)]
    llm.behave({"do": "missing_line", "probability": 0.1}, {"do": "500", "probability": 0.05}, {"delay_ms": 50})
    phrases = [f"Phrase {n}." for n in range(40)]
    for round_ in range(8):
        for n in range(30):
            db.insert(rep(*(phrases[(round_ * 5 + n * 3 + k * k) % 40] for k in range(5))))
        workers = wait_until(lambda: pools[round_ % 2].workers())
        pools[round_ % 2].kill(workers[round_ % len(workers)])
        db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gradingd worker'"
                " AND datname = current_database() AND pid %% 3 = %s", round_ % 3)
        db.rows("DELETE FROM phrase_cache WHERE cache_key LIKE %s", f"{round_:x}%")
    all_completed(db, 240)
    assert db.value("SELECT count(*) FROM line_ratings") == 240 * 5
    assert db.value("SELECT count(*) FROM line_ratings r JOIN grading_jobs j ON j.id = r.job_id WHERE r.line_text <>"
                    " (SELECT e ->> 'text' FROM jsonb_array_elements(j.job_data -> 'transcript') e"
                    "  WHERE (e ->> 'index')::int = r.line_index)") == 0
    # What the scripted model says of a line depends on its words alone.
    assert db.value("SELECT count(*) FROM (SELECT FROM line_ratings GROUP BY line_text"
                    " HAVING count(DISTINCT rating) > 1) odd") == 0
    for row in db.rows("SELECT line_text, rating FROM line_ratings GROUP BY 1, 2"):
        assert row.rating == expected_rating(row.line_text, ["excellent", "good", "poor", "missed_opportunity"])
    wait_until(lambda: not db.value("SELECT count(*) FROM phrase_flights WHERE asker <> '' AND until > now()"), what="no flight left")
