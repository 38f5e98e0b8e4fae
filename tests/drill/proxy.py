"""A proxy in front of Postgres that knows where one message ends and the next begins, to cut at a chosen one.

Modes: "pass"; "drop" (nothing gets through either way, sockets stay open, new ones too); "refuse" (new connections
are closed at once). cut(statement, when) cuts the connection on which that prepared statement comes next: "before"
its commit reaches the server (all of it but the Sync), or "after" the server has committed and before the answer
gets back. It serves in a thread of its own.
"""
import asyncio
import collections
import threading

from llm_server import HOST, reserve_port

PATIENCE_S = 60

BIND, SYNC, READY, TERMINATE = b"B", b"S", b"Z", b"X"


def messages(pending):
    """The whole messages at the start of a bytearray, taken off it: (type, bytes)."""
    while len(pending) >= 5:
        end = 1 + int.from_bytes(pending[1:5], "big")
        if len(pending) < end:
            return
        message = bytes(pending[:end])
        del pending[:end]
        yield message[:1], message


class Cut:
    """An order to cut, until somebody carries it out."""

    def __init__(self, statement, when):
        self.statement, self.when = statement, when
        self.done = threading.Event()
        self.taken = False


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.client, self.server = client, server       # (reader, writer) of each side
        self.sent = collections.deque()                 # the statement, or "", of each Sync not answered yet
        self.statement = ""
        self.cut = None

    def close(self):
        for _, writer in (self.client, self.server):
            writer.transport.abort()

    async def upstream(self):
        reader, _ = self.client
        _, writer = self.server
        length = await reader.readexactly(4)            # the startup message has no type
        writer.write(length + await reader.readexactly(int.from_bytes(length, "big") - 4))
        pending = bytearray()
        while data := await reader.read(65536):
            pending += data
            for kind, message in messages(pending):
                await self.proxy.passing()
                if kind == BIND:
                    self.statement = message[5:].split(b"\0", 2)[1].decode()
                if kind == SYNC:
                    if self.cut_before():
                        return
                    self.sent.append(self.statement)
                    self.statement = ""
                writer.write(message)
            await writer.drain()

    def cut_before(self):
        cut = self.proxy.take(self.statement)
        if cut and cut.when == "before":
            cut.done.set()
            return True
        self.cut = self.cut or cut
        return False

    async def downstream(self):
        reader, _ = self.server
        _, writer = self.client
        pending = bytearray()
        while data := await reader.read(65536):
            pending += data
            for kind, message in messages(pending):
                await self.proxy.passing()
                held = self.cut and self.sent and self.sent[0] == self.cut.statement
                if kind == READY and self.sent:
                    self.sent.popleft()
                if held and kind == READY:              # the server has committed
                    self.cut.done.set()
                    return
                if not held:
                    writer.write(message)
            await writer.drain()

    async def run(self):
        both = [asyncio.ensure_future(half) for half in (self.upstream(), self.downstream())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for half in both:
                half.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            self.close()


class Proxy:
    def __init__(self, socket_path):
        self.socket_path = socket_path
        self.reserved = reserve_port()
        self.port = self.reserved.getsockname()[1]
        self.mode = "pass"
        self.cuts = []
        self.links = set()
        self.loop = asyncio.new_event_loop()
        self.passed = None
        self.server = None
        ready = threading.Event()
        self.thread = threading.Thread(target=self.serve, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(PATIENCE_S), "the proxy does not start"

    def serve(self, ready):
        asyncio.set_event_loop(self.loop)
        self.passed = asyncio.Event()
        self.passed.set()
        self.server = self.loop.run_until_complete(asyncio.start_server(self.accept, HOST, self.port))
        ready.set()
        self.loop.run_forever()

    async def accept(self, reader, writer):
        if self.mode == "refuse":
            writer.transport.abort()
            return
        await self.passing()
        try:
            link = Link(self, (reader, writer), await asyncio.open_unix_connection(self.socket_path))
        except OSError:
            writer.transport.abort()
            return
        self.links.add(link)
        try:
            await link.run()
        finally:
            self.links.discard(link)

    async def passing(self):
        while self.mode == "drop":
            await self.passed.wait()

    def take(self, statement):
        """The cut that this statement is to suffer, if any."""
        for cut in self.cuts:
            if cut.statement == statement and not cut.taken:
                cut.taken = True
                self.cuts.remove(cut)
                return cut
        return None

    # ---- from other threads ----

    def in_loop(self, function, *arguments):
        done = threading.Event()

        def call():
            function(*arguments)
            done.set()

        self.loop.call_soon_threadsafe(call)
        assert done.wait(PATIENCE_S), "the proxy is stuck"

    def set_mode(self, mode):
        def change():
            self.mode = mode
            if mode == "drop":
                self.passed.clear()
            else:
                self.passed.set()

        self.in_loop(change)

    def drop_for_good(self):
        """Nothing gets through on the connections that are there; new ones work."""
        def change():
            for link in self.links:
                for _, writer in (link.client, link.server):
                    writer.transport.pause_reading()

        self.in_loop(change)

    def order_cut(self, statement, when):
        cut = Cut(statement, when)
        self.in_loop(self.cuts.append, cut)
        return cut

    def forget_cuts(self):
        self.in_loop(self.cuts.clear)

    def close(self):
        def end():
            self.server.close()
            for link in list(self.links):
                link.close()
            self.loop.call_later(0.1, self.loop.stop)

        self.in_loop(end)
        self.thread.join(10)
        self.reserved.close()
