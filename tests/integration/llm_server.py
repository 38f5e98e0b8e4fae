#!/usr/bin/python3
"""A scripted OpenAI-compatible server for tests: it answers well, badly, late or not at all.

As a program: llm_server.py [--port N] [--script FILE_OR_JSON] [--tls CERT KEY] [--http2]; it prints its
port and serves until it is ended. GET /control/stats and /control/requests tell what it saw, POST
/control/behave takes a new script. From pytest: class LlmServer.

A script is a list of rules, or one rule, or the name of a behaviour. The first rule whose conditions
all hold serves a call; without one, the answer is good. As a proxy it forwards http:// by answering itself,
and opens tunnels to anywhere. HTTP/2 (over TLS) knows the behaviours that are about the reply, not those
about its way here. A rule is an object:

  do            what to do (default "good"); BEHAVIOURS has the names
  first         serves so many calls, then is used up: [{"do": "500", "first": 3}, "good"]
  text          only calls with a line that contains this
  name          only calls whose sales rep has this name
  probability   only so large a share of the calls (the same ones in each run)
  above         only while more than so many calls are in flight
  delay_ms      answers no sooner than this
  hold          holds the answer back until release(); any name, so that one of several can be released
  retry_after   for errors: Retry-After in seconds, or "date:SECONDS" for an HTTP date
  retry_after_ms, message, status    for errors: another header, message or status
  clock         for errors: a Date header so many seconds off
  location      redirect: where to
  size          oversized, gzip_bomb: bytes of the body
  tokens        what usage reports in all, whatever the reply's size
  field         only calls whose body has this field; "response_format.type=json_schema" has it with this value
  session       true: only calls about a session as a whole; false: only those about lines
  content       the model's words, instead of a good answer's
  body          says: the body of the answer, as JSON or as a string; status goes with it (default 400)
  chunk_ms      drip: pause between two pieces of the body
"""
import argparse
import asyncio
import collections
import contextlib
import email.utils
import gzip
import json
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
import zlib

try:
    import h2.config
    import h2.connection
    import h2.errors
    import h2.events
    import h2.exceptions
except ImportError:
    h2 = None       # then there is no HTTP/2

HOST = "127.0.0.1"
LINGER_S = 0.2
RULE_KEYS = {"do", "first", "text", "name", "probability", "above", "delay_ms", "hold", "retry_after", "retry_after_ms",
             "message", "status", "size", "chunk_ms", "clock", "location", "tokens", "field", "body", "session", "content"}


