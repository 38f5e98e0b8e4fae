"""Webhooks: who is told when a session ends, what arrives there and how often, whatever the receiver does."""
import base64
import collections
import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import struct
import threading
import time

import pytest

from harness import PATIENCE_S, Raw, gradingctl, new_session, rep, wait_until

OLD = "whsec_" + base64.b64encode(bytes(range(24))).decode()
NEW = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ENV = {"TEST_HOOK_SECRET": f"{NEW} {OLD}"}


def signature(secret, message):
    """As a library of Standard Webhooks computes it."""
    signed = f"{message.headers['webhook-id']}.{message.headers['webhook-timestamp']}.".encode() + message.raw
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Message:
    """What has arrived: path, headers in lower case, the body, and when."""

    def __init__(self, handler):
        self.path = handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.raw = handler.rfile.read(int(self.headers["content-length"]))
        self.at = time.monotonic()

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def body(self):
        return json.loads(self.raw)

    @property
    def data(self):
        return self.body["data"]


class Receiver(http.server.ThreadingHTTPServer):
    """Answers /200, /500 and so on with that status; the other paths are behaviours, below."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        self.got = collections.defaultdict(list)
        self.lock = threading.Lock()
        self.let_go = threading.Event()
        self.now = {}        # path -> the behaviour that it has now
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def sessions(self, path, type_="session.ended"):
        return {m.data["session_id"] for m in list(self.got["/" + path]) if m.body["type"] == type_}

    def close(self):
        self.let_go.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass                # a peer that was killed


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):      # pylint: disable=arguments-differ
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):      # it reads no more than it wants
            self.wfile.write(body)

    def do_POST(self):
        message = Message(self)
        with self.server.lock:
            self.server.got[self.path].append(message)
            n = len(self.server.got[self.path])
        getattr(self, self.server.now.get(self.path, self.path[1:]), self.plain)(n)

    do_GET = do_POST        # nobody should

    def plain(self, _):
        name = self.server.now.get(self.path, self.path[1:])
        self.answer(int(name) if name.isdigit() else 200)

    def third(self, n):
        self.answer(500 if n % 3 == 1 else 204)

    def hang(self, _):
        self.server.let_go.wait(PATIENCE_S)
        self.close_connection = True

    def reset_first(self, n):
        if n > 2:
            self.answer(200)
            return
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def big(self, _):
        self.answer(200, b"x" * 1_000_000)
        self.close_connection = True

    def redirect(self, _):
        self.answer(307, Location=self.server.url("redirected"))

    def busy_first(self, n):
        self.answer(*((503,) if n == 1 else (200,)), **({"Retry_After": "2"} if n == 1 else {}))


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


def hooks_of(receiver, *paths, **more):
    """The configuration's list: a webhook a path, called as that."""
    words = "".join(f" {key} = {value};" for key, value in {"timeout": '"20s"', "allow_private": "true", **more}.items())
    return Raw("( " + ", ".join(f'{{ name = "{path}"; url = "{receiver.url(path)}"; secret_env = "TEST_HOOK_SECRET";{words} }}'
                                for path in paths) + " )")


@pytest.fixture
def make_hooked_pool(make_pool, db, receiver):
    """A pool with a webhook for each of these paths; it is up when the database knows them."""

    def make(*paths, env=None, webhooks=None, **more):
        pool = make_pool(db, env=ENV | (env or {}), webhooks={"hooks": hooks_of(receiver, *paths, **more), "backoff": "50ms",
                                                            **(webhooks or {})})
        wait_until(lambda: db.value("SELECT count(*) FROM grading_webhooks WHERE name = ANY(%s)", list(paths)) == len(paths)
                   and triggers(db))
        return pool

    return make


def triggers(db):
    return [row.tgname for row in db.rows("SELECT tgname FROM pg_trigger WHERE tgfoid = ANY(ARRAY['grading_sessions_tell', 'grading_wholes_tell']::regproc[])"
                                          " ORDER BY 1")]


def enqueue(db, lines=3, batch_size=5, text="How can I help?"):
    session = new_session()
    db.rows("SELECT grading_enqueue(%s, %s::jsonb, batch_size => %s)", session,
            json.dumps(rep(*[f"{text} {n}" for n in range(lines)])), batch_size)
    return session


