"""A job's life as an application sees it: plain inserts in, ratings and counters out."""
import json
import os
import signal

import pytest

from harness import SCALE, new_session, promptly, rep, stays, wait_until, within


def test_a_plain_insert_is_rated(pool, db):
    session = new_session()
    job, ratings = db.completed(rep("Hi, how are you today?", "We save you forty percent."), session=session)
    assert [(r.line_index, r.line_text) for r in ratings] == [
        (0, "Hi, how are you today?"), (1, "We save you forty percent.")]
    for rating in ratings:
        assert rating.rating in SCALE
        assert rating.job_id == job.id
        assert rating.cached is False
        assert rating.provenance["rater"] == "rubric"
        assert isinstance(rating.alternatives, list)
        assert rating.rated_at >= job.created_at


def test_a_completed_job_says_what_was_done(pool, db):
    job, _ = db.completed(rep("One.", "") + rep("Two.", first=2, speaker="customer"))
    assert (job.attempts, job.times_claimed, job.error, job.failed_at) == (0, 1, None, None)
    assert job.created_at <= job.started_at <= job.completed_at <= job.updated_at
    assert (job.result["lines"], job.result["rated"], job.result["skipped"]) == (1, 1, 1)
    assert job.result["rater"] == "rubric"


def test_a_result_has_the_keys_that_the_applications_own_worker_wrote(pool, db):
    session = new_session()
    for batch in range(2):
        lines = [{"speaker": "rep", "text": f"Hello {n}."} for n in range(batch, batch + 2)]
        db.insert(session=session, job_data={"transcript": lines, "batchIndex": batch, "batchSize": 2, "totalBatches": 2})
    wait_until(lambda: db.count("completed") == 2, what="both to be rated")
    results = db.rows("SELECT result FROM grading_jobs ORDER BY job_data -> 'batchIndex'")
    assert [[row.result[key] for key in ("rated", "batchIndex", "totalBatches")] for row in results] == [
        [2, 0, 2], [2, 1, 2]]
    assert sum(row.result["cached"] for row in results) == db.value("SELECT count(*) FROM line_ratings WHERE cached")


def test_the_session_counts_its_batches_and_lines(pool, db):
    session = new_session()
    for batch in range(3):
        db.insert(session=session, job_data={
            "transcript": rep("A.", "B.", "", first=batch * 5), "batchIndex": batch, "totalBatches": 3})
    row = wait_until(lambda: (s := db.session(session)) and s.status == "completed" and s)
    assert (row.total_batches, row.completed_batches, row.failed_batches) == (3, 3, 0)
    assert (row.total_lines, row.rated_lines, row.skipped_lines) == (6, 6, 3)
    assert row.started_at <= row.first_rated_at <= row.completed_at


def test_a_sessions_times_are_in_order_whoever_commits_first(pool, db):
    """A transaction that began earlier may come to the session's row later."""
    session = new_session()
    db.completed(rep("A."), session=session, job_data={"transcript": rep("A."), "totalBatches": 2})
    with db.connect(autocommit=False) as earlier:
        earlier.execute("SELECT FROM grading_sessions WHERE session_id = %s FOR UPDATE", (session,))
        job = db.insert(session=session, job_data={"transcript": rep("B.", first=1), "totalBatches": 2})
        db.wait_blocked()
        earlier.execute("UPDATE grading_sessions SET first_rated_at = clock_timestamp(), updated_at = clock_timestamp()"
                        " WHERE session_id = %s", (session,))
    db.wait(job, "completed")
    row = db.session(session)
    assert row.started_at <= row.first_rated_at <= row.completed_at <= row.updated_at


def test_a_session_is_not_complete_before_its_announced_batches_are(pool, db):
    session = new_session()
    db.completed(rep("A."), session=session, job_data={"transcript": rep("A."), "totalBatches": 2})
    row = db.session(session)
    assert (row.status, row.completed_at, row.total_batches) == ("processing", None, 2)


def test_a_session_with_a_failed_batch_is_complete_and_says_so(pool, db):
    session = new_session()
    db.completed(rep("A."), session=session)
    db.wait(db.insert(session=session, job_data=[]), "failed")
    row = db.session(session)
    assert (row.completed_batches, row.failed_batches, row.total_batches) == (1, 1, 2)


def test_a_full_grading_job_is_rated_like_the_others(pool, db):
    job, ratings = db.completed(rep("One.", "Two."), job_type="full_grading")
    assert len(ratings) == 2


def test_an_unknown_job_type_fails_by_name(pool, db):
    assert "espresso" in db.wait(db.insert(job_type="espresso"), "failed").error


