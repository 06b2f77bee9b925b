#!/usr/bin/python3
"""A client's world: translate.py WORLD PORT ADDRESS PROCESS [PIDFILE]

Takes what a test says in plain HTTP/1.1 on PORT of loopback to the same port of ADDRESS, where
nginx is, in another way:

    tls        over TLS, byte for byte
    slow       through small socket buffers, a few hundred bytes at a time, with turns for other
               connections between
    pipelined  behind another request that was sent in the same segment
    http2      as HTTP/2 over TLS, with two other streams open on the same connection

Ends when nginx has ended: the PROCESS, or where that makes a daemon, that which PIDFILE names.
"""
import asyncio
import http.client
import os
import socket
import ssl
import sys

world, port, address, process = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
pid_file = sys.argv[5] if len(sys.argv) > 5 else None
NOISE = b'GET /world-noise HTTP/1.1\r\nHost: noise\r\n\r\n'


def client_tls(protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    return context


TLS = client_tls(['http/1.1'])
TLS_HTTP2 = client_tls(['h2'])


async def connect():
    sock = socket.socket()
    if world == 'slow':
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (address, port))
    context = {'tls': TLS, 'http2': TLS_HTTP2}.get(world)
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=context, server_hostname='localhost' if context else None,
        limit=2048 if world == 'slow' else 65536)
    # drain() waits until all is sent; with a limit of 0 asyncio's TLS pauses a writer that has
    # nothing left to send
    writer.transport.set_write_buffer_limits(1)
    return reader, writer


async def copy(reader, writer, size=65536):
    """Until the end of reader, which becomes that of writer where there is such a thing."""
    try:
        while data := await reader.read(size):
            writer.write(data)
            await writer.drain()
            if world == 'slow':
                await asyncio.sleep(0)
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, ssl.SSLError, OSError):
        pass


async def relay(reader, writer):
    out_reader, out_writer = await connect()
    up = asyncio.ensure_future(send_on(reader, out_writer))
    await copy(out_reader, writer, 300 if world == 'slow' else 65536)
    up.cancel()
    out_writer.transport.abort()


async def send_on(reader, writer):
    """What the client sends, until it leaves: TLS knows no half-closed connection."""
    await copy(reader, writer)
    if not writer.can_write_eof():
        writer.transport.abort()


async def head_of(reader):
    """The bytes of a request's or response's head, or what there was before the end."""
    try:
        return await reader.readuntil(b'\r\n\r\n')
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as e:
        return getattr(e, 'partial', b'') or await reader.read(65536)


def fields_of(head):
    lines = head.decode('latin-1').split('\r\n')
    fields = [line.split(':', 1) for line in lines[1:] if ':' in line]
    return lines[0], [(name.strip(), value.strip()) for name, value in fields]


# --- pipelined ---

async def pipelined(reader, writer):
    """What comes in one piece goes out in one piece behind the other request, whose answer is
    dropped."""
    out_reader, out_writer = await connect()
    out_writer.write(NOISE + await reader.read(65536))
    up = asyncio.ensure_future(copy(reader, out_writer))
    if not (await head_of(out_reader)).startswith(b'HTTP/1.1 204'):
        print('translate: the first of the pipelined requests got no answer', file=sys.stderr)
    await copy(out_reader, writer)
    up.cancel()
    out_writer.transport.abort()


# --- HTTP/2 ---

class Http2:
    """One connection to nginx: requests are sent one after the other, two streams with noise
    before each."""

    def __init__(self, reader, writer):
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from hyperframe.frame import GoAwayFrame
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding='latin-1',
                                               validate_outbound_headers=False,
                                               validate_inbound_headers=False,
                                               normalize_outbound_headers=False))
        self.h2.decoder.max_header_list_size = 1 << 20
        # after a GOAWAY nginx still answers what it has, which the library does not take
        self.last = None
        self.h2._frame_dispatch_table[GoAwayFrame] = self.go_away
        self.h2.initiate_connection()
        self.flush()

    def go_away(self, frame):
        self.last = frame.last_stream_id
        return [], []

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    def send_head(self, method, path, authority, fields, end):
        from h2.exceptions import ProtocolError
        stream = self.h2.get_next_available_stream_id()
        head = [(':method', method), (':scheme', 'https'), (':authority', authority),
                (':path', path)]
        try:
            self.h2.send_headers(stream, head + fields, end_stream=end)
        except ProtocolError as e:
            raise ConnectionError(str(e)) from e
        return stream

    async def send_body(self, stream, chunks):
        async for data in chunks:
            while data:
                n = min(len(data), self.h2.local_flow_control_window(stream),
                        self.h2.max_outbound_frame_size)
                if n == 0:
                    await asyncio.sleep(0.01)
                    continue
                self.h2.send_data(stream, data[:n])
                data = data[n:]
                self.flush()
        self.h2.end_stream(stream)
        self.flush()

    async def events(self):
        from h2.exceptions import ProtocolError
        while data := await self.reader.read(65536):
            try:
                events = self.h2.receive_data(data)
            except ProtocolError as e:  # such as an upstream's 103 that nginx takes for its answer
                raise ConnectionError(str(e)) from e
            for event in events:
                yield event
            self.flush()
            if self.last is not None and self.last < self.h2.highest_outbound_stream_id:
                return