def outbox(db, session):
    return db.rows("SELECT * FROM grading_webhook_outbox WHERE session_id = %s ORDER BY created_at", session)


def wait_state(db, session, *states):
    """The states of a session's messages, in order, once they are these."""
    return wait_until(lambda: (rows := outbox(db, session)) and [row.state for row in rows] == list(states) and rows,
                      what=f"messages to be {states}")


def test_the_end_of_a_session_is_told(make_hooked_pool, db, receiver):
    pool = make_hooked_pool("200")
    session = enqueue(db, lines=7)
    row = wait_state(db, session, "delivered")[0]
    message, = receiver.got["/200"]
    counted = db.session(session)
    ratings = collections.Counter(rating.rating for rating in db.ratings(session))
    assert message.id == str(row.id) and abs(int(message.headers["webhook-timestamp"]) - time.time()) < 60
    assert message.headers["webhook-signature"] == f"{signature(NEW, message)} {signature(OLD, message)}"
    assert message.headers["content-type"] == "application/json"
    assert set(message.body) == {"type", "timestamp", "data"} and message.body["type"] == "session.ended"
    data = message.data
    assert data["session_id"] == session and data["status"] == "completed"
    assert data["batches"] == {"total": 2, "completed": 2, "failed": 0}
    assert data["lines"] == {"total": 7, "rated": 7, "skipped": 0}
    assert data["ratings"] == ratings and sum(ratings.values()) == 7
    assert data["completed_at"].endswith("Z") and counted.completed_at.strftime("%Y-%m-%dT%H:%M:%S.") in data["completed_at"]
    assert (row.attempts, row.response, row.error) == (1, 200, None)
    pool.wait_metric("webhooks_delivered_total", 1)
    assert pool.metric("webhooks_refused_total") == pool.metric("webhooks_dead_total") == 0
    shown = pool.ctl("show config")
    assert "whsec_" not in shown + pool.log and OLD not in pool.log


def test_a_session_ends_once_however_its_rows_come(make_hooked_pool, db, receiver):
    """Rows that an application inserts one by one announce nothing; the last one that is open ends their session."""
    pool = make_hooked_pool("200")
    pool.pause()
    session = new_session()
    for n in range(6):
        db.insert(rep(f"Line {n}."), session=session, job_data={"transcript": rep(f"Line {n}.", first=n)})
    pool.ctl("resume")
    wait_state(db, session, "delivered")
    message, = receiver.got["/200"]
    assert message.data["batches"] == {"total": 6, "completed": 6, "failed": 0}
    # A line more continues it, so it ends again, and a cancelled one ends as well.
    db.insert(session=session, job_data={"transcript": rep("One more.", first=6)})
    wait_state(db, session, "delivered", "delivered")
    assert receiver.got["/200"][1].data["lines"]["rated"] == 7
    assert receiver.got["/200"][1].id != message.id
    pool.pause()
    session = enqueue(db)
    db.rows("SELECT grading_cancel(%s)", session)
    wait_state(db, session, "delivered")
    assert receiver.got["/200"][2].data["status"] == "failed" and receiver.got["/200"][2].data["ratings"] == {}


def test_a_session_that_is_graded_as_a_whole_ends_before_that(make_hooked_pool, db, receiver):
    make_hooked_pool("200")
    session = new_session()
    db.rows("SELECT grading_submit(%s, %s::jsonb, '{\"full_grading\": true}')", session, json.dumps(rep("Hello.", "How are you?")))
    wait_state(db, session, "delivered", "delivered")
    data = {m.body["type"]: m.data for m in receiver.got["/200"]}
    assert data["session.ended"]["batches"] == {"total": 1, "completed": 1, "failed": 0}
    assert data["session.graded"]["full_grading"]["score"] == db.value("SELECT score FROM session_gradings WHERE session_id = %s",
                                                                       session)
    assert outbox(db, session)[0].type == "session.ended"


