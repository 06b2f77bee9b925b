# A mail server with TLS, which asks for the client's certificate, and puts what it takes into a
# Maildir.
#
#     smtp-tls.py PORT MAILDIR starttls|smtps CERTIFICATE KEY AUTHORITIES
#
# starttls: it takes no mail before STARTTLS; smtps: TLS from the first byte.
import asyncio
import ssl
import sys

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP

port, maildir, how, certificate, key, authorities = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
context.load_verify_locations(authorities)
context.verify_mode = ssl.CERT_REQUIRED
mailbox = Mailbox(maildir)


def make():
    if how == 'smtps':
        return SMTP(mailbox)
    return SMTP(mailbox, tls_context=context, require_starttls=True)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, '127.0.0.1', int(port),
                                      ssl=context if how == 'smtps' else None)
    await server.serve_forever()

asyncio.run(main())
