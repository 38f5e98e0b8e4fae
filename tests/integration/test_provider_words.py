"""What providers say when they will not answer, and the forms in which they do: whose fault it is, and what is a rating."""
import time

import pytest

from harness import KEY, Raw, new_session, rep, wait_until
from llm_server import expected_rating
from test_openai_lines import hurry
from test_secrets import everything_said

SCALE = ["excellent", "good", "poor", "missed_opportunity"]


def status(pool):
    return pool.show("status")


def error(message, **more):
    return {"error": dict({"message": message}, **more)}


# Status, body, and what the operator reads: the provider's words. See the table of test_openai.c for where they are from.
CONDITIONS = {
    "credit": (400, {"type": "error", **error("Your credit balance is too low to access the Anthropic API.",
                                              type="invalid_request_error")}, "credit balance is too low"),
    "key": (400, [error("API key not valid.", code=400, status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}])],
            "API key not valid"),
    "retired model": (400, error("The model `m1` has been decommissioned.", code="model_decommissioned"), "decommissioned"),
    "unknown model": (400, {"object": "error", "message": "Invalid model: m1", "type": "invalid_model", "code": "1500"},
                      "Invalid model: m1"),
    "no model": (400, error("m1 is not a valid model ID", code=400), "not a valid model ID"),
    "within another": (400, error("Provider returned error", code=400, metadata={
        "raw": '{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low."}}'}),
        "credit balance is too low"),
    "no capacity": (498, error("x", code="flex_tier_capacity_exceeded"), "498"),
    "not ready": (424, {"error": "Model is not ready"}, "Model is not ready"),
    "overloaded": (529, error("Overloaded", type="overloaded_error"), "Overloaded"),
    "choice": (200, {"choices": [{"finish_reason": "error", "message": {"content": ""},
                                  "error": {"code": 502, "message": "Provider disconnected"}}]}, "Provider disconnected"),
    "finish_reason": (200, {"choices": [{"finish_reason": "error", "message": {"content": ""}}]}, "broke its answer off"),
}


@pytest.mark.parametrize("answer", CONDITIONS.values(), ids=CONDITIONS.keys())
def test_the_first_such_answer_opens_the_breaker_in_the_providers_words(make_openai_pool, db, llm, answer):
    code, body, words = answer
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave({"do": "says", "status": code, "body": body})
    job = db.insert(max_attempts=1)
    shown = wait_until(lambda: (s := status(pool))["breaker_reason"] and s)
    assert words in shown["breaker_reason"] and shown["breaker"] != "closed"
    wait_until(lambda: db.job(job).error)
    assert words in db.job(job).error and db.job(job).attempts == 0
    first = [r["at"] for r in llm.requests][:2]
    assert len(first) == 1 or first[1] - first[0] > 0.9, "asked again before the breaker's pause was over"
    llm.behave("good")
    assert db.wait(job, "completed").attempts == 0


@pytest.mark.parametrize("body", [CONDITIONS["credit"][1], error("Something that nobody has ever read.")],
                         ids=["known", "unknown"])
def test_an_application_with_little_traffic_loses_no_attempt(make_openai_pool, db, llm, body):
    """One job every 1.2 s: no ten of them fail in a row within the breaker's memory, and each might think it is its fault."""
    pool = make_openai_pool()
    db.completed(rep("While all is well."))
    llm.behave({"do": "says", "body": body})
    time.sleep(3.1)                 # nobody had an answer lately
    for n in range(5):
        db.insert(rep(f"Line {n}."), max_attempts=1)
        time.sleep(1.2)
    assert status(pool)["breaker"] != "closed"
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0 and db.count("failed") == 0
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 6)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_a_refusal_that_nobody_can_place_is_followed_by_a_control(make_openai_pool, db, llm):
    """The control is refused as well: nobody's attempt, and the breaker opens in the provider's words."""
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave({"do": "says", "body": error("The moon is in the wrong house.")})
    job = db.insert(rep("One line."), max_attempts=1)
    shown = wait_until(lambda: (s := status(pool))["breaker_reason"] and s)
    assert "The moon is in the wrong house; it refuses a harmless line, too" in shown["breaker_reason"]
    assert shown["summary"].startswith("waiting for an operator")
    assert [r["question"]["lines"][0]["text"] for r in llm.requests][:2] == ["One line.", "Good morning."]
    wait_until(lambda: db.job(job).status == "pending")
    assert db.job(job).attempts == 0
    llm.behave("good")
    assert db.wait(job, "completed").attempts == 0


