# A mail server that writes down what it takes, a line per mail in the order of arrival: the name of
# the client, and the Message-ID. It has written a mail down before it accepts it.
#
#     smtp-ledger.py PORT FILE
import asyncio
import re
import sys

from aiosmtpd.smtp import SMTP

port, file = int(sys.argv[1]), open(sys.argv[2], 'a', buffering=1)


class Ledger:
    async def handle_DATA(self, server, session, envelope):
        found = re.search(rb'^Message-ID: <(.+?)>\r?$', envelope.content, re.M)
        file.write('%s\t%s\n' % (session.host_name, found.group(1).decode() if found else ''))
        return '250 OK'


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Ledger()), '127.0.0.1', port)
    await server.serve_forever()

asyncio.run(main())
