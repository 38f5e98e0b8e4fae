"""A phrase that somebody deletes from phrase_cache is gone for the daemon too, under all its keys."""
import base64
import contextlib
import json
import pathlib
import re

import pytest

from harness import gradingctl, rep, wait_until

JS_BLANKS = "[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
FOLD = pathlib.Path(__file__).parents[2] / "src/base/fold.c"


def application_key(phrase):
    """As the application that the table comes from hashes a phrase."""
    words = re.sub(JS_BLANKS + "+", " ", re.sub(f"^{JS_BLANKS}+|{JS_BLANKS}+$", "", phrase.lower()))
    return re.sub("[^a-zA-Z0-9]", "", base64.b64encode(words.encode()).decode())


def said(phrase, customer):
    return {"transcript": [{"speaker": "rep", "text": phrase}], "customerName": customer}


def rate(db, phrase, customer="Ann"):
    job = db.wait(db.insert(job_data=said(phrase, customer)), "completed")
    return db.ratings(job.session_id)[0]


def phrases(db):
    return sorted(row.phrase for row in db.rows("SELECT phrase FROM phrase_cache"))


def make_application(db):
    db.rows("CREATE TABLE live_sessions (id uuid PRIMARY KEY, analytics jsonb)")
    assert db.value("SELECT grading_follow_phrase_cache()") is True
    assert db.value("SELECT grading_follow_phrase_cache()") is True


def test_what_the_application_deletes_by_its_own_key_is_asked_about_again(make_openai_pool, db, llm):
    make_application(db)
    make_openai_pool()
    fresh = [rate(db, phrase, customer) for phrase, customer in (
        ("Shall we  start?", "Ann"), ("shall we START? ", "Bob"), ("Not now.", "Ann"))]
    assert phrases(db).count("Not now.") == 2 and len(phrases(db)) == 5, "each with a copy"
    known = db.row("SELECT * FROM phrase_cache WHERE cache_key = %s", application_key("Shall we start?"))
    assert (known.phrase, known.rating, known.alternatives) == (
        "shall we START? ", fresh[1].rating, fresh[1].alternatives)
    assert rate(db, "SHALL we start?").cached and llm.calls == 3

    db.rows("DELETE FROM phrase_cache WHERE cache_key = %s", application_key("  Shall we start? "))
    assert phrases(db) == ["Not now."] * 2
    for customer in ("Ann", "Bob"):
        assert not rate(db, "Shall we start?", customer).cached
    assert rate(db, "Not now.").cached and llm.calls == 5


@pytest.mark.parametrize("drop", [
    lambda db: db.rows("DELETE FROM phrase_cache WHERE phrase = 'shall we START? '"),
    lambda db: db.rows("DELETE FROM phrase_cache WHERE cache_key = (SELECT min(cache_key) FROM phrase_cache"
                       " WHERE phrase ~* 'start')"),
    lambda db: gradingctl("-d", db.conninfo, "cache", "drop", "--phrase", "\tSHALL\u00a0we start? ").stdout
    == "3 entries dropped\n" or pytest.fail("the number that was told"),
], ids=["phrase", "key", "gradingctl"])
def test_a_phrase_goes_under_all_its_keys(make_openai_pool, db, llm, drop):
    make_openai_pool()
    for phrase, customer in (("Shall we  start?", "Ann"), ("shall we START? ", "Bob"), ("Shall we start?", "Cid"),
                             ("Shall we stop?", "Ann")):
        rate(db, phrase, customer)
    drop(db)
    assert phrases(db) == ["Shall we stop?"]
    assert not rate(db, "Shall we start?", "Cid").cached and rate(db, "Shall we stop?").cached
    assert llm.calls == 5


def test_a_row_of_the_applications_own_takes_ours_along(make_openai_pool, db, llm):
    """Its own worker has stored it before ours did."""
    db.rows("INSERT INTO phrase_cache (cache_key, phrase, rating) VALUES (%s, 'GRÜSSE, İ Σ?', 'good')",
            application_key("GRÜSSE, İ Σ?"))
    make_openai_pool()
    rate(db, "grüsse, i  σ?")
    db.rows("DELETE FROM phrase_cache WHERE cache_key = %s", application_key("GRÜSSE, İ Σ?"))
    assert phrases(db) == [] and not rate(db, "grüsse, i  σ?").cached and llm.calls == 2