async def body_chunks(reader, fields):
    length = fields.get('content-length')
    if length is not None:
        left = int(length)
        while left > 0 and (data := await reader.read(min(left, 65536))):
            left -= len(data)
            yield data
    else:
        while size := int((await reader.readline()).split(b';')[0] or b'0', 16):
            yield await reader.readexactly(size)
            await reader.readline()
        while (await reader.readline()).strip():
            pass


def http1_head(headers, method, version):
    """The head for the client, and how the body is framed: 'none', 'length', 'chunked' or
    'close'."""
    status = dict(headers)[':status']
    out = ['HTTP/1.1 %s %s' % (status, http.client.responses.get(int(status), 'Unknown'))]
    names = [name for name, _ in headers]
    for name, value in headers:
        if not name.startswith(':'):
            out.append('%s: %s' % ('ETag' if name == 'etag' else name.title(), value))
    if method == 'HEAD' or status in ('204', '304'):
        framing = 'none'
    elif 'content-length' in names:
        framing = 'length'
    elif version == 'HTTP/1.0':
        framing = 'close'
    else:
        framing = 'chunked'
        out.append('Transfer-Encoding: chunked')
    return out, framing


async def answer_of(link, stream, writer, method, version, close):
    """Passes one response on; returns whether the client's connection goes on."""
    from h2 import events
    framing = 'none'
    async for event in link.events():
        if getattr(event, 'stream_id', None) not in (stream, None):
            if isinstance(event, events.DataReceived):
                link.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            continue
        if isinstance(event, events.ResponseReceived):
            out, framing = http1_head(event.headers, method, version)
            if close or framing == 'close':
                out.append('Connection: close')
            writer.write(('\r\n'.join(out) + '\r\n\r\n').encode('latin-1'))
        elif isinstance(event, events.DataReceived):
            link.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            data = event.data
            if framing == 'chunked' and data:
                data = b'%x\r\n%b\r\n' % (len(data), data)
            writer.write(data)
            await writer.drain()
        elif isinstance(event, events.StreamEnded):
            if framing == 'chunked':
                writer.write(b'0\r\n\r\n')
            link.flush()
            return not close and framing != 'close' and link.last is None
        elif isinstance(event, events.StreamReset):
            return False
    return False


async def http2(reader, writer):
    out_reader, out_writer = await connect()
    try:
        await http2_requests(Http2(out_reader, out_writer), reader, writer)
    finally:
        out_writer.transport.abort()


async def http2_requests(link, reader, writer):
    dropped = ('host', 'connection', 'keep-alive', 'transfer-encoding', 'proxy-connection',
               'upgrade', 'te')
    going_on = True
    while going_on and (head := await head_of(reader)):
        line, fields = fields_of(head)
        method, path, version = (line.split(' ') + ['', ''])[:3]
        known = {name.lower(): value for name, value in fields}
        has_body = 'transfer-encoding' in known or known.get('content-length', '0') != '0'
        for _ in range(2):
            link.send_head('GET', '/world-noise', 'noise', [], True)
        kept = [(name.lower(), value) for name, value in fields if name.lower() not in dropped]
        stream = link.send_head(method, path, known.get('host', 'localhost'), kept, not has_body)
        link.flush()
        sending = None
        if has_body:
            sending = asyncio.ensure_future(link.send_body(stream, body_chunks(reader, known)))
        close = known.get('connection', '').lower() == 'close' or version == 'HTTP/1.0'
        answer = asyncio.ensure_future(answer_of(link, stream, writer, method, version, close))
        gone = asyncio.ensure_future(client_left(reader, writer, answer, sending))
        going_on = await answer
        gone.cancel()
        if sending:
            await sending


async def client_left(reader, writer, answer, sending):
    """A client that leaves while it waits for its answer takes the request back."""
    if sending:
        await sending
    while not reader.at_eof():
        await asyncio.sleep(0.05)
    answer.cancel()


# --- the listener ---

async def serve(reader, writer):
    try:
        await {'http2': http2, 'pipelined': pipelined}.get(world, relay)(reader, writer)
        await writer.drain()
    except (ConnectionError, ssl.SSLError, OSError, asyncio.IncompleteReadError,
            asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def until_process_ends(pid):
    try:
        ended, descriptor = asyncio.Event(), os.pidfd_open(pid)
    except OSError:
        return
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


async def daemon():
    """The master that the process has made. The process ends before the master writes the file;
    without a file after this time there is no master."""
    for _ in range(1000):
        try:
            with open(pid_file) as f:
                return int(f.read())
        except (OSError, ValueError):
            await asyncio.sleep(0.02)
    return None


async def until_nginx_ends():
    await until_process_ends(process)
    if pid_file and (master := await daemon()):
        await until_process_ends(master)


def nginx_listens():
    with socket.socket() as sock:
        return sock.connect_ex((address, port)) == 0


async def main():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if world == 'slow':
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    sock.bind(('127.0.0.1', port))
    print('ready', flush=True)
    os.close(1)
    ended = asyncio.ensure_future(until_nginx_ends())
    while not ended.done() and not nginx_listens():
        await asyncio.sleep(0.01)
    server = await asyncio.start_server(serve, sock=sock, backlog=1024)
    await ended
    server.close()  # and not wait_closed(), which would wait for clients that stay

asyncio.run(main())
