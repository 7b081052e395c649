"""A TCP proxy that does to a connection what networks and servers that die do to it.

    black_hole()     takes what comes and passes nothing on, in neither direction, and says nothing (new ones too)
    half_open(way)   the same in one direction only: UP to the server, DOWN to the client
    delay(seconds)   each flight waits so long
    cut()            ends all connections with a reset; refuse() also those to come
    heal()           what was swallowed stays lost, so its connections are reset; new ones pass
    trap(…)          holds a commit before it reaches the server, or swallows the answer to it and cuts

Everything may be called from any thread.
"""
import socket
import struct
import threading
import time
from collections import deque

import wire

UP, DOWN = "up", "down"
PIECE = 1 << 16


class Trap:
    """For the next flight that `matches`. HOLD: it waits, whole, until release(), or until drop(), which ends the
    connection without it. CUT: the server gets it, the client never hears of it. A commit that the server refused does
    not count and its answer passes."""

    HOLD, CUT = "hold", "cut"

    def __init__(self, matches, action):
        self.matches, self.action = matches, action
        self.sprung, self.released = threading.Event(), threading.Event()
        self.armed, self.dropped = True, False

    def release(self):
        self.released.set()

    def drop(self):
        self.dropped = True
        self.released.set()


class Link:
    """One connection: two threads, each copying one way."""

    def __init__(self, proxy, client):
        self.proxy, self.client, self.server = proxy, client, None
        self.talk = proxy.conversation()
        self.lock = threading.Lock()  # of talk, caught, pending
        self.caught, self.pending = None, b""  # the trap and flight whose answer is awaited
        self.lost = False  # something was swallowed

    def start(self):
        threading.Thread(target=self.up, daemon=True).start()

    def close(self, reset=True):
        for s in (self.client, self.server):
            if s is None:
                continue
            try:
                if reset:  # RST instead of FIN
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        self.proxy.forget(self)

    def up(self):
        try:
            if not self.proxy.swallows(UP) or not self.proxy.swallows(DOWN):
                self.server = socket.create_connection(self.proxy.target, timeout=30)
                self.server.settimeout(None)
                threading.Thread(target=self.down, daemon=True).start()
            while data := self.client.recv(PIECE):
                with self.lock:
                    flights = self.talk.client(data)
                for flight in flights:
                    self.send_up(flight)
        except OSError:
            pass
        if not self.lost:  # a half-open connection says nothing of its end
            self.close(reset=False)

    def send_up(self, flight):
        trap = self.proxy.spring(flight)
        if trap and trap.action == Trap.HOLD:
            trap.sprung.set()
            trap.released.wait()
            if trap.dropped:
                raise ConnectionAbortedError
        elif trap:
            with self.lock:
                self.caught = (trap, flight)
        self.pass_on(UP, self.server, flight.data)

    def down(self):
        try:
            while data := self.server.recv(PIECE):
                with self.lock:
                    caught = self.caught
                    if caught:
                        self.pending += data
                        committed = self.talk.answers(caught[1], data)
                        if committed is None:
                            continue
                        data, self.pending, self.caught = self.pending, b"", None
                if caught and committed:
                    caught[0].sprung.set()
                    break
                if caught:
                    self.proxy.rearm(caught[0])
                self.pass_on(DOWN, self.client, data)
        except OSError:
            pass
        if not self.lost:
            self.close()

    def pass_on(self, way, to, data):
        self.proxy.note(way, data)
        data = self.proxy.altered(way, data)
        if self.proxy.latency:
            time.sleep(self.proxy.latency)  # what a slow network does, not a wait for anything
        if self.proxy.swallows(way) or to is None:
            self.lost = True
        else:
            to.sendall(data)


class Proxy:
    """Listens on a free port of 127.0.0.1 (or on `port`) for `target`, a (host, port)."""

    def __init__(self, target, conversation=wire.Raw, port=0):
        self.target, self.conversation = target, conversation
        self.latency, self.attempts, self.refusing = 0.0, 0, False
        self.attempt_times = deque(maxlen=10_000)
        self.bytes = {UP: 0, DOWN: 0}
        self._swallowed, self._links, self._traps = set(), set(), []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.attempts += 1
                self.attempt_times.append(time.monotonic())
                refused = self.refusing
            if refused:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, client)
            with self._lock:
                self._links.add(link)
            link.start()

    def forget(self, link):
        with self._lock:
            self._links.discard(link)

    def note(self, way, data):
        with self._lock:
            self.bytes[way] += len(data)

    def altered(self, _way, data):
        """What is passed on in the place of a flight: a server that lies overrides it."""
        return data

    def swallows(self, way):
        return way in self._swallowed

    # ---- traps

    def trap(self, matches, action):
        trap = Trap(matches, action)
        with self._lock:
            self._traps.append(trap)
        return trap

    def spring(self, flight):
        with self._lock:
            for trap in self._traps:
                if trap.armed and trap.matches(flight):
                    trap.armed = False
                    return trap
        return None

    def rearm(self, trap):
        with self._lock:
            trap.armed = True

    # ---- faults

    def black_hole(self):
        self._swallowed = {UP, DOWN}

    def half_open(self, way):
        self._swallowed = {way}

    def delay(self, seconds):
        self.latency = seconds

    def cut(self):
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()

    def refuse(self):
        self.refusing = True
        self.cut()

    def heal(self):
        swallowed, self._swallowed = self._swallowed, set()
        self.latency, self.refusing = 0.0, False
        if swallowed:
            self.cut()

    def open_links(self):
        with self._lock:
            return len(self._links)

    def stop(self):
        with self._lock:
            traps, self._traps = self._traps, []
        for trap in traps:
            trap.release()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.cut()