def test_no_worker_holds_what_was_deleted(make_openai_pool, db, llm):
    """After flights with followers in two workers, and with a job in hand that had looked it up before."""
    make_openai_pool(pool={"workers": 2, "in_flight": 8, "claim_batch": 1})
    for calls in (1, 2):
        llm.behave({"hold": "answer"})
        for _ in range(6):
            db.insert(rep("Known."))
        wait_until(lambda: db.count("processing") == 6 and llm.in_flight == 1)
        llm.release()
        wait_until(lambda: db.count("completed") == 6 * calls, what="all to be rated")
        assert llm.calls == calls and db.value("SELECT count(*) FROM line_ratings WHERE NOT cached") == calls
        if calls == 1:
            db.rows("DELETE FROM phrase_cache WHERE phrase = 'known.' OR phrase = 'Known.'")

    llm.behave({"hold": "answer"})
    job = db.insert(rep("Known.", "New."))
    wait_until(lambda: llm.in_flight == 1)
    db.rows("DELETE FROM phrase_cache")
    llm.release()
    assert [row.cached for row in db.ratings(db.wait(job, "completed").session_id)] == [True, False]
    assert phrases(db) == ["New."], "what it had from the cache does not go back there"
    assert not rate(db, "Known.", "").cached and llm.calls == 4


def fill(db, *rows):
    for n, (phrase, model, age) in enumerate(rows, db.value("SELECT count(*) FROM phrase_cache")):
        db.rows("INSERT INTO phrase_cache (cache_key, phrase, rating, provenance, created_at) VALUES"
                " (repeat(%s, 64), %s, 'good', jsonb_build_object('model', %s::text), now() - %s::interval)",
                f"{n:x}", phrase, model, age)


def test_what_means_something_else_takes_no_other_along(db):
    """A model that is dropped, what is too old, a session that is forgotten."""
    fill(db, ("Hi.", "one", "1 h"), ("hi.", "two", "1 h"), ("HI.", "one", "25 h"))
    assert gradingctl("-d", db.conninfo, "cache", "drop", "--model", "two").stdout == "1 entry dropped\n"
    assert phrases(db) == ["HI.", "Hi."]
    db.rows("DELETE FROM phrase_cache WHERE created_at < now() - interval '24 hours'")
    assert phrases(db) == ["Hi."]
    db.rows("INSERT INTO grading_settings (name, value) VALUES ('cache.ttl', '1800000')")
    fill(db, *[("x", "m", "1 s")] * 3, ("hi.", "two", "1 s"))
    db.rows("DELETE FROM phrase_cache WHERE phrase = 'Hi.'")
    assert phrases(db) == ["hi.", "x", "x", "x"], "half an hour is all that it lives"


def test_a_forgotten_session_takes_its_own_phrases_alone(pool, db):
    mine, _ = db.completed(rep("Hello."))
    db.rows("UPDATE phrase_cache SET phrase = 'Hello.', cache_key = repeat('a', 64)")
    fill(db, ("hello.", "other", "0 s"))
    db.value("SELECT grading_forget(%s)", mine.session_id)
    assert phrases(db) == ["hello."]


def test_copies_cost_no_settlement(make_openai_pool, db, llm):
    """Refused by the application's own trigger, or locked by it."""
    make_application(db)
    make_openai_pool()
    rate(db, "Hello.")
    with contextlib.closing(db.connect()) as other:
        other.autocommit = False
        other.execute("SELECT FROM phrase_cache WHERE cache_key = %s FOR UPDATE", [application_key("Hello.")])
        assert not rate(db, "Hello.", "Bob").cached
        other.rollback()
    db.rows("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.cache_key !~ '^[0-9a-f]{64}$' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON phrase_cache FOR EACH ROW EXECUTE FUNCTION refuse()""")
    assert not rate(db, "Bye.").cached
    assert rate(db, "Bye.").cached and db.value("SELECT sum(attempts) FROM grading_jobs") == 0


