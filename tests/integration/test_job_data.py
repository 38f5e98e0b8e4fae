"""Every shape of job_data: what applications really write, and what they should not have written."""
import json

import psycopg
import pytest
from psycopg.types.json import Jsonb

from harness import new_session, rep, wait_until


def entry(text="Hello.", **more):
    return dict({"speaker": "rep", "text": text, "index": 0}, **more)


def rated(db, transcript, **data):
    """(index, text) of all lines that get a rating."""
    _, ratings = db.completed(transcript, job_data=dict({"transcript": transcript}, **data))
    return [(r.line_index, r.line_text) for r in ratings]


VARIANTS = {
    "text and index": ([entry("A.", index=7)], {}, [(7, "A.")]),
    "message": ([{"speaker": "rep", "message": "A.", "index": 0}], {}, [(0, "A.")]),
    "text before message": ([entry("A.", message="B.")], {}, [(0, "A.")]),
    "empty text, then message": ([entry("", message="B.")], {}, [(0, "B.")]),
    "null text, then message": ([entry(None, message="B.")], {}, [(0, "B.")]),
    "line_number": ([{"speaker": "rep", "text": "A.", "line_number": 12}], {}, [(12, "A.")]),
    "index before line_number": ([entry("A.", index=1, line_number=9)], {}, [(1, "A.")]),
    "null index, then line_number": ([entry("A.", index=None, line_number=9)], {}, [(9, "A.")]),
    "no index": ([{"speaker": "rep", "text": t} for t in "AB"], {"batchIndex": 2, "batchSize": 5, "totalBatches": 4},
                 [(10, "A"), (11, "B")]),
    "no index, position counts all": ([{"speaker": "customer", "text": "x"}, {"speaker": "rep", "text": "A"}],
                                      {"batchIndex": 1, "batchSize": 5, "totalBatches": 3}, [(6, "A")]),
    "no index, no batch": ([{"speaker": "rep", "text": t} for t in "AB"], {}, [(0, "A"), (1, "B")]),
    "no index, default size": ([{"speaker": "rep", "text": "A"}], {"batchIndex": 3}, [(15, "A")]),
    "user is rated": ([entry("A.", speaker="user")], {}, [(0, "A.")]),
    "any case": ([entry("A.", speaker="Rep"), entry("B.", speaker="USER", index=1)], {}, [(0, "A."), (1, "B.")]),
    "others are context": ([entry("A."), entry("B.", speaker="customer", index=1), entry("C.", speaker="ai", index=2),
                            entry("D.", speaker="representative", index=3)], {}, [(0, "A.")]),
    "no speaker": ([{"text": "A.", "index": 0}], {}, []),
    "null speaker": ([entry("A.", speaker=None)], {}, []),
    "lines without text": ([entry(""), entry("  \t\n", index=1), entry(None, index=2), {"speaker": "rep", "index": 3}],
                           {}, []),
    "unknown keys": ([entry("A.", mood={"deep": [1]})], {"callId": "x", "nested": {"transcript": 3}}, [(0, "A.")]),
    "empty transcript": ([], {}, []),
    "whole float index": ([entry("A.", index=3.0)], {}, [(3, "A.")]),
    "index as a string": ([entry("A.", index="7"), entry("B.", index="0")], {}, [(0, "B."), (7, "A.")]),
    "largest index as a string": ([entry("A.", index="2147483647")], {}, [(2147483647, "A.")]),
    "largest index": ([entry("A.", index=2147483647)], {}, [(2147483647, "A.")]),
    "names that are no text": ([entry("A.")], {"salesRepName": 7, "customerName": None}, [(0, "A.")]),
    "a line of context without index": ([entry("A."), {"speaker": "customer", "text": "B."}], {}, [(0, "A.")]),
    "same index as context": ([entry("A."), entry("B.", speaker="customer")], {}, [(0, "A.")]),
    "emoji": ([entry("👩‍👩‍👧‍👦 größer ﷽ 𝔸")], {}, [(0, "👩‍👩‍👧‍👦 größer ﷽ 𝔸")]),
    "quotes and braces": ([entry("a\"b'c\\d{e},NULL;--")], {}, [(0, "a\"b'c\\d{e},NULL;--")]),
    "control characters": ([entry("a\u0001b\u001b[31mc\u007f\u0085\td")], {}, [(0, "a\u0001b\u001b[31mc\u007f\u0085\td")]),
    "right-to-left and zero width": ([entry("\u202eabc\u200b\ufeff")], {}, [(0, "\u202eabc\u200b\ufeff")]),
}


