// Three answers for each key: nginx's (a header of /flags), flagd's own evaluation in this process,
// and for some keys that of OpenFeature's SDK by OFREP. Prints what differs.
'use strict';

const [folder, port, number, file] = process.argv.slice(2);
const net = require('net');
const fs = require('fs');
const module_ = (name) => require(`${folder}/node_modules/@openfeature/${name}`);
const { FlagdCore } = module_('flagd-core');
const { OpenFeature } = module_('server-sdk');
const { OFREPProvider } = module_('ofrep-provider');

const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const definitions = fs.readFileSync(file, 'utf8');
const names = Object.keys(JSON.parse(definitions).flags);
const core = new FlagdCore(undefined, quiet);
core.setConfigurations(definitions);

const keys = Array.from({ length: Number(number) }, (_, i) => `user-${i}`);
const attributes = (key) => ({
    targetingKey: key,
    country: ['DE', 'FR', 'AT'][key.length % 3],
    version: String(1 + key.length % 3),
    mail: `${key}@example.${key.length % 2 ? 'org' : 'com'}`,
});

// The variants of split, one a key, by pipelined requests.
function ask(done) {
    const socket = net.connect(Number(port), '127.0.0.1');
    const found = [];
    let rest = '';
    let sent = 0;

    const send = () => {
        let text = '';
        for (; sent < keys.length && sent < found.length + 500; sent++)
            text += `GET /flags?key=${keys[sent]} HTTP/1.1\r\nHost: x\r\n\r\n`;
        if (text) socket.write(text);
    };

    socket.on('data', (data) => {
        rest += data.toString('latin1');
        let end;
        while ((end = rest.indexOf('\r\n\r\n')) >= 0) {
            found.push((/X-Split: (\S*)/.exec(rest.slice(0, end)) || [])[1]);
            rest = rest.slice(end + 4);
        }
        if (found.length === keys.length) {
            socket.destroy();
            done(found);
        } else if (found.length + 250 >= sent) {
            send();
        }
    });
    socket.on('connect', send);
}

async function sdk(result) {
    const baseUrl = `http://127.0.0.1:${port}`;

    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl }));
    const client = OpenFeature.getClient();

    for (const name of names) {
        for (const key of keys.slice(0, 60)) {
            const wanted = core.resolveBooleanEvaluation(name, false, attributes(key), quiet);
            const is = await client.getBooleanDetails(name, false, attributes(key));
            result.asked++;
            if (wanted.variant !== is.variant || wanted.value !== is.value ||
                wanted.reason !== is.reason)
                result.sdk.push([name, key, wanted, is]);
        }
    }
}

ask(async (found) => {
    const result = { on: 0, core: 0, nginx: [], asked: 0, sdk: [] };

    keys.forEach((key, i) => {
        const { value } = core.resolveBooleanEvaluation('split', false, { targetingKey: key },
            quiet);
        result.on += found[i] === '1';
        result.core += value;
        if (found[i] !== (value ? '1' : '0')) result.nginx.push([key, found[i], value]);
    });
    await sdk(result);
    result.nginx = result.nginx.slice(0, 5);
    result.sdk = result.sdk.slice(0, 5);
    console.log(JSON.stringify(result));
    process.exit(0);
});