def test_an_equal_line_is_answered_by_the_cache(pool, db):
    _, first = db.completed(rep("Is your husband home?"))
    job, second = db.completed(rep("Is your husband home?"))
    assert [r.cached for r in first + second] == [False, True]
    assert first[0].rating == second[0].rating
    assert first[0].alternatives == second[0].alternatives
    assert job.result["cached"] == 1
    entry = db.row("SELECT * FROM phrase_cache")
    assert (entry.phrase, entry.rating, entry.alternatives) == (
        "Is your husband home?", first[0].rating, first[0].alternatives)


def test_a_whole_second_run_comes_from_the_cache(pool, db):
    texts = [f"Sentence number {n}." for n in range(30)]
    db.completed(rep(*texts))
    _, ratings = db.completed(rep(*texts, first=100))
    assert all(r.cached for r in ratings) and len(ratings) == 30
    assert db.value("SELECT count(*) FROM phrase_cache") == 30


def test_without_a_lifetime_nothing_is_cached(make_pool, db):
    make_pool(db, cache={"ttl": "0"})
    db.completed(rep("Same."))
    _, ratings = db.completed(rep("Same."))
    assert not ratings[0].cached
    assert db.value("SELECT count(*) FROM phrase_cache") == 0


def test_an_expired_entry_is_not_used_and_renewed(pool, db):
    db.completed(rep("Same."))
    db.rows("UPDATE phrase_cache SET created_at = now() - interval '25 hours'")
    _, ratings = db.completed(rep("Same."))
    assert not ratings[0].cached
    assert db.value("SELECT count(*) FROM phrase_cache WHERE created_at > now() - interval '1 hour'") == 1


@pytest.mark.parametrize("change", ["rating = 'splendid'", "alternatives = NULL", "rating = ''",
                                    "alternatives = '{NULL}'", "provenance = '[]'", "reason = repeat('x', 100000)"])
def test_whatever_stands_in_the_cache_no_grade_is_invented(pool, db, change):
    db.rows("ALTER TABLE phrase_cache ALTER alternatives DROP NOT NULL")
    db.completed(rep("Same."))
    db.rows(f"UPDATE phrase_cache SET {change}")
    _, ratings = db.completed(rep("Same."))
    assert ratings[0].rating in SCALE


def test_jobs_go_by_priority_then_age(make_pool, db):
    pool = make_pool(db, start=False, pool={"workers": 1, "claim_batch": 1})
    order = [db.insert(priority=0), db.insert(priority=0), db.insert(priority=9), db.insert(priority=-1)]
    pool.start()
    wait_until(lambda: db.count("completed") == 4)
    done = [row.id for row in db.rows("SELECT id FROM grading_jobs ORDER BY completed_at")]
    assert done == [order[2], order[0], order[1], order[3]]


def test_a_job_for_later_is_not_claimed_before(pool, db):
    def lateness():
        later = db.value("SELECT now() + interval '1500 ms'")
        row = db.wait(db.insert(available_at=later), "completed")
        assert row.started_at >= later
        return (row.started_at - later).total_seconds()

    within(7, lateness)     # no later than one poll


def test_an_insert_wakes_a_worker_at_once(make_pool, db):
    pool = make_pool(db, queue={"poll": "10m"})
    wait_until(lambda: pool.show("status")["database_listening"])

    def inserted_to_completed():
        job, _ = db.completed(rep(new_session()))
        return (job.completed_at - job.created_at).total_seconds()

    promptly(inserted_to_completed, 20)


def test_jobs_inserted_in_one_burst_use_all_workers(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 3, "in_flight": 4})
    llm.behave({"hold": "all"})
    db.insert_many(12)
    wait_until(lambda: llm.in_flight == 12)
    llm.release()
    wait_until(lambda: [row["completed"] for row in pool.show("workers")[1:]] == [4, 4, 4])
    assert db.count("completed") == 12


def test_a_job_inserted_in_a_long_transaction_is_found_after_its_commit(make_pool, db):
    make_pool(db, queue={"poll": "1s"})
    with db.connect(autocommit=False) as other:
        other.execute("INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (gen_random_uuid(), 'line_rating',"
                      " '{\"transcript\": []}')")
        db.completed(rep("Another one."))
    wait_until(lambda: db.count("completed") == 2)


def queue_known(make_pool, db, poll):
    """A pool that has looked at the queue and claimed from it, so that it knows where the queue begins."""
    pool = make_pool(db, queue={"poll": poll}, pool={"claim_batch": 4})
    db.insert_many(40)
    wait_until(lambda: db.count("completed") == 40)
    wait_until(lambda: pool.show("status")["database_listening"])
    return pool


def test_a_priority_nobody_has_used_before_is_found_at_once(make_pool, db):
    queue_known(make_pool, db, "10m")
    for priority in (5, -3, 2147483647, -2147483648, 0):
        db.completed(rep(f"Priority {priority}."), priority=priority)