@pytest.mark.parametrize("transcript, data, expected", VARIANTS.values(), ids=VARIANTS.keys())
def test_what_applications_write_is_understood(pool, db, transcript, data, expected):
    assert rated(db, transcript, **data) == expected


def test_job_data_is_left_as_it_was(pool, db):
    data = {"transcript": [entry("A.", mood="good"), {"speaker": "customer", "odd": None}], "batchIndex": 0, "mine": [1]}
    job, _ = db.completed([], job_data=data)
    assert job.job_data == data


MALFORMED = {
    "null": (None, "job_data is null"),
    "JSON null": (Jsonb(None), "job_data is null"),
    "string": ("hello", "job_data"), "number": (7, "job_data"), "array": ([], "job_data"), "true": (True, "job_data"),
    "no transcript": ({}, "transcript"),
    "transcript null": ({"transcript": None}, "transcript is null"),
    "transcript object": ({"transcript": {}}, "transcript is an object"),
    "transcript string": ({"transcript": "A."}, "transcript"),
    "entry null": ({"transcript": [None]}, "transcript[0] is null"),
    "entry string": ({"transcript": [entry(), "x"]}, "transcript[1]"),
    "entry array": ({"transcript": [[]]}, "transcript[0] is an array"),
    "text number": ({"transcript": [entry(7)]}, "transcript[0].text is 7"),
    "text object": ({"transcript": [entry({"a": 1})]}, "transcript[0].text is an object"),
    "index negative": ({"transcript": [entry(index=-1)]}, "transcript[0].index is -1"),
    "index text": ({"transcript": [entry(index="one")]}, 'transcript[0].index is "one"'),
    "index 01": ({"transcript": [entry(index="01")]}, 'transcript[0].index is "01"'),
    "index and a blank": ({"transcript": [entry(index=" 1")]}, 'transcript[0].index is " 1"'),
    "index too large as a string": ({"transcript": [entry(index="2147483648")]}, 'transcript[0].index is "2147483648"'),
    "index fraction": ({"transcript": [entry(index=1.5)]}, "transcript[0].index is 1.5"),
    "index too large": ({"transcript": [entry(index=2 ** 31)]}, "transcript[0].index"),
    "index huge": ({"transcript": [entry(index=10 ** 30)]}, "transcript[0].index"),
    "index boolean": ({"transcript": [entry(index=True)]}, "transcript[0].index"),
    "same index twice": ({"transcript": [entry(), entry("B.")]}, "transcript[0] and transcript[1] both have index 0"),
    "batchIndex negative": ({"transcript": [{"speaker": "rep", "text": "A."}], "batchIndex": -1}, "batchIndex"),
    "batchSize zero": ({"transcript": [{"speaker": "rep", "text": "A."}], "batchSize": 0}, "batchSize"),
    "product too large": ({"transcript": [{"speaker": "rep", "text": "A."}], "batchIndex": 10 ** 9, "batchSize": 9,
                           "totalBatches": 2 * 10 ** 9},
                          "too large"),
    "1 MB of text": ({"transcript": [entry("x" * (1 << 20))]}, "1048576 bytes long"),
    "too many lines": ({"transcript": [entry("x", index=n) for n in range(10001)]}, "10001 entries"),
    "too large altogether": ({"transcript": [entry("x" * 30000, index=n) for n in range(150)]}, "bytes long; the limit"),
    "deeply nested": ({"transcript": json.loads("[" * 100 + "]" * 100)}, "nesting too deep"),
}


