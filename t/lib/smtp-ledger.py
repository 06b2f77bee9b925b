# A mail server that writes down what it takes, a line per mail in the order of arrival: the name of
# the client, and the Message-ID. It has written a mail down before it accepts it.
#
#     smtp-ledger.py PORT FILE [KEYS]
#
# With KEYS, a folder with tls.crt, tls.key and ca.crt, it speaks TLS with clients that have a
# certificate.
import asyncio
import re
import ssl
import sys

from aiosmtpd.smtp import SMTP

port, file = int(sys.argv[1]), open(sys.argv[2], 'a', buffering=1)


class Ledger:
    async def handle_DATA(self, server, session, envelope):
        found = re.search(rb'^Message-ID: <(.+?)>\r?$', envelope.content, re.M)
        file.write('%s\t%s\n' % (session.host_name, found.group(1).decode() if found else ''))
        return '250 OK'


def context_of(keys):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f'{keys}/ca.crt')
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(f'{keys}/tls.crt', f'{keys}/tls.key')
    return context


async def main():
    loop = asyncio.get_running_loop()
    tls = context_of(sys.argv[3]) if len(sys.argv) > 3 else None
    server = await loop.create_server(lambda: SMTP(Ledger()), '127.0.0.1', port, ssl=tls)
    await server.serve_forever()

asyncio.run(main())