def test_copies_are_counted_nowhere(make_openai_pool, db):
    make_application(db)
    make_openai_pool()
    rate(db, "Hello.")
    rate(db, "Hello.", "Bob")
    assert len(phrases(db)) == 3
    shown = json.loads(gradingctl("-d", db.conninfo, "--json", "cache").stdout)
    assert shown["cache"]["entries"] == 2 and [row["entries"] for row in shown["groups"]] == [2]
    assert gradingctl("-d", db.conninfo, "cache", "drop", "--phrase", "hello.").stdout == "2 entries dropped\n"
    assert phrases(db) == []
    assert gradingctl("-d", db.conninfo, "cache", "drop", "--phrase", "hello.").stdout == "0 entries dropped\n"


def test_who_may_delete_one_row_deletes_the_phrase(db):
    fill(db, ("Hi.", "one", "1 h"), ("hi.", "two", "1 h"))
    with contextlib.closing(db.connect()) as conn:
        conn.execute("CREATE ROLE tidy; GRANT SELECT, DELETE ON phrase_cache TO tidy;"
                     " CREATE POLICY tidy ON phrase_cache TO tidy USING (phrase = 'Hi.')")
        try:
            conn.execute("SET ROLE tidy")
            assert conn.execute("DELETE FROM phrase_cache").rowcount == 1
            conn.execute("RESET ROLE")
            assert phrases(db) == []
        finally:
            conn.execute("RESET ROLE; DROP OWNED BY tidy; DROP ROLE tidy")


def test_doctor_names_a_trigger_that_is_gone(db):
    """The application's table was made after migrate; then somebody switched the other trigger off."""
    db.rows("CREATE TABLE live_sessions (id uuid PRIMARY KEY, analytics jsonb)")

    def looked_at():
        checks = json.loads(gradingctl("-d", db.conninfo, "--json", "doctor").stdout)["checks"]
        return [line for line in checks if line["check"] == "triggers"]
    for change, advice in (("SELECT 1", "as the owner of phrase_cache: "),
                           ("ALTER TABLE phrase_cache DISABLE TRIGGER grading_phrases_gone", "")):
        db.rows(change)
        line, = looked_at()
        assert line["state"] == "warning" and line["advice"].startswith(advice)
        db.rows(line["advice"][len(advice):])
    assert [line["state"] for line in looked_at()] == ["ok"]


# ---- when two phrases are the same ----

def test_all_letters_are_folded_as_in_the_keys(db):
    """Of the table in fold.c, capitals and what the keys take for their small letters."""
    rows = re.findall(r"\{ (0x[0-9a-f]+), (0x[0-9a-f]+), (-?\d+) \}", FOLD.read_text(encoding="utf-8"))
    pairs = [(code, code + int(distance)) for first, last, distance in rows
             for code in range(int(first, 16), int(last, 16) + 1, 2 if distance == "1" else 1)]
    assert len(pairs) > 1400
    differ = db.rows("SELECT a, b FROM unnest(%s::int[], %s::int[]) AS u(a, b)"
                     " WHERE grading_phrase('x ' || chr(a) || 'y') <> grading_phrase(' X  ' || chr(b) || 'Y')",
                     [a for a, _ in pairs], [b for _, b in pairs])
    assert differ == []


@pytest.mark.parametrize("phrase", [
    "Hello there.", "  It's   GRÜẞE İ ?>?\t\n", "ΟΔΟΣ, Σ", "\u00a0\ufeffa\u2003b\u0085c ", "日本語 テスト",
    "~~~???>>>", "x" * 1500])
def test_copies_have_the_keys_that_the_application_makes(db, phrase):
    assert db.value("SELECT grading_application_key(%s)", phrase) == application_key(phrase)


def test_a_phrase_too_long_for_a_key_has_no_copy(db):
    make_application(db)
    fill(db, ("x" * 4000, "m", "1 s"), ("y", "m", "1 s"))
    assert len(phrases(db)) == 3
