# A mail server that misbehaves at some stage of the dialogue.
#
#     smtp-hostile.py PORT FILE [CERTIFICATE]
#
# Each line of FILE.mood has a stage (greeting, EHLO, AUTH, login, MAIL, RCPT, DATA, text or QUIT)
# and what happens there:
#
#     silent      no reply while the file says so; then the usual one
#     close       the connection is closed
#     flood       a reply that does not end, in lines
#     line        a line that does not end
#     drip        a reply that does not end, byte by byte
#     say TEXT    this reply, where \r, \n and \0 mean these bytes, and <> the recipient
#
# Without the file, all mail is taken. FILE gets a line for each stage that was reached: its name,
# and the recipient, or at `login` what AUTH PLAIN said; `closed` is the end of a connection.
# CERTIFICATE is a file with a certificate and its key, for TLS from the first byte.
import asyncio
import base64
import re
import ssl
import sys

port, name = int(sys.argv[1]), sys.argv[2]
heard = open(name, 'a', buffering=1)
USUAL = {
    'greeting': '220 hostile ESMTP', 'AUTH': '334 ', 'login': '235 ok', 'DATA': '354 go on',
    'QUIT': '221 bye'}


def mood(stage):
    try:
        with open(name + '.mood') as f:
            moods = dict(line.strip().split(' ', 1) for line in f)
    except FileNotFoundError:
        return ''
    return moods.get(stage, '')


async def endless(writer, piece, pause=0.0):
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)


# Replies at a stage. Returns false when the connection is to be closed.
async def reply(stage, recipient, writer):
    what = mood(stage)
    if what == 'close':
        return False
    if what in ('flood', 'line', 'drip'):
        code = USUAL.get(stage, '250')[:3].encode()
        writer.write(code + b'-')
        await {
            'flood': lambda: endless(writer, (b'x\r\n' + code + b'-') * 10000),
            'line': lambda: endless(writer, b'x' * 65536),
            'drip': lambda: endless(writer, b'x', 0.05),
        }[what]()
    if what.startswith('say '):
        text = what[4:].replace('\\r', '\r').replace('\\n', '\n').replace('\\0', '\0')
        text = text.replace('<>', '<%s>' % recipient)
        writer.write(text.encode('latin1') + b'\r\n')
        return True
    while mood(stage) == 'silent':
        await asyncio.sleep(0.02)
    writer.write(USUAL.get(stage, '250 ok').encode() + b'\r\n')
    return stage != 'QUIT'


async def talk(reader, writer):
    recipient, stage = '', 'greeting'
    while True:
        heard.write('%s %s\n' % (stage, recipient))
        if not await reply(stage, recipient, writer):
            return
        if stage == 'DATA':
            stage = 'text'
            while (line := await reader.readline()) not in (b'.\r\n', b''):
                pass
        elif stage == 'AUTH':
            stage, line = 'login', await reader.readline()
            recipient = base64.b64decode(line).replace(b'\0', b' ').decode()
        else:
            line = await reader.readline()
            stage = line[:4].decode('latin1').upper()
            if found := re.match(rb'RCPT TO:<(.*?)>', line, re.I):
                recipient = found.group(1).decode('latin1')
        if line == b'':
            return


async def serve(reader, writer):
    try:
        await talk(reader, writer)
    except ConnectionError:
        pass
    heard.write('closed\n')
    writer.close()


async def main():
    tls = None
    if len(sys.argv) > 3:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[3])
    server = await asyncio.start_server(serve, '127.0.0.1', port, ssl=tls)
    await server.serve_forever()

asyncio.run(main())