def test_an_error_in_a_200_costs_an_application_with_little_traffic_no_attempt(make_openai_pool, db, llm):
    """Nothing of it is the model's: no choices, and words in a place of the provider's own."""
    pool = make_openai_pool()
    db.completed(rep("While all is well."))
    llm.behave({"do": "says", "status": 200, "body": {"base_resp": {"status_msg": "insufficient balance"}, "choices": None}})
    time.sleep(3.1)                 # nobody had an answer lately
    for n in range(3):
        db.insert(rep(f"Line {n}."), max_attempts=1)
        time.sleep(1.2)
    shown = wait_until(lambda: (s := status(pool))["breaker_reason"] and s)
    assert "the provider answered 200 OK: insufficient balance" in shown["breaker_reason"]
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 4)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_credit_that_ends_under_load_costs_nobody_an_attempt(make_openai_pool, db, llm):
    """In words that nobody knows: of the calls on their way many are refused just after others were answered."""
    pool = make_openai_pool()
    llm.behave({"do": "good", "delay_ms": 50})
    db.insert_many(400)
    wait_until(lambda: db.count("completed") >= 100)
    llm.behave({"do": "says", "body": error("Budget has been exceeded! Current cost: 10.0", type="budget_spent"), "delay_ms": 50})
    shown = wait_until(lambda: (s := status(pool))["breaker_reason"] and s)
    assert "Budget has been exceeded" in shown["breaker_reason"]
    wait_until(lambda: db.count("processing") <= 1)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0 and db.count("failed") == 0
    llm.behave("good")
    wait_until(lambda: db.count("completed") == 400)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_a_control_that_is_answered_leaves_the_refusal_to_its_job(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave({"do": "says", "body": error("Not this."), "text": "poison"}, "good")
    row = db.wait(db.insert(rep("poison"), max_attempts=2), "failed")
    assert "Not this" in row.error and row.attempts == 1 and llm.calls == 2
    assert pool.show("limits")["trips"] == 0
    row = db.wait(db.insert(rep("poison", "A good line."), max_attempts=2), "completed")
    assert row.attempts >= 1 and [line["outcome"] for line in row.result["unrated"]] == ["failed"]
    assert pool.show("limits")["trips"] == 0


@pytest.mark.parametrize("code", [403, 405, 302])
def test_a_line_that_a_firewall_refuses_stops_nobody_else(make_openai_pool, db, llm, code):
    """It comes first, so it is each probe of the breaker; and it looks as if our key were refused."""
    pool = make_openai_pool(pool={"workers": 2}, cache={"ttl": "0"})
    llm.behave({"do": "says", "status": code, "body": "<html>Attention required</html>", "text": "poison"}, "good")
    poison = db.insert(rep("poison"), priority=5)
    wait_until(lambda: status(pool)["breaker"] != "closed", what="the breaker to be open: nobody has had an answer yet")
    db.insert_many(50)
    wait_until(lambda: db.count("completed") == 50)
    row = wait_until(lambda: hurry(db) or (r := db.job(poison)).status == "failed" and r)
    assert str(code) in row.error and "others get answers, so it may be about these lines" in row.error
    trips = pool.show("limits")["trips"]
    assert trips <= 4, "it stops the pool each time"
    again = db.insert(rep("poison", "A good line."))
    db.insert_many(20, "Again {n}.")
    assert wait_until(lambda: hurry(db) or (r := db.job(again)).status == "completed" and r).result["rated"] == 1
    wait_until(lambda: db.count("completed") == 71)


@pytest.mark.parametrize("body, words", [
    (error("Too many tokens", code="context_length_exceeded"), "Too many tokens"),
    (error("This model's maximum context length is 4096 tokens. However, you requested 9000."), "maximum context length"),
    (error("The response was filtered", code="content_filter"), "filtered")])
def test_a_refusal_of_what_the_lines_say_is_the_jobs_at_once(make_openai_pool, db, llm, body, words):
    pool = make_openai_pool()
    llm.behave({"do": "says", "body": body})
    row = db.wait(db.insert(rep("One line.")), "failed")
    assert words in row.error and llm.calls == 1 and row.attempts == 1
    assert status(pool)["breaker"] == "closed"


def test_lines_that_an_error_quotes_do_not_stop_the_pool(make_openai_pool, db, llm):
    """A customer says what a provider would, and a gateway repeats it."""
    pool = make_openai_pool(pool={"workers": 1})
    db.completed(rep("A line like others."))
    llm.behave({"do": "says", "body": error("Cannot parse 'Your credit balance is too low; temperature is not supported'"),
                "text": "poison"}, "good")
    db.wait(db.insert(rep("poison")), "failed")
    db.completed(rep("Another."))
    assert pool.show("limits")["trips"] == 0 and "left out" not in pool.log
    assert llm.requests[-1]["body"]["temperature"] == 0


# ---- forms of answers ----

GOOD = ["parts", "reasoning", "think", "think_and_fence", "fenced", "fenced_after_a_sentence", "string_lines", "stream"]
BAD = ["parts_of_thought", "nested_parts", "only_reasoning", "open_think", "late_think", "two_fences", "padded_lines"]


@pytest.mark.parametrize("do", GOOD)
def test_forms_of_good_answers_are_taken(make_openai_pool, db, llm, do):
    """What was only thought says another rating, so nothing of it may come through."""
    make_openai_pool()
    llm.behave(do)
    session = new_session()
    texts = ["First line.", "Second line.", "Third line.", "Fourth line."]
    row = db.wait(db.insert(rep(*texts), session=session), "completed")
    assert row.attempts == 0 and llm.calls == 1
    assert [r.rating for r in db.ratings(session)] == [expected_rating(text, SCALE) for text in texts]
    assert row.result["prompt_tokens"] > 0


@pytest.mark.parametrize("do", BAD)
def test_near_misses_rate_nothing(make_openai_pool, db, llm, do):
    make_openai_pool()
    llm.behave(do)
    session = new_session()
    row = db.wait(db.insert(rep("First line.", "Second line."), session=session, max_attempts=1), "failed")
    assert row.attempts == 1 and db.ratings(session) == []


@pytest.mark.parametrize("do", ["model_length", "MAX_TOKENS"])
def test_ends_for_want_of_room_are_cuts(make_openai_pool, db, llm, do):
    make_openai_pool(cache={"ttl": "0"})
    llm.behave({"do": do, "first": 1}, "good")
    texts = [f"Line number {n}." for n in range(6)]
    session = new_session()
    row = db.wait(db.insert(rep(*texts), session=session), "completed")
    assert row.result["outcomes"]["truncated"] >= 1
    assert [r.rating for r in db.ratings(session)] == [expected_rating(text, SCALE) for text in texts]


@pytest.mark.parametrize("do, words", [("cut_stream", "streamed its answer, which nobody asked for"),
                                       ("stream_error", "Provider disconnected")])
def test_a_stream_without_its_end_is_no_answer(make_openai_pool, db, llm, do, words):
    make_openai_pool()
    llm.behave(do)
    session = new_session()
    job = db.insert(rep("First line."), session=session, max_attempts=1)
    wait_until(lambda: words in (db.job(job).error or ""))
    assert db.job(job).attempts == 0 and db.ratings(session) == []
    llm.behave("good")
    db.wait(job, "completed")


# ---- fields that a model does not take ----

def refusal(name):
    return {"do": "says", "field": name, "body": error(f"Unsupported value: '{name}' does not support 0 with this model.",
                                                       param=name, code="unsupported_value")}


def test_a_field_that_is_refused_by_name_is_left_out_from_then_on(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave(refusal("temperature"), "good")
    db.insert_many(20)
    wait_until(lambda: db.count("completed") == 20)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert pool.log.count("refuses temperature") == 1 and pool.log.count("left out from now on") == 1
    assert pool.show("limits")["trips"] == 0 and pool.metric("rater_failures_total") == 0
    refused = llm.served["says"]
    db.completed(rep("Later."))
    assert llm.served["says"] == refused, "it was tried again"
    assert "temperature" not in llm.requests[-1]["body"] and "response_format" in llm.requests[-1]["body"]
    calls = db.value("SELECT sum((result ->> 'calls')::int) FROM grading_jobs")
    assert calls == llm.calls == pool.metric("rater_calls_total"), "each request counts"


def test_what_one_worker_has_learnt_all_know(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 4, "in_flight": 1, "claim_batch": 1})
    llm.behave({**refusal("temperature"), "delay_ms": 100}, {"delay_ms": 100})
    db.insert_many(40)
    wait_until(lambda: db.count("completed") == 40)
    assert llm.served["says"] <= 4 and pool.log.count("refuses temperature") == 1
    before = set(pool.workers())
    pool.ctl("recycle")
    wait_until(lambda: len(pool.workers()) == 4 and not before & set(pool.workers()))
    refused = llm.served["says"]
    db.insert_many(8, "Later {n}.")
    wait_until(lambda: db.count("completed") == 48)
    assert llm.served["says"] == refused, "a new worker asked with it"


def test_after_a_reload_it_is_tried_again(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave(refusal("temperature"), "good")
    db.completed(rep("First."))
    llm.behave("good")
    pool.ctl("reload")
    wait_until(lambda: db.completed(rep(f"Line {time.monotonic()}.")) and "temperature" in llm.requests[-1]["body"])


def test_several_fields_may_be_refused_one_after_the_other(make_openai_pool, db, llm):
    """json_schema is followed by json_object, and that by nothing; fields of openai.extra are like others."""
    pool = make_openai_pool(pool={"workers": 1}, openai={"extra": Raw("{ seed = 7; top_p = 0.5; }")})
    llm.behave(refusal("temperature"), refusal("seed"),
               {"do": "says", "field": "response_format.type=json_schema",
                "body": error("This response_format type is unavailable now")}, "good")
    db.completed(rep("First."))
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    body = llm.requests[-1]["body"]
    assert set(body) == {"model", "messages", "response_format", "top_p"} and body["top_p"] == 0.5
    assert body["response_format"] == {"type": "json_object"}
    for what in ("temperature", "seed", 'response_format "json_schema"'):
        assert pool.log.count(f"the provider refuses {what} (") == 1


def test_a_field_that_was_not_to_blame_stays(make_openai_pool, db, llm):
    """It is named, but without it the answer is the same."""
    pool = make_openai_pool(pool={"workers": 1})
    db.completed(rep("A line like others."))
    llm.behave({"do": "says", "text": "poison", "body": error("'poison, temperature' is not supported")}, "good")
    db.wait(db.insert(rep("poison"), max_attempts=1), "failed")
    db.completed(rep("Another."))
    assert llm.requests[-1]["body"]["temperature"] == 0 and "left out" not in pool.log


def test_what_cannot_be_left_out_waits_for_an_operator(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave({"do": "says", "body": error("Unsupported parameter: 'messages'", param="messages", code="unsupported_parameter")})
    job = db.insert(max_attempts=1)
    shown = wait_until(lambda: (s := status(pool))["breaker_reason"] and s)
    assert "Unsupported parameter" in shown["breaker_reason"] and "openai.extra" in shown["breaker_reason"]
    wait_until(lambda: db.job(job).status == "pending")
    assert db.job(job).attempts == 0


# ---- the request is configuration ----

def test_the_request_is_as_it_was_without_any_of_it(make_openai_pool, db, llm):
    make_openai_pool()
    db.completed(rep("Hello."))
    request = llm.requests[0]
    assert request["raw"].endswith('"additionalProperties":false}}},"temperature":0}')
    assert set(request["body"]) == {"model", "messages", "response_format", "temperature"}
    assert set(request["headers"]) == {
        "host", "user-agent", "accept-encoding", "content-type", "accept", "authorization", "content-length"}


def test_more_fields_are_merged_into_the_body(make_openai_pool, db, llm):
    extra = ('{ max_completion_tokens = 900; reasoning_effort = "low"; seed = 7L; store = false; penalty = 0.25; '
             'provider: { order = [ "a", "b" ]; allow_fallbacks = false; nested: { x = ( 1, "two", { y = 3; } ); }; }; }')
    make_openai_pool(openai={"temperature": Raw('"none"'), "extra": Raw(extra)})
    db.completed(rep("Hello."))
    body = llm.requests[0]["body"]
    assert "temperature" not in body
    assert (body["max_completion_tokens"], body["reasoning_effort"], body["seed"], body["store"]) == (900, "low", 7, False)
    assert body["penalty"] == 0.25 and body["provider"] == {
        "order": ["a", "b"], "allow_fallbacks": False, "nested": {"x": [1, "two", {"y": 3}]}}


def test_what_determines_a_rating_is_part_of_its_key(make_openai_pool, db, llm):
    """Another seed or temperature is another question; another tier is the same one."""
    settings = [{}, {"extra": Raw("{ seed = 7; }")}, {"extra": Raw("{ seed = 8; }")}, {"temperature": Raw("0.7")},
                {"temperature": Raw('"none"')}]
    same = [{"extra": Raw('{ service_tier = "flex"; prompt_cache_key = "k"; user = "u"; }')},
            {"headers": Raw('{ x-title = "grading"; }')}]
    for n, openai in enumerate(settings + same):
        pool = make_openai_pool(openai=openai, cache={"ttl": "1h"})
        db.completed(rep("Always the same line."))
        assert llm.calls == min(n + 1, len(settings)), openai
        pool.stop()
    assert llm.requests[3]["body"]["temperature"] == 0.7


@pytest.mark.parametrize("openai, header, value", [
    ({"auth_header": "api-key"}, "api-key", "{}"), ({"auth_scheme": "Token"}, "authorization", "Token {}"),
    ({"auth_scheme": "none"}, "authorization", "{}"), ({"auth_header": "X-Key", "auth_scheme": "Bearer"}, "x-key", "Bearer {}")])
def test_header_and_form_of_the_credential(make_openai_pool, db, llm, openai, header, value):
    make_openai_pool(openai={**openai, "base_url": llm.url + "?api-version=2024-10-21"})
    db.completed(rep("Hello."))
    headers = llm.requests[0]["headers"]
    assert headers[header] == value.format(KEY)
    assert (header == "authorization") == ("authorization" in headers)
    assert llm.requests[0]["path"] == "/v1/chat/completions?api-version=2024-10-21"


def test_values_of_headers_come_from_elsewhere_and_are_shown_nowhere(make_pool, db, llm, tmp_path):
    secrets = {"env": "t0ken-fr0m-the-env", "file": "t0ken-fr0m-a-file", "plain": "t0ken-as-it-stands"}
    (tmp_path / "team").write_text(secrets["file"] + "\n")
    headers = f'{{ x-env = "env:TEAM_TOKEN"; x-file = "file:{tmp_path}/team"; x-plain = "{secrets["plain"]}"; }}'
    pool = make_pool(db, env={"TEAM_TOKEN": secrets["env"]}, cache={"ttl": "0"}, rater={"backend": "openai"},
                     queue={"poll": "500ms"}, log={"level": "debug"},
                     openai={"base_url": llm.url, "headers": Raw(headers)})
    llm.behave({"do": "says", "status": 503, "first": 1, "body": error(f"Bad {secrets['env']} or {secrets['file']}")}, "good")
    db.completed(rep("Hello."))
    assert {k: v for k, v in llm.requests[-1]["headers"].items() if k.startswith("x-")} == {
        f"x-{name}": secret for name, secret in secrets.items()}
    said = everything_said(pool, db)
    for pid in [pool.pid, *pool.children().values()]:
        with open(f"/proc/{pid}/environ", encoding="latin-1") as environment:
            said += environment.read()
    assert not [name for name, secret in secrets.items() if secret in said]
    assert 'x-env": "env:TEAM_TOKEN' in pool.ctl("show config").replace("\\", "")


@pytest.mark.parametrize("openai, words", [
    ({"extra": Raw('{ model = "x"; }')}, "openai.extra cannot set model"),
    ({"extra": Raw("{ stream = true; }")}, "openai.extra cannot set stream"),
    ({"extra": Raw("{ messages = ( ); }")}, "openai.extra cannot set messages"),
    ({"extra": Raw('{ response_format = "x"; }')}, "openai.extra cannot set response_format"),
    ({"extra": Raw('"seed"')}, "openai.extra is"), ({"temperature": Raw('"warm"')}, "openai.temperature is"),
    ({"temperature": Raw("2.5")}, "openai.temperature is"),
    ({"headers": Raw('{ content-length = "5"; }')}, "openai.headers cannot set content-length"),
    ({"headers": Raw('{ authorization = "x"; }')}, "openai.auth_header"),
    ({"headers": Raw('{ x-a = "env:NO_SUCH_VARIABLE_HERE"; }')}, "x-a in openai.headers"),
    ({"headers": Raw('{ x-a = "file:/no/such/file"; }')}, "/no/such/file"),
    ({"auth_header": "a b"}, "openai.auth_header is")])
def test_what_cannot_be_sent_is_refused(make_openai_pool, openai, words):
    result = make_openai_pool(openai=openai, start=False).run("-t")
    assert result.returncode == 78 and words in result.stderr + result.stdout
