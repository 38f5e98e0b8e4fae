"""What a rating says about where it comes from, what makes two lines equal, and gradingctl cache."""
import json

import pytest

from harness import gradingctl, rep, wait_until

MODEL = "gpt-4o-mini-scripted"


def check_same_but_source(fresh, cached):
    """A cached rating is documented as well as the fresh one it repeats."""
    assert fresh.provenance["source"] == "fresh" and not fresh.cached
    assert cached.provenance["source"] == "cache" and cached.cached
    assert dict(fresh.provenance, source=None) == dict(cached.provenance, source=None)
    assert (fresh.rating, fresh.alternatives, fresh.reason) == (cached.rating, cached.alternatives, cached.reason)


def test_provenance_of_a_models_ratings(make_openai_pool, db):
    make_openai_pool()
    fresh = db.completed(rep("Hello."))[1][0]
    cached = db.completed(rep("hello. "))[1][0]
    check_same_but_source(fresh, cached)
    origin = fresh.provenance
    assert origin["rater"] == "openai" and origin["model"] == MODEL     # asked for as gpt-4o-mini
    for name in ("prompt", "schema", "fingerprint"):
        assert len(origin[name]) == 16 and set(origin[name]) <= set("0123456789abcdef")
    assert origin["prompt"] != origin["schema"]
    assert db.value("SELECT %s::timestamptz - now() BETWEEN interval '-1 minute' AND interval '1 second'", origin["at"])
    assert db.value("SELECT provenance->>'model' FROM phrase_cache") == MODEL


def test_provenance_of_the_rubrics_ratings(pool, db):
    fresh = db.completed(rep("Hello."))[1][0]
    check_same_but_source(fresh, db.completed(rep("Hello."))[1][0])
    assert fresh.provenance["rater"] == fresh.provenance["model"] == "rubric"
    assert fresh.provenance["prompt"] and fresh.provenance["schema"]


def test_a_deep_queue_is_not_slowed_by_a_cache_that_spares_no_calls(make_pool, db):
    """The rubric rates faster than the cache answers; it keeps the cache while there is time for that."""
    pool = make_pool(db, pool={"workers": 1, "claim_batch": 16})
    pool.ctl("pause")
    db.insert_many(300)
    pool.ctl("resume")
    wait_until(lambda: db.count("completed") == 300, what="all to be rated")
    kept = db.value("SELECT count(*) FROM phrase_cache")
    assert 16 <= kept < 300
    assert db.value("SELECT count(DISTINCT line_text) FROM line_ratings WHERE NOT cached") == 300
    pool.wait_metric("cache_misses_total", kept)        # the others were not looked up either
    assert not db.completed(rep("And a last one."))[1][0].cached
    assert db.completed(rep("And a last one."))[1][0].cached


@pytest.mark.parametrize("stored", ["null", "[]", "{}", '"text"', '{"a": "b}"}'])
def test_whatever_the_cache_says_of_itself_it_is_said_to_be_the_cache(pool, db, stored):
    db.completed(rep("Hello."))
    db.rows("UPDATE phrase_cache SET provenance = %s::jsonb", stored)
    at = db.value(
        "SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM phrase_cache")
    cached = db.completed(rep("Hello."))[1][0]
    kept = json.loads(stored) if stored.startswith("{") else {}
    assert cached.cached and cached.provenance == dict(kept, at=at, source="cache")
    db.rows("UPDATE phrase_cache SET provenance = NULL")
    assert db.completed(rep("Hello."))[1][0].provenance == {"at": at, "source": "cache"}


@pytest.mark.parametrize("change, differs", [
    ({"openai": {"model": "other"}}, {"model"}),
    ({"openai": {"response_format": "json_object"}}, {"schema"}),
    ({"rater": {"scale": ["good", "bad"]}}, {"schema", "prompt"}),      # the prompt names the ratings
    ({"rater": {"alternatives": 1}}, {"schema", "prompt"}),
    ({"rater": {"prompt_file": "prompt.txt"}}, {"prompt"}),
], ids=["model", "format", "scale", "alternatives", "prompt"])
def test_what_determines_a_rating_is_part_of_the_key_and_of_provenance(make_openai_pool, db, change, differs):
    pool = make_openai_pool()
    before = db.completed(rep("Hello."))[1][0].provenance
    assert db.completed(rep("Hello."))[1][0].cached
    if "prompt_file" in change.get("rater", {}):
        path = pool.directory / "prompt.txt"
        path.write_text("Rate: {{scale}}, {{alternatives}}.", encoding="utf-8")
        change = {"rater": {"prompt_file": str(path)}}
    pool.configure(**change)
    workers = pool.workers()
    pool.ctl("reload")
    wait_until(lambda: not set(workers) & set(pool.workers()) and pool.show("status")["workers_idle"] == len(workers))
    row = db.completed(rep("Hello."))[1][0]
    assert not row.cached
    assert {name for name in ("model", "prompt", "schema") if row.provenance[name] != before[name]} == differs
    assert row.provenance["fingerprint"] != before["fingerprint"]


# ---- gradingctl cache ----

@pytest.fixture
def cache(db):
    def run(*words, where=()):
        return gradingctl(*(where or ("-d", db.conninfo)), *words)
    return run


def answer(result):
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def fill(db, *groups):
    for n, (model, prompt, count) in enumerate(groups):
        db.rows("INSERT INTO phrase_cache (cache_key, phrase, rating, provenance) SELECT %s || n::text, 'x', 'good',"
                " jsonb_strip_nulls(jsonb_build_object('rater', 'openai', 'model', %s::text, 'prompt', %s::text))"
                " FROM generate_series(1, %s) n", f"{n}-", model, prompt, count)


