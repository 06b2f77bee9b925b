#!/usr/bin/python3
"""smtp-sink.py PORT FOLDER [KEYS]: takes mails on 127.0.0.1 and keeps them in the maildir FOLDER.

With KEYS, a folder with tls.crt, tls.key and ca.crt, connections are by TLS 1.3, and clients must
have a certificate of ca.crt. Changed files are used within a second, for new connections.
"""

import asyncio
import os
import ssl
import sys

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP


def context_of(keys):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(f"{keys}/tls.crt", f"{keys}/tls.key")
    context.load_verify_locations(f"{keys}/ca.crt")
    return context


async def serve(port, folder, keys):
    loop = asyncio.get_running_loop()
    handler = Mailbox(folder)

    def listen():
        return loop.create_server(
            lambda: SMTP(handler, loop=loop),
            "127.0.0.1",
            port,
            ssl=context_of(keys) if keys else None,
            reuse_port=True,
        )

    server, read = await listen(), keys and os.path.realpath(keys)
    while True:
        await asyncio.sleep(1)
        now = keys and os.path.realpath(keys)
        if now == read:
            continue
        # A context cannot forget an authority, so there is a new listener beside the old one.
        try:
            newer = await listen()
        except (OSError, ssl.SSLError) as error:
            print(f"changed certificates cannot be used: {error}", file=sys.stderr)
            continue
        server.close()
        server, read = newer, now


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