@pytest.mark.parametrize("data, words", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_makes_no_sense_fails_with_a_clear_error(pool, db, data, words):
    session = new_session()
    job = db.wait(db.insert(session=session, job_data=data), "failed", "completed")
    assert job.status == "failed"
    assert words in job.error and len(job.error) < 400
    assert job.failed_at and not job.completed_at
    assert db.ratings(session) == []
    assert db.session(session).failed_batches == 1


def test_a_session_that_is_null_fails_its_job_by_name(pool, db):
    db.rows("ALTER TABLE grading_jobs ALTER session_id DROP NOT NULL")
    job = db.value("INSERT INTO grading_jobs (job_type, job_data) VALUES ('line_rating', '{\"transcript\": []}') RETURNING id")
    assert "session_id is null" in db.wait(job, "failed").error


def test_malformed_jobs_do_not_disturb_their_neighbours(pool, db):
    """All in one transaction, so that they are claimed together."""
    sql = "INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (%s, 'line_rating', %s)"
    good = [new_session() for _ in range(20)]
    with db.connect(autocommit=False) as conn:
        for n, (data, _) in enumerate(MALFORMED.values()):
            conn.execute(sql, (new_session(), data if data is None or isinstance(data, Jsonb) else Jsonb(data)))
            if n < len(good):
                conn.execute(sql, (good[n], Jsonb({"transcript": rep(f"Good line {n}.")})))
    wait_until(lambda: db.count("failed") + db.count("completed") == len(MALFORMED) + len(good))
    assert db.count("completed") == len(good)
    assert db.value("SELECT max(attempts) FROM grading_jobs WHERE status = 'completed'") == 0
    assert [len(db.ratings(session)) for session in good] == [1] * len(good)
    assert pool.show("status")["restarts"] == 0


def test_ten_thousand_lines_in_one_job(pool, db):
    _, ratings = db.completed([entry(f"Line {n}.", index=n) for n in range(10000)])
    assert len(ratings) == 10000


def test_the_longest_line_allowed(pool, db):
    text = "ä" * (16 << 10)
    assert rated(db, [entry(text)]) == [(0, text)]


def test_a_huge_total_is_capped_not_believed(pool, db):
    job, _ = db.completed([], job_data={"transcript": [entry()], "totalBatches": 10 ** 40})
    assert db.session(job.session_id).rated_lines == 1


@pytest.mark.parametrize("total", ["5", None, -3, 2.5, True, []])
def test_an_odd_total_is_no_reason_to_fail(pool, db, total):
    job, _ = db.completed([], job_data={"transcript": [entry()], "totalBatches": total})
    assert db.session(job.session_id).completed_batches == 1


# What an entry's index may be, and what it is read as; None: nothing is made of it.
INDEXES = [(0, 0), (7, 7), (7.0, 7), ("7", 7), ("0", 0), ("2147483647", 2147483647), (2147483647, 2147483647), (2147483648, None),
           ("2147483648", None), ("07", None), (" 7", None), ("7 ", None), ("+7", None), ("-0", None), ("7.0", None), ("", None),
           ("seven", None), (-1, None), (1.5, None), (True, None), ([], None), ("99999999999999999999", None)]


@pytest.mark.parametrize("index, read", INDEXES, ids=[repr(index) for index, _ in INDEXES])
def test_the_functions_read_an_index_as_the_daemon_does(pool, db, index, read):
    plain = db.wait(db.insert([entry("A.", index=index)]), "completed", "failed")
    assert [row.line_index for row in db.ratings(plain.session_id)] == ([] if read is None else [read])
    session, refused = new_session(), False
    try:
        db.rows("SELECT grading_enqueue(%s, %s::jsonb)", session, Jsonb([entry("A.", index=index)]))
    except psycopg.errors.InvalidParameterValue:
        refused = True
    assert refused == (read is None)
    wait_until(lambda: db.unsettled() == 0)
    assert [row.line_index for row in db.ratings(session)] == ([] if read is None else [read])


def nested(depth, innermost):
    value = innermost
    for _ in range(depth):
        value = [value]
    return value


LONGEST = "x" * (32 << 10)
CUSTOMER = {"speaker": "customer", "index": 7}

# Transcripts, and whether a worker reads them; a job's data is an object, in it an array, in that an entry.
READ = {
    "nothing": ([], True),
    "a plain line": ([entry()], True),
    "a number": ([1], False), "null": ([None], False), "a string": ([entry(), "Hello."], False), "an array": ([[]], False),
    "a customer who is a number": ([entry(), 1], False),
    "an empty object": ([{}, entry()], True),
    "text 7": ([entry(7)], False), "text true": ([entry(True)], False), "text false": ([entry(False)], False),
    "text an object": ([entry({"a": "b"})], False), "text an empty array": ([entry([])], False),
    "message 7": ([{"speaker": "rep", "message": 7, "index": 0}], False),
    "message behind a text": ([entry("A.", message=7)], True),
    "message behind a blank": ([entry(" \u00a0", message=7)], False),
    "message behind null": ([entry(None, message=7)], False),
    "null and null": ([entry(None, message=None)], True),
    "the longest text": ([entry(LONGEST)], True), "a longer text": ([entry(LONGEST + "x")], False),
    "the longest in two bytes": ([entry("ä" * (16 << 10))], True), "longer in two bytes": ([entry("ä" * (16 << 10) + "x")], False),
    "a longer message": ([{"speaker": "rep", "message": LONGEST + "x", "index": 0}], False),
    "blanks without end": ([entry(" " * (40 << 10))], True),
    "the customer's text 7": ([entry(), {**CUSTOMER, "text": 7}], False),
    "the customer's longer text": ([entry(), {**CUSTOMER, "text": LONGEST + "x"}], False),
    "the customer's index": ([entry(), {**CUSTOMER, "text": "Hm.", "index": "seven"}], False),
    "the customer's index, who says nothing": ([entry(), {**CUSTOMER, "text": "", "index": "seven"}], True),
    "the customer's index comes twice": ([entry(), {**CUSTOMER, "text": "Hm.", "index": 0}], True),
    "an index that is none, of a blank": ([entry(" ", index=-1), entry(index=1)], True),
    "an index that is none, of no text": ([{"speaker": "rep", "index": {}}, entry(index=1)], True),
    "line_number that is none": ([{"speaker": "rep", "text": "A.", "line_number": 1.5}], False),
    "line_number behind an index": ([entry(line_number="x")], True),
    "line_number behind null": ([entry(index=None, line_number="x")], False),
    "an index twice": ([entry(), entry("B.")], False),
    "a speaker that is a number": ([entry(speaker=7)], True), "a speaker that is null": ([entry(speaker=None)], True),
    "a speaker in blanks": ([entry(speaker="\t Rep\r\n")], True),
    "a speaker in many blanks": ([entry(speaker=" " * 300 + "rep" + " " * 300)], True),
    "a speaker who is long": ([entry(speaker="rep" * 300)], True),
    "other keys": ([entry(mood={"deep": [1, {"a": None}]}, text2=7)], True),
    "nested deep": ([entry(x=nested(60, 1))], True), "nested too deep": ([entry(x=nested(61, 1))], False),
    "nothing, nested deep": ([entry(x=nested(60, {}))], True), "nothing, nested too deep": ([entry(x=nested(61, {}))], False),
    "many values": ([entry(x=[{}] * 40000)], True), "too many values": ([entry(x=[{}] * 41000)], False),
    "brackets in a string": ([entry(x="[{\"\\" * 50000)], True),
    "4 MiB": ([entry("x" * 30000, index=n) for n in range(135)], True),
    "more than 4 MiB": ([entry("x" * 30000, index=n) for n in range(140)], False),
}


def test_what_a_worker_reads_is_enqueued_and_nothing_else(pool, db):
    """Else lines that were known, but in a job that nobody can read, would never be rated."""
    told, plain, enqueued = {}, {}, {}
    for name, (transcript, _) in READ.items():
        plain[name] = db.insert(transcript)
        enqueued[name] = new_session()
        try:
            told[name] = db.value("SELECT grading_submit(%s, %s, '{\"batch_size\": 1000}')", enqueued[name], Jsonb(transcript))
        except psycopg.errors.InvalidParameterValue as error:
            told[name] = error.diag.message_primary
    wait_until(lambda: db.unsettled() == 0)
    for name, (_, reads) in READ.items():
        job = db.job(plain[name])
        assert (job.status, isinstance(told[name], dict)) == (("completed", True) if reads else ("failed", False)), \
            (name, job.error, told[name])
        lines = [(row.line_index, row.line_text) for row in db.ratings(job.session_id)]
        assert [(row.line_index, row.line_text) for row in db.ratings(enqueued[name])] == lines, name
        if reads:
            assert told[name]["lines"] == len(lines), name
            assert told[name]["skipped"] == job.result["skipped"], name
    assert db.value("SELECT count(*) FROM grading_jobs WHERE status = 'failed'") == sum(not reads for _, reads in READ.values())


REFUSED = [
    ([entry(), 1], "transcript[1] is 1; it must be an object with speaker, text and index"),
    ([[]], "transcript[0] is an array; it must be an object with speaker, text and index"),
    ([entry(7)], "transcript[0].text is 7; it must be a string"),
    ([entry(index=1), {"speaker": "customer", "message": {}}], "transcript[1].message is an object; it must be a string"),
    ([entry("ä" * 20000)], "transcript[0].text is 40000 bytes long; at most 32768 are allowed"),
    ([entry(index=[0])], "the index of transcript[0] is [0]; it must be a whole number from 0 to 2147483647"),
    ([entry(x=nested(80, 1))], "a job of the transcript is nested too deep"),
]


@pytest.mark.parametrize("transcript, words", REFUSED, ids=[words[:40] for _, words in REFUSED])
@pytest.mark.parametrize("function", ["grading_enqueue", "grading_submit"])
def test_what_no_worker_reads_is_refused_by_name(db, function, transcript, words):
    session = new_session()
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        db.rows(f"SELECT {function}(%s, %s)", session, Jsonb(transcript))
    assert refused.value.diag.message_primary == words
    assert db.session(session) is None and db.count() == 0


def test_lines_of_a_job_that_nobody_reads_are_not_known(pool, db):
    """A plain row; enqueued as it should have been, all of it is rated."""
    session = new_session()
    job = db.insert([entry("A."), entry(7, index=1)], session=session)
    assert db.wait(job, "failed", "completed").status == "failed"
    told = db.value("SELECT grading_submit(%s, %s)", session, Jsonb([entry("A."), entry("7", index=1)]))
    assert (told["lines"], told["known"]) == (2, 0)
    wait_until(lambda: db.unsettled() == 0)
    assert [row.line_text for row in db.ratings(session)] == ["A.", "7"]


def test_letters_beyond_ascii_have_no_case_in_a_speakers_name(pool, db):
    """A worker's locale has none; so the totals are those of lines that will be rated."""
    session, other = new_session(), new_session()
    transcript = [entry("A.", speaker="Ärztin"), entry("B.", speaker="ärztin", index=1), entry("C.", speaker="ÄRZTIN", index=2)]
    assert db.value("SELECT grading_submit(%s, %s, '{\"speakers\": [\"Ärztin\"]}')", session, Jsonb(transcript))["lines"] == 2
    db.insert(session=other, job_data={"transcript": transcript, "ratedSpeakers": ["Ärztin"]})
    wait_until(lambda: db.unsettled() == 0)
    for one in session, other:
        assert [row.line_text for row in db.ratings(one)] == ["A.", "C."]
    assert db.session(session).total_lines == 2


def test_the_functions_know_whose_lines_are_rated(make_pool, db):
    """The pool tells them, at its start and after a reload."""
    told = "SELECT value FROM grading_settings WHERE name = 'rater.speakers'"
    pool = make_pool(db, rater={"speakers": ["agent", "sales rep"]})
    wait_until(lambda: db.value(told) == ["agent", "sales rep"])
    transcript = [entry("A.", speaker=" Sales Rep"), entry("B.", speaker="user", index=1), entry("C.", speaker="AGENT", index=2)]
    session = new_session()
    db.rows("SELECT grading_enqueue(%s, %s::jsonb)", session, Jsonb(transcript))
    wait_until(lambda: db.unsettled() == 0)
    assert [row.line_text for row in db.ratings(session)] == ["A.", "C."]
    assert db.session(session).total_lines == db.session(session).rated_lines == 2
    assert "\"user\" stands beside \"agent\"" in db.value("SELECT result ->> 'notice' FROM grading_jobs")
    wait_until(lambda: "\"user\" stands beside \"agent\"" in pool.log)
    before = set(pool.workers())
    pool.configure(rater={"speakers": ["user"]})
    pool.ctl("reload")
    wait_until(lambda: db.value(told) == ["user"] and len(pool.workers()) == 2 and not before & set(pool.workers()))
    assert rated(db, transcript) == [(1, "B.")]
