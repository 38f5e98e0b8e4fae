#!/usr/bin/python3
"""A scripted provider that can keep up with a pool: /chat/completions and no more, one process.

It prints its port, then takes orders on stdin, one JSON object a line, and answers each with a line of counters:
{"do": "good" | "429" | "500" | "credit" | "hang" | "reset" | "outage", "share": of the calls (1), "delay_ms": 300,
"retry_after": seconds}. What is not in its share is answered well. An outage refuses connections. llm_server.py knows
many more ways to misbehave, at a tenth of the speed.
"""
import asyncio
import collections
import json
import pathlib
import random
import struct
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

# pylint: disable=wrong-import-position
from llm_server import HOST, rate, reserve_port

BLAMES = {"429": (429, "rate_limit_exceeded", "Rate limit reached."), "500": (500, None, "The server had an error."),
          "credit": (400, "invalid_request_error", "Your credit balance is too low to access the API.")}


class Provider:
    def __init__(self):
        self.reserved = reserve_port()
        self.port = self.reserved.getsockname()[1]
        self.order = {"do": "good"}
        self.served = collections.Counter()
        self.connections = set()
        self.server = None

    async def obey(self, order):
        self.order = order
        away = order["do"] == "outage"
        if away and self.server:
            self.server.close()
            self.server = None
            for connection in list(self.connections):
                connection.transport.abort()
        elif not away and not self.server:
            self.server = await asyncio.get_running_loop().create_server(lambda: Connection(self), HOST, self.port,
                                                                         backlog=1000)
        if order["do"] != "hang":
            for connection in list(self.connections):
                connection.release()


class Connection(asyncio.Protocol):
    def __init__(self, provider):
        self.provider = provider
        self.transport = None
        self.pending = b""
        self.hung = False

    def connection_made(self, transport):
        self.transport = transport
        self.provider.connections.add(self)

    def connection_lost(self, exc):
        self.provider.connections.discard(self)

    def data_received(self, data):
        self.pending += data
        head, mark, body = self.pending.partition(b"\r\n\r\n")
        if not mark:
            return
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
        if len(body) < length:
            return
        self.pending = body[length:]
        self.serve(body[:length])

    def serve(self, body):
        order = self.provider.order
        do = order["do"] if random.random() < order.get("share", 1) else "good"
        self.provider.served[do] += 1
        if do == "hang":
            self.hung = True
        elif do == "reset":
            linger = struct.pack("ii", 1, 0)        # close(2) sends RST instead of FIN
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        elif do in BLAMES:
            status, code, message = BLAMES[do]
            more = f"Retry-After: {order['retry_after']}\r\n" if "retry_after" in order else ""
            self.later(order, status, {"error": {"code": code, "type": code, "message": message}}, more)
        else:
            asked = json.loads(body)
            content = json.dumps({"ratings": rate(json.loads(asked["messages"][-1]["content"]))})
            self.later(order, 200, {
                "id": "chatcmpl-drill", "object": "chat.completion", "model": asked["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
                "usage": {"prompt_tokens": len(body) // 4, "completion_tokens": len(content) // 4}})

    def later(self, order, status, answer, more=""):
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        asyncio.get_running_loop().call_later(order.get("delay_ms", 300) / 1000, self.write, head.encode() + body)

    def write(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)

    def release(self):
        """A hang is over: who was kept waiting is left alone."""
        if self.hung:
            self.transport.abort()


async def main():
    provider = Provider()
    await provider.obey(provider.order)
    print(provider.port, flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        await provider.obey(json.loads(line))
        print(json.dumps(provider.served), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