def test_an_empty_cache(cache):
    shown = answer(cache("--json", "cache"))
    assert shown["cache"]["entries"] == 0 and shown["groups"] == []
    assert shown["cache"]["oldest"] is None and shown["cache"]["hit_percent"] is None
    assert "entries:" in cache("cache").stdout


def test_what_it_holds(db, cache):
    fill(db, ("one", "aaaa1111", 3), ("one", "bbbb2222", 2), ("two", "aaaa1111", 1), (None, None, 4))
    db.rows("UPDATE phrase_cache SET created_at = now() - interval '25 hours' WHERE cache_key = '0-1'")
    shown = answer(cache("--json", "cache"))
    assert shown["cache"]["entries"] == 10 and shown["cache"]["expired"] == 1 and shown["cache"]["bytes"] > 8192
    assert [(row["model"], row["prompt"], row["entries"]) for row in shown["groups"]] == [
        (None, None, 4), ("one", "aaaa1111", 3), ("one", "bbbb2222", 2), ("two", "aaaa1111", 1)]
    assert min(row["oldest"] for row in shown["groups"]) == shown["cache"]["oldest"]
    text = cache("cache").stdout
    assert "one" in text and "bbbb2222" in text


def test_the_hit_rate_is_the_daemons_where_it_answers(make_openai_pool, db, cache):
    pool = make_openai_pool()
    for _ in range(4):
        db.completed(rep("Hello."))
    pool.wait_metric("cache_hits_total", 3)
    for where in (("-c", pool.config_path), ("-d", db.conninfo, "-s", pool.socket)):
        shown = answer(cache("--json", "cache", where=where))["cache"]
        assert shown["hit_percent"] == 75 and shown["looked_up"] == 4 and "since its start" in shown["hits_from"]
    db.rows("UPDATE line_ratings SET rated_at = now() - interval '2 days' WHERE cached AND session_id ="
            " (SELECT max(session_id::text)::uuid FROM line_ratings WHERE cached)")
    shown = answer(cache("--json", "cache"))["cache"]
    assert shown["hit_percent"] == 66.7 and shown["looked_up"] == 3 and "24 hours" in shown["hits_from"]


@pytest.mark.parametrize("words, dropped, left", [
    (["--model", "one"], 5, [(None, None, 4), ("two", "aaaa1111", 1)]),
    (["--prompt", "aaaa"], 4, [(None, None, 4), ("one", "bbbb2222", 2)]),
    (["--model", "one", "--prompt", "aaaa1111"], 3, [(None, None, 4), ("one", "bbbb2222", 2), ("two", "aaaa1111", 1)]),
    (["--all"], 10, []),
    (["--model", "On%"], 0, None),
])
def test_dropping(db, cache, words, dropped, left):
    groups = [("one", "aaaa1111", 3), ("one", "bbbb2222", 2), ("two", "aaaa1111", 1), (None, None, 4)]
    fill(db, *groups)
    assert answer(cache("--json", "cache", "drop", *words)) == {"dropped": dropped}
    shown = answer(cache("--json", "cache"))["groups"]
    assert left is None or [(row["model"], row["prompt"], row["entries"]) for row in shown] == left
    assert cache("cache", "drop", *words).stdout.startswith("0 entries dropped")


def test_dropping_a_large_cache_goes_by_batches(db, cache):
    fill(db, ("one", "aaaa1111", 30000), ("two", "bbbb2222", 10))
    assert cache("cache", "drop", "--model", "one").stdout == "30000 entries dropped\n"
    assert db.value("SELECT count(*) FROM phrase_cache") == 10


def test_lines_are_rated_anew_after_a_drop(make_openai_pool, db, llm, cache):
    make_openai_pool()
    db.completed(rep("Hello."))
    assert answer(cache("--json", "cache", "drop", "--model", MODEL)) == {"dropped": 1}
    assert not db.completed(rep("Hello."))[1][0].cached
    assert llm.calls == 2


@pytest.mark.parametrize("words", [
    ["cache", "drop"], ["cache", "drip"], ["cache", "--all"], ["cache", "drop", "--all", "--model", "x"],
    ["cache", "drop", "--prompt", "no hash"], ["cache", "drop", "--prompt", "ab"], ["progress", "x", "--model", "y"]])
def test_unclear_words_drop_nothing(db, cache, words):
    fill(db, ("x", "ab12", 1))
    result = cache(*words)
    assert result.returncode == 1 and result.stderr.startswith("gradingctl: ")
    assert db.value("SELECT count(*) FROM phrase_cache") == 1


def test_a_model_with_an_odd_name_harms_no_terminal(db, cache):
    fill(db, ("red\u001b[31m\u009b", "ab12", 1))
    assert "\x1b" not in cache("cache").stdout and "\x9b" not in cache("cache").stdout
    assert answer(cache("--json", "cache"))["groups"][0]["model"] == "red\u001b[31m\u009b"


def test_a_database_without_tables_is_said_to_be_one(bare_db):
    result = gradingctl("-d", bare_db.conninfo, "cache")
    assert result.returncode == 78 and "gradingctl migrate" in result.stderr


def test_who_talks_to_whom_is_part_of_the_key(make_openai_pool, db, llm):
    """The model is told the names, and may use them in what it proposes."""
    make_openai_pool()
    for customer in ("Ann", "Bob", "Ann"):
        data = {"transcript": [{"speaker": "rep", "text": "Shall we?"}], "customerName": customer}
        db.wait(db.insert(job_data=data), "completed")
    assert llm.calls == 2
