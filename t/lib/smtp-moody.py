# A mail server with moods: what it says to a recipient depends on how the address begins.
#
#     smtp-moody.py PORT FILE
#
#     poison…   421, and the connection is closed, always
#     slow…     no answer, ever
#     grey…     450 at the first attempt, taken at the second (greylisting)
#     refused…  550
#
# All other mail is taken, with a line for each, the recipient, in FILE. While FILE.mood exists, all
# recipients get the reply that is in it.
import asyncio
import os
import re
import sys

port, name = int(sys.argv[1]), sys.argv[2]
taken, known = open(name, 'a', buffering=1), set()


def answer(recipient):
    try:
        with open(name + '.mood') as f:
            return f.read().strip()
    except FileNotFoundError:
        pass
    if recipient.startswith('poison'):
        return '421 4.7.0 too many messages for <%s>' % recipient
    if recipient.startswith('slow'):
        return None
    if recipient.startswith('refused'):
        return '550 5.1.1 no such user'
    if recipient.startswith('grey') and recipient not in known:
        known.add(recipient)
        return '450 4.2.0 come again'
    return '250 ok'


async def serve(reader, writer):
    def say(line):
        writer.write(line.encode() + b'\r\n')

    recipient = ''
    say('220 moody ESMTP')
    while line := await reader.readline():
        command = line.decode('latin1').strip()
        if found := re.match(r'RCPT TO:<(.*?)>', command, re.I):
            recipient = found.group(1)
            reply = answer(recipient)
            if reply is None:
                await reader.read()
                break
            say(reply)
            if reply.startswith('421'):
                break
        elif command.upper() == 'DATA':
            say('354 go on')
            while await reader.readline() not in (b'.\r\n', b''):
                pass
            taken.write(recipient + '\n')
            say('250 ok')
        elif command.upper() == 'QUIT':
            say('221 bye')
            break
        else:
            say('250 ok')
    writer.close()


async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', port)
    await server.serve_forever()

asyncio.run(main())