def reserve_port():
    """A socket that keeps a port of its own until it is closed. A server that sets SO_REUSEADDR, as all do,
    may listen there meanwhile; nobody else gets the port, not even as the near end of a connection."""
    s = socket.socket()
    s.bind((HOST, 0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return s


def expected_rating(text, scale):
    """The rating that a good answer gives a line: always the same one for the same words."""
    return scale[zlib.crc32(text.encode()) % len(scale)]


def rate(question):
    return [{"line": line["line"],
             "rating": expected_rating(line["text"], question["scale"]),
             "alternatives": [f"Alternative {n} to line {line['line']}." for n in (1, 2)],
             "reason": "Scripted."}
            for line in question["lines"]]


def grade_session(question):
    """A good answer about a session as a whole: always the same one for the same words."""
    said = "".join(line["text"] for line in question["conversation"])
    return {"score": zlib.crc32(said.encode()) % 101, "summary": "Scripted summary.",
            "strengths": ["Scripted strength."], "improvements": ["Scripted improvement.", "Another."]}


def draft(text):
    """What a model first thought of: every line is excellent."""
    reply = json.loads(text)
    for rating in reply.get("ratings", []):
        rating["rating"] = "excellent"
    return json.dumps(dict(reply, score=100) if "score" in reply else reply)


# ---- behaviours, by the stage at which each departs from a good answer ----

RATINGS = {
    "unknown_rating": lambda r: [dict(r[0], rating="splendid")] + r[1:],
    "missing_line": lambda r: r[:-1],
    "duplicate_line": lambda r: r + r[:1],
    "stray_line": lambda r: r + [dict(r[0], line=1000001)],
    "swapped_lines": lambda r: r[::-1],
    "string_lines": lambda r: [dict(x, line=str(x["line"])) for x in r],
    "padded_lines": lambda r: [dict(x, line=f"0{x['line']}") for x in r],
    "renumbered": lambda r: [dict(x, line=x["line"] + 1) for x in r],
}

CONTENTS = {
    "fenced": lambda text: f"```json\n{text}\n```",
    "fenced_after_a_sentence": lambda text: f"Here it is:\n\n```json\n{text}\n```\n",
    "two_fences": lambda text: f"A draft:\n```json\n{draft(text)}\n```\nBetter:\n```json\n{text}\n```",
    "think": lambda text: f"<think>\n{draft(text)}\n</think>\n\n{text}",
    "think_and_fence": lambda text: f"<think>{draft(text)}</think>\nHere it is:\n```json\n{text}\n```",
    "open_think": lambda text: f"<think>\n{draft(text)}",
    "late_think": lambda text: f"Well. <think>{draft(text)}</think>{text}",
    "not_json": lambda text: "Certainly! The first line is excellent, and the others are good.",
    "wrong_schema": lambda text: text.replace('"ratings"', '"grades"', 1),
    "empty": lambda text: "",
}


def with_choice(envelope, finish_reason, **message):
    envelope["choices"][0]["finish_reason"] = finish_reason
    envelope["choices"][0]["message"].update(message)
    return envelope


def cut(envelope):
    content = envelope["choices"][0]["message"]["content"]
    return with_choice(envelope, "length", content=content[:len(content) * 6 // 10])


def with_parts(envelope, *kinds):
    """Typed parts: the draft is thought, the answer is said in two halves."""
    content = envelope["choices"][0]["message"]["content"]
    parts = {"thinking": [{"type": "thinking", "thinking": draft(content)}],
             "nested": [{"type": "text", "text": [{"type": "text", "text": content}]}],
             "text": [{"type": "text", "text": half} for half in (content[:20], content[20:])]}
    return with_choice(envelope, "stop", content=[part for kind in kinds for part in parts[kind]])


def with_choice_error(envelope, error=None):
    envelope["choices"][0].update({"error": error} if error else {})
    return with_choice(envelope, "error", content="")


def as_stream(body, end=True, error=None):
    """The same answer as a stream of events, as some servers send it although nobody asked for one."""
    envelope = json.loads(body)
    content = envelope["choices"][0]["message"]["content"]
    pieces = [content[at:at + 7] for at in range(0, len(content), 7)]
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    chunks.insert(0, {"choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": draft(content)}}]})
    if error:
        chunks = chunks[:5] + [{"error": error, "choices": []}]
    elif end:
        chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": envelope["usage"]}]
    else:
        chunks = chunks[:-2]
    events = [f"data: {json.dumps(dict(chunk, model=envelope['model']))}\n\n" for chunk in chunks]
    return (": OK\n\n" + "".join(events) + ("data: [DONE]\n\n" if end else "")).encode()


ENVELOPES = {
    "parts": lambda e: with_parts(e, "thinking", "text"),
    "parts_of_thought": lambda e: with_parts(e, "thinking"),
    "nested_parts": lambda e: with_parts(e, "nested"),
    "reasoning": lambda e: with_choice(e, "stop", reasoning_content=draft(e["choices"][0]["message"]["content"])),
    "only_reasoning": lambda e: with_choice(e, "stop", reasoning_content=e["choices"][0]["message"]["content"], content=""),
    "model_length": lambda e: with_choice(cut(e), "model_length"),
    "MAX_TOKENS": lambda e: with_choice(cut(e), "MAX_TOKENS"),
    "choice_error": lambda e: with_choice_error(e, {"code": 502, "message": "Provider disconnected"}),
    "finish_error": with_choice_error,
    "cut": cut,
    "refusal": lambda e: with_choice(e, "stop", content=None, refusal="I cannot help with that."),
    "content_filter": lambda e: with_choice(e, "content_filter", content=None),
    "null_content": lambda e: with_choice(e, "stop", content=None),
    "no_choices": lambda e: dict(e, choices=[]),
    "error_in_200": lambda e: {"error": {"code": 502, "message": "The upstream model failed."}},
}

BODIES = {
    "stream": as_stream,
    "cut_stream": lambda body: as_stream(body, end=False),
    "stream_error": lambda body: as_stream(body, error={"code": 502, "message": "Provider disconnected"}),
    "envelope_not_json": lambda body: b"<html><body>It works!</body></html>",
    "no_body": lambda body: b"",
}

# name: status, code, type, message
ERRORS = {
    "400": (400, "invalid_value", "invalid_request_error", "Invalid value for 'messages'."),
    "401": (401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided: {key}."),
    "402": (402, None, None, "Insufficient Balance"),
    "403": (403, None, "forbidden", "Project has no access to this model (key {key})."),
    "404": (404, "model_not_found", "invalid_request_error", "The model does not exist."),
    "408": (408, None, "timeout", "Request timed out."),
    "409": (409, None, "conflict", "Try again."),
    "413": (413, None, "too_large", "Body too large."),
    "422": (422, None, "invalid_request_error", "Unprocessable."),
    "429": (429, "rate_limit_exceeded", "requests", "Rate limit reached for {model}."),
    "500": (500, None, "server_error", "The server had an error."),
    "502": (502, None, "bad_gateway", "Bad gateway."),
    "503": (503, None, "overloaded", "The engine is overloaded."),
    "504": (504, None, "timeout", "Upstream timed out."),
    "insufficient_quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your quota."),
    "context_length": (400, "context_length_exceeded", "invalid_request_error", "Too many tokens."),
    "content_policy": (400, "content_policy_violation", "invalid_request_error", "Rejected by policy."),
    "redirect": (308, None, None, "Moved."),
}


async def send_head(call, status, headers):
    lines = [f"HTTP/{call.version} {status} Scripted"] + [f"{k}: {v}" for k, v in headers.items()]
    call.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    await call.writer.drain()


async def send_whole(call, status, headers, body):
    await send_head(call, status, dict(headers, **{"Content-Length": len(body)}))
    call.writer.write(body)
    await call.writer.drain()
    return True


async def send_hang(call, status, headers, body):
    await call.reader.read(1)       # until the client has had enough
    return False


async def send_reset(call, status, headers, body):
    await send_head(call, status, dict(headers, **{"Content-Length": len(body)}))
    call.writer.write(body[:len(body) // 2])
    await call.writer.drain()
    await asyncio.sleep(0.05)
    linger = struct.pack("ii", 1, 0)        # close(2) sends RST instead of FIN
    call.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    call.writer.transport.abort()
    return False


async def send_nothing(call, status, headers, body):
    return False                    # closes without a byte


async def send_drip(call, status, headers, body):
    await send_head(call, status, dict(headers, **{"Transfer-Encoding": "chunked"}))
    for at in range(0, len(body), 64):
        piece = body[at:at + 64]
        call.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await call.writer.drain()
        await asyncio.sleep(call.rule.get("chunk_ms", 20) / 1000)
    call.writer.write(b"0\r\n\r\n")
    return True


async def send_oversized(call, status, headers, body):
    return await send_whole(call, status, headers, b" " * call.rule.get("size", 10 << 20))


async def send_gzip(call, status, headers, body):
    headers = dict(headers, **{"Content-Encoding": "gzip"})
    return await send_whole(call, status, headers, gzip.compress(body))


async def send_gzip_bomb(call, status, headers, body):
    return await send_gzip(call, status, headers, b" " * call.rule.get("size", 100 << 20))


async def send_http10(call, status, headers, body):
    call.version = "1.0"
    await send_head(call, status, headers)
    call.writer.write(body)         # its end is the connection's
    await call.writer.drain()
    return False


async def send_slow_head(call, status, headers, body):
    """A byte now and then, for ever."""
    call.writer.write(b"HTTP/1.1 200 Scripted\r\nX-Slow: ")
    while True:
        call.writer.write(b"x")
        await call.writer.drain()
        await asyncio.sleep(call.rule.get("chunk_ms", 20) / 1000)


async def send_interim_flood(call, status, headers, body):
    call.writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
    return await send_whole(call, status, headers, body)


async def send_garbage(call, status, headers, body):
    call.writer.write(b"\x16\x03\x01 not HTTP at all\r\n\r\n")
    return False


async def send_bad_gzip(call, status, headers, body):
    headers = dict(headers, **{"Content-Encoding": "gzip"})
    return await send_whole(call, status, headers, b"\x1f\x8b\x08\x00" + b"x" * 100)


async def send_small_headers(call, status, headers, body):
    return await send_whole(call, status, dict(headers, **{f"X-{n}": n for n in range(1000)}), body)


async def send_many_headers(call, status, headers, body):
    many = {f"X-{n}": "x" * 1000 for n in range(100)}
    return await send_whole(call, status, dict(headers, **many), body)


# Each returns whether the connection stays open.
SENDERS = {
    "hang": send_hang, "reset": send_reset, "close": send_nothing, "drip": send_drip,
    "oversized": send_oversized, "gzip": send_gzip, "gzip_bomb": send_gzip_bomb, "http10": send_http10,
    "many_headers": send_many_headers, "small_headers": send_small_headers, "slow_head": send_slow_head,
    "interim_flood": send_interim_flood, "garbage": send_garbage, "bad_gzip": send_bad_gzip,
}

BEHAVIOURS = {"good", "echo", "says", *RATINGS, *CONTENTS, *ENVELOPES, *BODIES, *ERRORS, *SENDERS}


def same(value):
    return value


class Script:
    def __init__(self, rules):
        rules = rules if isinstance(rules, (list, tuple)) else [rules]
        self.rules = [{"do": rule} if isinstance(rule, str) else dict(rule) for rule in rules]
        self.random = random.Random(0)
        for rule in self.rules:
            if rule.setdefault("do", "good") not in BEHAVIOURS or not RULE_KEYS.issuperset(rule):
                raise ValueError(f"no such rule: {rule}")

    def choose(self, call, in_flight):
        for rule in self.rules:
            if self.fits(rule, call, in_flight):
                if "first" in rule:
                    rule["first"] -= 1
                return rule
        return {"do": "good"}

    def fits(self, rule, call, in_flight):
        if rule.get("first", 1) <= 0 or in_flight <= rule.get("above", 0):
            return False
        if "name" in rule and call.question["sales_rep"] != rule["name"]:
            return False
        if call.session != rule.get("session", call.session):
            return False
        if "field" in rule and not call.has_field(rule["field"]):
            return False
        if not any(rule.get("text", "") in line["text"] for line in call.lines):
            return False
        return self.random.random() < rule.get("probability", 1)


class Call:
    """One request and how it was served."""

    def __init__(self, reader, writer, path, headers, raw):
        self.reader, self.writer = reader, writer
        self.at = time.monotonic()
        self.path, self.headers, self.raw = path, headers, raw
        self.version = "1.1"
        self.rule = None
        self.body = json.loads(raw)
        self.question = json.loads(self.body["messages"][-1]["content"])
        self.session = self.question.get("task") == "session"
        self.lines = self.question["conversation" if self.session else "lines"]

    def has_field(self, field):
        path, _, wanted = field.partition("=")
        value = self.body
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        return not wanted or value == wanted

    def record(self):
        return {"path": self.path, "headers": self.headers, "body": self.body, "question": self.question,
                "at": self.at, "do": self.rule["do"], "raw": self.raw.decode(), "version": self.version}

    def error(self, do):
        status, code, kind, message = ERRORS[do]
        message = self.rule.get("message", message)
        message = message.replace("{key}", self.headers.get("authorization", "").removeprefix("Bearer "))
        message = message.replace("{model}", str(self.body.get("model")))
        headers = {"Content-Type": "application/json"}
        after = self.rule.get("retry_after")
        if isinstance(after, str) and after.startswith("date:"):
            at = time.time() + float(after.removeprefix("date:"))
            after = email.utils.formatdate(at, usegmt=True)
        if after is not None:
            headers["Retry-After"] = after
        if "retry_after_ms" in self.rule:
            headers["retry-after-ms"] = self.rule["retry_after_ms"]
        if do == "redirect":
            headers["Location"] = self.rule.get("location", self.path)
        if "clock" in self.rule:
            headers["Date"] = email.utils.formatdate(time.time() + self.rule["clock"], usegmt=True)
        body = {"error": {"code": code, "type": kind, "message": message}}
        return self.rule.get("status", status), headers, json.dumps(body).encode()

    def answer(self, do):
        if self.session:
            answer = grade_session(self.question)
        else:
            answer = {"ratings": RATINGS.get(do, same)(rate(self.question))}
        content = CONTENTS.get(do, same)(json.dumps(answer))
        content = self.rule.get("content", content)
        if do == "echo":
            content = self.lines[0]["text"]
        tokens = {"prompt_tokens": len(self.raw) // 4, "completion_tokens": len(content) // 4}
        if "tokens" in self.rule:
            tokens = {"prompt_tokens": self.rule["tokens"] - 1, "completion_tokens": 1}
        envelope = {
            "id": "chatcmpl-scripted", "object": "chat.completion",
            "model": self.body["model"] + "-scripted",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": content, "refusal": None}}],
            "usage": dict(tokens, total_tokens=sum(tokens.values())),
        }
        body = json.dumps(ENVELOPES.get(do, same)(envelope)).encode()
        return 200, {"Content-Type": "application/json"}, BODIES.get(do, same)(body)

    def reply(self):
        """Status, headers and body."""
        do = self.rule["do"]
        if do == "says":
            body = self.rule["body"]
            return self.rule.get("status", 400), {}, (body if isinstance(body, str) else json.dumps(body)).encode()
        return self.error(do) if do in ERRORS else self.answer(do)

    async def serve(self):
        return await SENDERS.get(self.rule["do"], send_whole)(self, *self.reply())


class Http2:
    """One connection of HTTP/2: many calls at the same time."""

    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.streams = {}
        self.tasks = set()
        self.last = None            # the last stream that is served, once the client was told to go away
        self.heard = time.monotonic()

    async def flush(self):
        self.writer.write(self.connection.data_to_send())
        await self.writer.drain()

    async def run(self):
        self.connection.initiate_connection()
        await self.flush()
        while data := await self.reader.read(65536):
            self.heard = time.monotonic()
            for event in self.connection.receive_data(data):
                self.take(event)
            await self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            headers = {k.decode(): v.decode() for k, v in event.headers}
            self.streams[event.stream_id] = headers, bytearray()
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id][1].extend(event.data)
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded) and self.is_refused(event.stream_id):
            self.server.refused += 1
        elif isinstance(event, h2.events.StreamEnded):
            self.task(self.serve(event.stream_id, *self.streams.pop(event.stream_id)))

    def is_refused(self, stream):
        """As nginx does at keepalive_requests: what comes later is not looked at. Or one stream alone is refused."""
        if self.server.refuse_streams > 0:
            self.server.refuse_streams -= 1
            self.connection.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            return True
        if self.server.streams_per_connection and self.last is None and \
                stream // 2 + 1 >= self.server.streams_per_connection:
            self.last = stream
            self.task(self.go_away())
            return False
        return self.last is not None and stream > self.last

    def task(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def go_away(self):
        """Later ones may have come until it is said; the connection ends when what was taken is served."""
        await asyncio.sleep(self.server.goaway_delay_ms / 1000)
        self.writer.write(struct.pack(">I", 8)[1:] + b"\x07\x00" + struct.pack(">III", 0, self.last, 0))
        await self.writer.drain()
        while len(self.tasks) > 1:
            await asyncio.sleep(0.01)
        await self.linger()
        self.writer.close()

    async def linger(self):
        """As nginx does: a connection that is closed with bytes unread is reset, and replies under way are lost."""
        begun = time.monotonic()
        while time.monotonic() - max(self.heard, begun) < LINGER_S and time.monotonic() - begun < 10 * LINGER_S:
            await asyncio.sleep(0.01)

    async def serve(self, stream, headers, raw):
        call = Call(None, None, headers[":path"], headers, bytes(raw))
        call.version = "2"
        with self.server.counted(call):
            await asyncio.sleep(call.rule.get("delay_ms", 0) / 1000)
            status, headers, body = call.reply()
            fields = [(":status", str(status))] + [(k.lower(), str(v)) for k, v in headers.items()]
            try:
                self.connection.send_headers(stream, fields)
                self.connection.send_data(stream, body, end_stream=True)
                await self.flush()
            except (h2.exceptions.ProtocolError, ConnectionError):
                self.server.given_up += 1


class LlmServer:
    """start(), stop() (start() again takes the same port), .url for openai.base_url, .behave(script).

    The port is kept while it is stopped: nobody else gets it, and who connects is refused.
    """

    def __init__(self, script="good", port=0, keep=10000, tls=None, http2=False):
        self.script = Script(script)
        self.port = port
        self.requests = collections.deque(maxlen=keep)
        self.calls = self.connections = self.in_flight = self.max_concurrent = self.given_up = 0
        self.served = collections.Counter()
        self.refused = 0                # streams that were not processed
        self.streams_per_connection = 0 # HTTP/2; 0: no end
        self.refuse_streams = 0         # so many are to be refused
        self.goaway_delay_ms = 0
        self.requests_per_connection = 0        # HTTP/1.1; 0: no end
        self.tunnels = []           # what clients said to the proxy in us
        self.writers = set()
        self.held = {}                  # by the name it is held under: set when it is released
        self.reserved = None
        self.loop = self.thread = self.server = self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
            if http2:
                self.tls.set_alpn_protocols(["h2", "http/1.1"])

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}/v1"

    def behave(self, *rules):
        """From now on, these rules."""
        self.script = Script(rules)

    def release(self, *names):
        """Answers what is held under these names, without any all that is held; from now on they hold nothing."""
        self.loop.call_soon_threadsafe(self.let_go, names)

    def let_go(self, names):
        for rule in self.script.rules:
            if not names or rule.get("hold") in names:
                rule.pop("hold", None)
        for name in names or list(self.held):
            if name in self.held:
                self.held.pop(name).set()

    def stats(self):
        return {name: getattr(self, name) for name in
                ("calls", "connections", "in_flight", "max_concurrent", "given_up", "served")}

    def start(self):
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.listen())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def close(self):
        self.stop()
        if self.reserved:
            self.reserved.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    async def listen(self):
        if not self.port:
            self.reserved = reserve_port()
            self.port = self.reserved.getsockname()[1]
        self.server = await asyncio.start_server(self.serve_connection, HOST, self.port, ssl=self.tls,
                                                 backlog=4096, limit=1 << 20)

    async def end(self):
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.held.clear()               # the next loop has events of its own

    async def serve_connection(self, reader, writer):
        self.connections += 1
        self.writers.add(writer)
        tls = writer.get_extra_info("ssl_object")
        try:
            if tls and tls.selected_alpn_protocol() == "h2":
                await Http2(self, reader, writer).run()
            served = 0
            while not await self.is_over(served, reader, writer) and await self.serve_request(reader, writer):
                served += 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def serve_request(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if line)}
        if method == "CONNECT":
            return await self.serve_tunnel(reader, writer, path, headers)
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        if path.startswith("/control/"):
            return await self.serve_control(writer, path, raw)
        if method != "POST" or not path.partition("?")[0].endswith("/chat/completions"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        return await self.serve_call(Call(reader, writer, path, headers, raw))

    async def serve_tunnel(self, reader, writer, path, headers):
        self.tunnels.append((path, headers))
        host, port = path.rsplit(":", 1)
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self.writers.add(far_writer)
        writer.write(b"HTTP/1.1 200 Tunnel\r\n\r\n")

        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        try:
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        finally:
            self.writers.discard(far_writer)
            far_writer.close()
        return False

    @contextlib.contextmanager
    def counted(self, call):
        """A call from its arrival to its end, with the rule that serves it."""
        self.calls += 1
        self.in_flight += 1
        self.max_concurrent = max(self.max_concurrent, self.in_flight)
        try:
            call.rule = self.script.choose(call, self.in_flight)
            self.served[call.rule["do"]] += 1
            self.requests.append(call.record())
            yield
        finally:
            self.in_flight -= 1

    async def serve_call(self, call):
        with self.counted(call):
            if not await self.wait(call):
                self.given_up += 1
                return False
            return await call.serve()

    async def is_over(self, served, reader, writer):
        """An idle connection that is closed just when the next request is on its way: nobody looks at that one."""
        if not self.requests_per_connection or served < self.requests_per_connection:
            return False
        if await reader.read(1):
            self.refused += 1
            writer.transport.abort()
        return True

    async def wait(self, call):
        """Waits out delay_ms, or to be released; False when the client went away meanwhile."""
        if "hold" in call.rule:
            over = asyncio.ensure_future(self.held.setdefault(call.rule["hold"], asyncio.Event()).wait())
        elif call.rule.get("delay_ms"):
            over = asyncio.ensure_future(asyncio.sleep(call.rule["delay_ms"] / 1000))
        else:
            return True
        gone = asyncio.ensure_future(call.reader.read(1))
        try:
            await asyncio.wait({over, gone}, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done() or gone.result() != b""
        finally:
            over.cancel()
            gone.cancel()
            await asyncio.gather(over, gone, return_exceptions=True)

    async def serve_control(self, writer, path, raw):
        status, answer = 200, {}
        try:
            if path == "/control/behave":
                self.script = Script(json.loads(raw))
            else:
                answer = {"/control/stats": self.stats,
                          "/control/requests": lambda: list(self.requests)}[path]()
        except (KeyError, ValueError, TypeError) as error:
            status, answer = 400, {"error": str(error)}
        body = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 %d Control\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        return True


def main():
    parser = argparse.ArgumentParser(description="scripted OpenAI-compatible server")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--script", default='"good"', help="a file, or the script itself as JSON")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--http2", action="store_true")
    options = parser.parse_args()
    script = options.script
    if os.path.exists(script):
        with open(script, encoding="utf-8") as file:
            script = file.read()
    server = LlmServer(json.loads(script), options.port, tls=options.tls, http2=options.http2)

    async def run():
        await server.listen()
        print(server.port, flush=True)
        await server.server.serve_forever()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