def test_steps_are_told_by_choice_and_the_end_comes_last(make_hooked_pool, db, receiver):
    pool = make_hooked_pool("200", events='"step"')
    assert len(triggers(db)) == 5
    sessions = [enqueue(db, lines=8, batch_size=1, text=f"Session {n}.") for n in range(5)]
    for session in sessions:
        wait_until(lambda s=session: outbox(db, s) and all(row.state == "delivered" for row in outbox(db, s))
                   and outbox(db, s)[-1].type == "session.ended")
    for session in sessions:
        told = [m for m in receiver.got["/200"] if m.data["session_id"] == session]
        steps = [m.data["batches"]["completed"] for m in told if m.body["type"] == "session.step"]
        ends = [m.data["batches"]["completed"] for m in told if m.body["type"] == "session.ended"]
        assert ends == [8] and len(set(steps)) == len(steps) and set(steps) <= set(range(1, 8))
        assert all("ratings" not in m.data and m.data["status"] == "processing" for m in told
                   if m.body["type"] == "session.step")
    # A step that nobody heard of is left out where a later one waits.
    pool.stop()
    session = new_session()
    with db.connect() as conn:
        for n in range(1, 5):
            conn.execute("SELECT grading_count(ARRAY[%s::uuid], ARRAY[9], ARRAY[1], ARRAY[0], ARRAY[1], ARRAY[0])", (session,))
    assert [row.type for row in outbox(db, session)] == ["session.step"] * 4
    pool.start()
    wait_state(db, session, "delivered")
    assert [m.data["batches"]["completed"] for m in receiver.got["/200"] if m.data["session_id"] == session] == [4]


def test_nothing_is_there_where_nobody_wants_to_be_told(pool, db):
    wait_until(lambda: db.completed(rep("Hello.")))
    assert triggers(db) == [] and db.value("SELECT count(*) FROM grading_webhook_outbox") == 0
    assert "publisher" not in {row["role"] for row in pool.show("workers")}


def test_what_is_no_longer_wanted_goes(make_hooked_pool, db, receiver):
    pool = make_hooked_pool("200", "500", events='"step"')
    session = enqueue(db, batch_size=1)
    wait_until(lambda: session in receiver.sessions("200"))
    pool.stop()
    for hook, left in (("200", 5), ("500", 0)):
        done = gradingctl("-d", db.conninfo, "webhooks", "remove", hook)
        assert done.returncode == 0, done.stderr
        assert len(triggers(db)) == left
    assert outbox(db, session) == []
    again = gradingctl("-d", db.conninfo, "webhooks", "remove", "200")
    assert again.returncode != 0 and "there is no webhook" in again.stderr


def test_receivers_that_fail_reset_redirect_or_talk_too_much(make_hooked_pool, db, receiver):
    """Each session is told at least once to all that take anything in the end; under one id, with one body."""
    make_hooked_pool("third", "reset_first", "big", "redirect", "busy_first")
    sessions = {enqueue(db, lines=2, text=f"Session {n}.") for n in range(12)}
    for path in ("third", "reset_first", "big", "busy_first"):
        wait_until(lambda p=path: receiver.sessions(p) >= sessions, what=f"/{path} to have heard of all")
        wait_until(lambda p=path: db.value("SELECT count(*) FROM grading_webhook_outbox WHERE hook = %s AND state ="
                                           " 'delivered'", p) == len(sessions), what=f"/{path} to have taken all")
        by_session = collections.defaultdict(set)
        for message in receiver.got["/" + path]:
            by_session[message.data["session_id"]].add((message.id, message.raw))
            assert message.headers["webhook-signature"].startswith(signature(NEW, message) + " ")
        assert {len(messages) for messages in by_session.values()} == {1}
    assert len(receiver.got["/third"]) > len(sessions) and len(receiver.got["/big"]) == len(sessions)
    # While a receiver asks for a pause it gets no other message either; those on their way had left already.
    assert receiver.got["/busy_first"][-1].at - receiver.got["/busy_first"][0].at >= 2
    wait_until(lambda: db.value("SELECT count(*) FROM grading_webhook_outbox WHERE hook = 'redirect' AND response = 307"
                                " AND error LIKE '%%redirects are not followed%%'") == len(sessions))
    assert receiver.got["/redirected"] == []