def test_jobs_made_pending_by_hand_with_an_old_age_wait_no_longer_than_a_poll(make_pool, db):
    queue_known(make_pool, db, "1s")
    with db.connect() as other:     # a backlog all the while, so that claims start where the last one ended
        other.execute("UPDATE grading_jobs SET status = 'pending', available_at = now() - interval '1 day'"
                      " WHERE id IN (SELECT id FROM grading_jobs LIMIT 10)")
    wait_until(lambda: db.count("completed") == 40)
    assert db.value("SELECT count(*) FROM grading_jobs WHERE times_claimed = 2") == 10


def test_jobs_of_many_priorities_go_in_their_order(make_pool, db):
    pool = make_pool(db, pool={"workers": 1, "claim_batch": 1})
    pool.ctl("pause")
    # More than floors are kept for; at once, as a claim may be under way.
    db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data, priority)"
            " SELECT gen_random_uuid(), 'line_rating', %s, n - 15 FROM generate_series(0, 29) n ORDER BY n * 7 %% 30",
            json.dumps({"transcript": rep("One of thirty.")}))
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 30)
    order = [row.priority for row in db.rows("SELECT priority FROM grading_jobs ORDER BY started_at")]
    assert order == sorted(order, reverse=True)


def test_a_due_job_is_found_behind_many_priorities_that_wait_for_later(make_pool, db):
    queue_known(make_pool, db, "1s")
    db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data, priority, available_at) SELECT gen_random_uuid(),"
            " 'line_rating', '{\"transcript\": []}', n, now() + interval '1 day' FROM generate_series(1, 120) n")
    db.rows("UPDATE grading_jobs SET status = 'pending' WHERE id = (SELECT id FROM grading_jobs WHERE priority = 0 LIMIT 1)")
    wait_until(lambda: db.count("pending") == 120)
    wait_until(lambda: db.count("completed") == 40)


def test_workers_look_for_themselves_while_the_janitor_is_away(make_pool, db):
    pool = queue_known(make_pool, db, "500ms")
    os.kill(pool.children()[0], signal.SIGSTOP)
    try:
        db.completed(rep("Who tells me?"))
    finally:
        os.kill(pool.children()[0], signal.SIGCONT)


def test_a_session_row_that_goes_away_meanwhile_is_made_anew(make_openai_pool, db, llm):
    make_openai_pool()
    llm.behave({"hold": "all"})
    session = new_session()
    job = db.insert(rep("One.", "Two."), session=session)
    wait_until(lambda: llm.in_flight == 1)
    db.rows("DELETE FROM grading_sessions")
    llm.release()
    db.wait(job, "completed")
    assert len(db.ratings(session)) == 2
    row = db.session(session)
    assert (row.status, row.completed_batches, row.rated_lines, row.total_lines) == ("completed", 1, 2, 2)


def test_a_claim_taken_over_under_the_same_number_is_lost(make_openai_pool, db, llm):
    """What a crash of the server leaves behind whose last commits, claims among them, were not flushed."""
    pool = make_openai_pool()
    llm.behave({"hold": "all"})
    job = db.insert(rep("One."))
    wait_until(lambda: llm.in_flight == 1)
    db.rows("UPDATE grading_jobs SET claimed_by = 'elsewhere/1/2/3' WHERE id = %s", job)
    llm.release()
    pool.wait_metric("claims_lost_total", 1)
    assert (db.job(job).status, db.job(job).claimed_by) == ("processing", "elsewhere/1/2/3")
    assert not db.ratings(db.job(job).session_id)


def test_equal_lines_of_one_batch_are_cached_once(pool, db):
    _, ratings = db.completed(rep("Again and again.", "again  AND again.", "Again and again."))
    assert len({(r.rating, tuple(r.alternatives)) for r in ratings}) == 1
    assert db.value("SELECT count(*) FROM phrase_cache") == 1


def test_the_same_line_rated_again_stays_one_row(pool, db):
    session = new_session()
    first, _ = db.completed(rep("The same wording."), session=session)
    again, _ = db.completed(rep("The same wording."), session=session)
    assert [(r.line_text, r.job_id) for r in db.ratings(session)] == [("The same wording.", again.id)]
    assert first.id != again.id and db.session(session).rated_lines == 1


def test_two_sessions_do_not_mix(pool, db):
    sessions = [new_session(), new_session()]
    for session in sessions:
        db.completed(rep(session), session=session)
    assert [[r.line_text for r in db.ratings(s)] for s in sessions] == [[s] for s in sessions]


def test_a_custom_scale_is_used(make_openai_pool, db):
    make_openai_pool(rater={"scale": ["a", "b"], "alternatives": 1})
    _, ratings = db.completed(rep("An essay.", "Another."))
    assert {r.rating for r in ratings} <= {"a", "b"}
    assert all(len(r.alternatives) == 1 for r in ratings)


def test_nothing_happens_to_jobs_that_are_done(pool, db):
    finished = [db.insert(status=status) for status in ("completed", "failed")]
    db.completed(rep("Something else."))
    stays(lambda: [db.job(job).times_claimed for job in finished] == [0, 0], 0.3)