def test_a_receiver_that_hangs_holds_up_no_other(make_hooked_pool, db, receiver):
    """A thousand messages wait for one that never answers, and each call to it stays open till the end of this test."""
    pool = make_hooked_pool("hang", "200")
    db.rows("INSERT INTO grading_webhook_outbox (id, hook, session_id, type, data, next_at) SELECT gen_random_uuid(), 'hang',"
            " gen_random_uuid(), 'session.ended', jsonb_build_object('session_id', n), now() - interval '1 hour'"
            " FROM generate_series(1, 1000) n")
    sessions = {enqueue(db, lines=1, text=f"Session {n}.") for n in range(20)}
    wait_until(lambda: receiver.sessions("200") == sessions)
    assert 1 <= len(receiver.got["/hang"]) <= 8
    assert db.value("SELECT count(*) FROM grading_webhook_outbox WHERE hook = 'hang' AND state <> 'waiting'") == 0
    # Nor is the pool held up when it is to end.
    receiver.now["/hang"] = "200"
    receiver.let_go.set()
    wait_until(lambda: db.value("SELECT count(*) FROM grading_webhook_outbox WHERE state = 'waiting'") == 0)
    pool.wait_metric("webhooks_delivered_total", 1040)


def test_what_was_given_up_is_listed_and_sent_again(make_hooked_pool, db, receiver):
    receiver.now["/app"] = "503"
    pool = make_hooked_pool("app", webhooks={"give_up_after": "1s"})
    session = enqueue(db)
    row = wait_state(db, session, "dead")[0]
    assert row.attempts > 1 and row.response == 503 and row.error == "answered with status 503"
    assert {m.id for m in receiver.got["/app"]} == {str(row.id)}
    listed = gradingctl("-d", db.conninfo, "--json", "webhooks", "list", "--failed")
    assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == [str(row.id)]
    found = gradingctl("-d", db.conninfo, "doctor")
    assert "1 message to the webhook app was given up; the last one: answered with status 503" in found.stdout
    receiver.now["/app"] = "200"
    again = gradingctl("-d", db.conninfo, "webhooks", "retry", str(row.id))
    assert again.returncode == 0 and again.stdout.startswith("1 message sent again"), again.stderr
    enqueue(db, text="What moves, so that nobody waits for the next look:")
    assert wait_state(db, session, "delivered")[0].attempts == 1
    wait_until(lambda: db.value("SELECT count(*) FROM grading_webhook_outbox WHERE state = 'delivered'") == 2)
    shown = gradingctl("-d", db.conninfo, "--json", "webhooks")
    assert {"name": "app", "state": "ok", "dead": 0, "waiting": 0}.items() <= json.loads(shown.stdout).items()
    assert gradingctl("-d", db.conninfo, "webhooks", "retry").returncode != 0
    assert gradingctl("-d", db.conninfo, "webhooks", "retry", "nonsense").returncode != 0


def test_410_disables_a_webhook_by_name(make_hooked_pool, db, receiver):
    receiver.now["/app"] = "410"
    pool = make_hooked_pool("app", "200")
    session = enqueue(db)
    wait_until(lambda: db.value("SELECT disabled_why FROM grading_webhooks WHERE name = 'app'") == "answered with status 410")
    pool.wait_log("webhook app wants no more messages (410)")
    other = enqueue(db, text="Another.")
    wait_until(lambda: receiver.sessions("200") == {session, other})
    assert receiver.sessions("app") == {session} and [row.hook for row in outbox(db, other)] == ["200"]
    receiver.now["/app"] = "200"
    assert gradingctl("-d", db.conninfo, "webhooks", "enable", "app").returncode == 0
    third = enqueue(db, text="A third.")
    wait_until(lambda: third in receiver.sessions("app"))


def test_addresses_inside_are_refused_after_the_name_was_resolved(make_pool, db, receiver):
    """In whatever form, and a proxy of the environment's, which would look names up itself, is not asked."""
    hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "[::1]", "169.254.169.254"]
    hooks = ", ".join(f'{{ name = "h{n}"; url = "http://{host}:{receiver.server_port}/in"; secret_env = "TEST_HOOK_SECRET"; }}'
                      for n, host in enumerate(hosts))
    pool = make_pool(db, env=ENV | {"http_proxy": receiver.url("proxy"), "all_proxy": receiver.url("proxy")},
                     webhooks={"hooks": Raw(f"( {hooks} )"), "backoff": "50ms", "give_up_after": "300ms"})
    wait_until(lambda: triggers(db))
    session = enqueue(db)
    rows = wait_state(db, session, *["dead"] * len(hosts))
    assert all("which is an address inside" in row.error and row.response is None for row in rows), rows
    assert not receiver.got
    pool.wait_log("which is an address inside")


def test_publisher_and_workers_are_killed_and_all_is_told(make_hooked_pool, db, receiver):
    """At least once, and each time under the same id."""
    receiver.now["/app"] = "hang"
    pool = make_hooked_pool("app", timeout='"1s"')
    sessions = {enqueue(db, lines=6, batch_size=2, text=f"Session {n}.") for n in range(30)}
    wait_until(lambda: receiver.got["/app"])
    for _ in range(3):
        for pid in pool.children().values():
            pool.kill(pid)
        wait_until(lambda: pool.show("status")["phase"] == "up" and pool.workers())
    receiver.now["/app"] = "200"
    receiver.let_go.set()
    wait_until(lambda: receiver.sessions("app") == sessions)
    wait_until(lambda: db.value("SELECT count(*) FROM grading_webhook_outbox WHERE state <> 'delivered'") == 0)
    ids = collections.defaultdict(set)
    for message in receiver.got["/app"]:
        ids[message.data["session_id"]].add((message.id, message.raw))
    assert {len(messages) for messages in ids.values()} == {1}
    assert db.value("SELECT count(*) FROM grading_webhook_outbox") == len(sessions)


def test_a_settlement_that_is_rolled_back_tells_nothing(db):
    """In the transaction that moves the session, or not at all."""
    db.rows("SELECT grading_webhooks_register(ARRAY['app'], ARRAY[false])")
    session = enqueue(db)
    with db.connect(autocommit=False) as conn:
        conn.execute("SELECT grading_cancel(%s)", (session,))
        assert conn.execute("SELECT count(*) FROM grading_webhook_outbox").fetchone()[0] == 1
        conn.rollback()
    assert outbox(db, session) == []


def test_two_that_settle_at_the_same_time_end_their_session_once(db):
    """Each sees the other's job as open, until it has the lock of the session's row."""
    db.rows("SELECT grading_webhooks_register(ARRAY['app'], ARRAY[false])")
    session = new_session()
    jobs = [db.insert(session=session) for _ in range(2)]
    settle = ("UPDATE grading_jobs SET status = 'completed', counted_as = 'completed' WHERE id = %s",
              "SELECT grading_count(ARRAY[%s::uuid], ARRAY[0], ARRAY[1], ARRAY[0], ARRAY[1], ARRAY[0])")

    def second():
        with db.connect() as conn, conn.transaction():
            conn.execute(settle[0], (jobs[1],))
            conn.execute(settle[1], (session,))

    with db.connect() as conn, conn.transaction():
        conn.execute(settle[0], (jobs[0],))
        conn.execute(settle[1], (session,))
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        db.wait_blocked()
    thread.join(PATIENCE_S)
    assert [row.type for row in outbox(db, session)] == ["session.ended"]
    assert outbox(db, session)[0].data["batches"]["completed"] == 2


def test_old_messages_and_those_of_forgotten_sessions_go(make_pool, db):
    db.rows("INSERT INTO grading_webhooks (name, disabled_at) VALUES ('off', now()), ('on', NULL)")
    db.rows("INSERT INTO grading_webhook_outbox (id, hook, session_id, type, data, state, ended_at, tried_since)"
            " SELECT gen_random_uuid(), hook, gen_random_uuid(), 'session.ended', '{}', state, at, at"
            " FROM (VALUES ('on', 'delivered', now() - interval '2 h'), ('on', 'delivered', now()),"
            " ('on', 'dead', now() - interval '2 h'), ('on', 'dead', now() - interval '4 h'),"
            " ('on', 'waiting', now() - interval '4 h'), ('off', 'waiting', now() - interval '4 h')) AS v(hook, state, at),"
            " generate_series(1, 700)")
    make_pool(db, queue={"poll": "200ms"}, webhooks={"keep_delivered": "1h", "keep_dead": "3h"})
    left = [("on", "dead", 700), ("on", "delivered", 700), ("on", "waiting", 700)]
    wait_until(lambda: [tuple(row) for row in db.rows("SELECT hook, state, count(*)::int FROM grading_webhook_outbox"
                                                      " GROUP BY 1, 2 ORDER BY 1, 2")] == left)
    session = enqueue(db)
    db.rows("INSERT INTO grading_webhook_outbox (id, hook, session_id, type, data) VALUES (gen_random_uuid(), 'on', %s,"
            " 'session.ended', '{}')", session)
    db.rows("SELECT grading_forget(%s)", session)
    assert outbox(db, session) == []
