// corpus.js FOLDER: makes keys and tokens with the library jose in FOLDER/node_modules, which has
// nothing in common with the edge. Prints one line of JSON for the JWK Set, and then one for each
// token: its name, whether it must pass, and the token.
const path = require('path');
const url = require('url');
const crypto = require('crypto');
const folder = process.argv[2];

const ISSUER = 'https://issuer.example';
const NOW = Math.floor(Date.now() / 1000);
const b64 = (text) => Buffer.from(text).toString('base64url');
const json = (value) => b64(JSON.stringify(value));

const TYPES = [
    ['RS256', {modulusLength: 2048}],
    ['RS384', {modulusLength: 2048}],
    ['RS512', {modulusLength: 3072}],
    ['PS256', {modulusLength: 2048}],
    ['PS384', {modulusLength: 2048}],
    ['PS512', {modulusLength: 4096}],
    ['ES256', {}],
    ['ES384', {}],
    ['ES512', {}],
    ['EdDSA', {crv: 'Ed25519'}],
];

const claims = (more) =>
    ({iss: ISSUER, aud: 'api', sub: 'alice', iat: NOW, exp: NOW + 3600, ...more});

function put(name, good, token) {
    console.log(JSON.stringify({name, good, token}));
}

async function main() {
    const library = path.join(folder, 'node_modules/jose/dist/node/esm/index.js');
    const jose = await import(url.pathToFileURL(library));
    const keys = {}, set = [];
    for (const [alg, options] of TYPES) {
        keys[alg] = await jose.generateKeyPair(alg, {...options, extractable: true});
        keys[alg].jwk = {...await jose.exportJWK(keys[alg].publicKey), kid: alg, alg, use: 'sig'};
        set.push(keys[alg].jwk);
    }
    const any = await jose.generateKeyPair('RS256', {modulusLength: 2048, extractable: true});
    set.push({...await jose.exportJWK(any.publicKey), kid: 'any'});
    const stranger = await jose.generateKeyPair('ES256', {extractable: true});
    const strangerJwk = await jose.exportJWK(stranger.publicKey);
    console.log(JSON.stringify({keys: set}));

    // A token as jose makes it.
    const make = (alg, header, payload, key) => new jose.SignJWT(payload)
                                                    .setProtectedHeader({alg, kid: alg, ...header})
                                                    .sign(key ?? keys[alg].privateKey);
    // A token of any header and payload, which are texts, with a good signature all the same.
    const sign = (alg, header, payload, key) => {
        const text = `${b64(header)}.${b64(payload)}`;
        const options = {key: key ?? keys[alg].privateKey};
        if (alg.startsWith('ES')) options.dsaEncoding = 'ieee-p1363';
        if (alg.startsWith('PS')) {
            options.padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
            options.saltLength = crypto.constants.RSA_PSS_SALTLEN_DIGEST;
        }
        const hash = alg === 'EdDSA' ? null : `sha${alg.slice(2)}`;
        return `${text}.${crypto.sign(hash, Buffer.from(text), options).toString('base64url')}`;
    };
    const parts = (token) => token.split('.');
    const withSignature = (token, change) => {
        const [h, p, s] = parts(token);
        return `${h}.${p}.${change(Buffer.from(s, 'base64url')).toString('base64url')}`;
    };

    // --- good ones ---
    for (const [alg] of TYPES) {
        put(`good: ${alg}`, true, await make(alg, {}, claims()));
        put(`good: ${alg}, typ`, true,
            await make(alg, {typ: 'at+jwt'}, claims({aud: ['x', 'api']})));
    }
    for (const alg of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'])
        put(`good: ${alg} of a key for any`, true,
            sign(alg, JSON.stringify({alg, kid: 'any'}), JSON.stringify(claims()), any.privateKey));
    put('good: signed by hand', true,
        sign('ES256', '{"alg":"ES256","kid":"ES256"}', JSON.stringify(claims())));
    put('good: another form of JSON', true,
        sign(
            'EdDSA', ' {"kid" : "EdDSA",\n"alg":"Ed\\u0044SA"} ',
            JSON.stringify(claims(), null, 4)));

    // --- signatures: each algorithm ---
    for (const [alg] of TYPES) {
        const good = await make(alg, {}, claims());
        const [h, p, s] = parts(good);
        put(`${alg}: no signature`, false, `${h}.${p}.`);
        put(`${alg}: first byte changed`, false, withSignature(good, (b) => (b[0] ^= 1, b)));
        put(`${alg}: last byte changed`, false,
            withSignature(good, (b) => (b[b.length - 1] ^= 1, b)));
        put(`${alg}: one byte less`, false, withSignature(good, (b) => b.subarray(0, -1)));
        put(`${alg}: one byte more`, false,
            withSignature(good, (b) => Buffer.concat([b, Buffer.from([0])])));
        put(`${alg}: a zero byte in front`, false,
            withSignature(good, (b) => Buffer.concat([Buffer.from([0]), b])));
        put(`${alg}: zeros`, false, withSignature(good, (b) => b.fill(0)));
        put(`${alg}: ones`, false, withSignature(good, (b) => b.fill(255)));
        put(`${alg}: other claims`, false, `${h}.${json(claims({sub: 'root'}))}.${s}`);
        put(`${alg}: other header`, false, `${json({alg, kid: alg, x: 1})}.${p}.${s}`);
    }
    for (const alg of ['ES256', 'ES384', 'ES512']) {
        const text = `${json({alg, kid: alg})}.${json(claims())}`;
        const der = crypto.sign(`sha${alg.slice(2)}`, Buffer.from(text), keys[alg].privateKey);
        put(`${alg}: in DER`, false, `${text}.${der.toString('base64url')}`);
        const half = {ES256: 32, ES384: 48, ES512: 66}[alg];
        const good = await make(alg, {}, claims());
        put(`${alg}: r is 0`, false, withSignature(good, (b) => (b.fill(0, 0, half), b)));
        put(`${alg}: s is 0`, false, withSignature(good, (b) => (b.fill(0, half), b)));
        put(`${alg}: r and s changed places`, false,
            withSignature(good, (b) => Buffer.concat([b.subarray(half), b.subarray(0, half)])));
        put(`${alg}: r and s are 1`, false,
            withSignature(good, (b) => (b.fill(0), b[half - 1] = b[2 * half - 1] = 1, b)));
    }
    {
        const text = `${json({alg: 'PS256', kid: 'PS256'})}.${json(claims())}`;
        for (const saltLength of [0, 20, 48])
            put(`PS256: a salt of ${saltLength} bytes`, false,
                `${text}.${
                    crypto
                        .sign('sha256', Buffer.from(text), {
                            key: keys.PS256.privateKey,
                            padding: crypto.constants.RSA_PKCS1_PSS_PADDING,
                            saltLength
                        })
                        .toString('base64url')}`);
        put('PS256: PKCS #1 v1.5', false,
            `${text}.${
                crypto.sign('sha256', Buffer.from(text), keys.PS256.privateKey)
                    .toString('base64url')}`);
    }

    // --- algorithms and keys ---
    const payload = JSON.stringify(claims());
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '', ' ', 'null'])
        for (const signature of ['', 'AA'])
            put(`alg ${JSON.stringify(alg)}, signature "${signature}"`, false,
                `${json({alg, kid: 'ES256'})}.${b64(payload)}.${signature}`);
    for (const alg of ['HS256', 'HS384', 'HS512']) {
        const secrets = {
            'the PEM of the public key': await jose.exportSPKI(keys.RS256.publicKey),
            'its JWK': JSON.stringify(keys.RS256.jwk),
            'its modulus': Buffer.from(keys.RS256.jwk.n, 'base64url'),
            'nothing': 'x'.repeat(64),
        };
        for (const [name, secret] of Object.entries(secrets)) {
            const text = `${json({alg, kid: 'RS256'})}.${b64(payload)}`;
            put(`${alg} with ${name}`, false,
                `${text}.${
                    crypto.createHmac(`sha${alg.slice(2)}`, secret)
                        .update(text)
                        .digest('base64url')}`);
        }
    }
    for (const [alg, kid] of [
             ['RS384', 'RS256'], ['PS256', 'RS256'], ['RS256', 'PS256'], ['RS512', 'RS384']])
        put(`${alg} with the key for ${kid}`, false,
            sign(alg, JSON.stringify({alg, kid}), payload, keys[kid].privateKey));
    put('another curve', false,
        sign('ES256', JSON.stringify({alg: 'ES384', kid: 'ES384'}), payload));
    for (const alg
             of ['ES256K', 'RSA-OAEP', 'Ed25519', 'ES', 'es256', 'ES256 ', 'A256GCM', 'dir',
                 'RS256\u0000'])
        put(`alg ${JSON.stringify(alg)}`, false,
            sign('ES256', JSON.stringify({alg, kid: 'ES256'}), payload));
    put('no alg', false, sign('ES256', '{"kid":"ES256"}', payload));
    for (const alg of ['null', '1', '["ES256"]', '{"ES256":1}', 'true'])
        put(`alg is ${alg}`, false, sign('ES256', `{"alg":${alg},"kid":"ES256"}`, payload));
    put('a stranger\'s key', false, await make('ES256', {}, claims(), stranger.privateKey));
    for (const kid
             of ['"x"', '""', 'null', '1', '"../../../dev/null"', '"ES256\\u0000"', '"es256"',
                 '["ES256"]', `"${'\' OR 1=1 --'}"`])
        put(`kid ${kid}`, false, sign('ES256', `{"alg":"ES256","kid":${kid}}`, payload));
    put('no kid, two keys', false, sign('RS256', '{"alg":"RS256"}', payload));
    put('jwk in the header', false,
        await make('ES256', {kid: undefined, jwk: strangerJwk}, claims(), stranger.privateKey));
    put('jwk in the header, known kid', false,
        await make('ES256', {jwk: strangerJwk}, claims(), stranger.privateKey));
    put('jwk in the header, good signature', false,
        await make('ES256', {jwk: keys.ES256.jwk}, claims()));
    for (const name of ['jku', 'x5u'])
        put(name, false,
            await make('ES256', {[name]: 'http://127.0.0.1:1/'}, claims(), stranger.privateKey));
    put('x5c', false, await make('ES256', {x5c: ['AAAA']}, claims(), stranger.privateKey));
    for (const crit of ['["b64"]', '["exp"]', '[]', 'null', '"exp"'])
        put(`crit ${crit}`, false,
            sign(
                'ES256', `{"alg":"ES256","kid":"ES256","crit":${crit},"b64":true,"exp":1}`,
                payload));
    for (const typ
             of ['"dpop+jwt"', '"logout+jwt"', '"JWE"', '""', '1', 'null', '["JWT"]', '"JWT "',
                 '"x/JWT"'])
        put(`typ ${typ}`, false,
            sign('ES256', `{"alg":"ES256","kid":"ES256","typ":${typ}}`, payload));

    // --- forms ---
    const good = await make('ES256', {}, claims());
    const [h, p, s] = parts(good);
    const forms = {
        'one part': h,
        'two parts': `${h}.${p}`,
        'four parts': `${good}.${s}`,
        'five parts': `${h}.${p}.${s}.${h}.${p}`,
        'dots': '..',
        'an empty payload': `${h}..${s}`,
        'an empty header': `.${p}.${s}`,
        'padding': `${good}=`,
        'padding of the header': `${h}==.${p}.${s}`,
        'a quote': `"${good}"`,
        'a comma': `${good},`,
        'a slash': `${h}.${p}.${s.slice(0, -1)}/`,
        'a plus': `${h}.${p}.+${s.slice(1)}`,
        'a percent sign': good.replace('.', '%2E'),
        'bits behind the last byte':
            `${h}.${p}.${s.slice(0, -1)}${String.fromCharCode(s.charCodeAt(s.length - 1) + 1)}`,
        'twice': `${good}.${good}`,
        'a space within': `${h}. ${p}.${s}`,
        'a tab': `${h}.\t${p}.${s}`,
        'JSON serialization': JSON.stringify({protected: h, payload: p, signature: s}),
        'a long signature': `${h}.${p}.${'A'.repeat(1600)}`,
    };
    for (const [name, token] of Object.entries(forms)) put(name, false, token);
    put('JWE', false,
        await new jose.EncryptJWT(claims())
            .setProtectedHeader({alg: 'ECDH-ES', enc: 'A128GCM'})
            .encrypt(keys.ES256.publicKey)
            .catch(() => `${h}.${p}.${s}.${h}.${p}`));
    const headers = {
        'a BOM': '\ufeff{"alg":"ES256","kid":"ES256"}',
        'an array': '["ES256"]',
        'a text': '"ES256"',
        'nothing': ' ',
        'two objects': '{"alg":"ES256","kid":"ES256"}{}',
        'a comment': '{"alg":"ES256"/**/,"kid":"ES256"}',
        'a trailing comma': '{"alg":"ES256","kid":"ES256",}',
        'single quotes': '{\'alg\':\'ES256\'}',
        'alg twice': '{"alg":"none","alg":"ES256","kid":"ES256"}',
        'alg twice, escaped': '{"alg":"ES256","\\u0061lg":"none","kid":"ES256"}',
        'a lone surrogate': '{"alg":"ES256","kid":"ES256","x":"\\ud800"}',
        'NUL': '{"alg":"ES256","kid":"ES256","x":"\\u0000"}',
        'a large one': `{"alg":"ES256","kid":"ES256","x":"${'y'.repeat(2100)}"}`,
    };
    for (const [name, header] of Object.entries(headers))
        put(`header: ${name}`, false, sign('ES256', header, payload));

    // --- claims ---
    const bad = {
        'no iss': {iss: undefined},
        'iss with a slash': {iss: `${ISSUER}/`},
        'iss in capitals': {iss: ISSUER.toUpperCase()},
        'an empty iss': {iss: ''},
        'iss as list': {iss: [ISSUER]},
        'iss null': {iss: null},
        'iss with a space': {iss: `${ISSUER} `},
        'no aud': {aud: undefined},
        'another aud': {aud: 'API'},
        'aud as part': {aud: 'api api'},
        'an empty aud': {aud: ''},
        'an empty list as aud': {aud: []},
        'others in aud': {aud: ['a', 'b']},
        'aud is a number': {aud: 1},
        'a number in aud': {aud: ['api', 1]},
        'aud is an object': {aud: {api: 1}},
        'a list in aud': {aud: [['api']]},
        'aud null': {aud: null},
        'no exp': {exp: undefined},
        'exp now': {exp: NOW - 30},
        'exp long ago': {exp: 1},
        'exp 0': {exp: 0},
        'exp negative': {exp: -1},
        'exp as text': {exp: String(NOW + 3600)},
        'exp null': {exp: null},
        'exp true': {exp: true},
        'exp as list': {exp: [NOW + 3600]},
        'exp in the far future': {exp: 1e17},
        'exp beyond all numbers': {exp: 1e300},
        'nbf in the future': {nbf: NOW + 3600},
        'nbf as text': {nbf: '0'},
        'nbf null': {nbf: null},
        'nbf false': {nbf: false},
        'iat in the future': {iat: NOW + 3600},
        'iat as text': {iat: '0'},
        'iat null': {iat: null},
        'sub is a number': {sub: 1},
        'sub as list': {sub: ['alice']},
        'sub null': {sub: null},
        'jti is a number': {jti: 1},
    };
    for (const [name, more] of Object.entries(bad))
        put(`claims: ${name}`, false,
            sign('ES256', '{"alg":"ES256","kid":"ES256"}', JSON.stringify(claims(more))));
    const payloads = {
        'exp twice': `{"iss":"${ISSUER}","aud":"api","exp":1,"exp":${NOW + 3600}}`,
        'sub twice':
            `{"iss":"${ISSUER}","aud":"api","exp":${NOW + 3600},"sub":"a","s\\u0075b":"root"}`,
        'twice within': `{"iss":"${ISSUER}","aud":"api","exp":${NOW + 3600},"x":{"a":1,"a":2}}`,
        'exp NaN': `{"iss":"${ISSUER}","aud":"api","exp":NaN}`,
        'exp 1e999': `{"iss":"${ISSUER}","aud":"api","exp":1e999}`,
        'exp 2^64': `{"iss":"${ISSUER}","aud":"api","exp":18446744073709551616}`,
        'exp -2^63': `{"iss":"${ISSUER}","aud":"api","exp":-9223372036854775808}`,
        'exp in hexadecimal': `{"iss":"${ISSUER}","aud":"api","exp":0x7fffffff}`,
        'a list': `[${payload}]`,
        'a text': '"alice"',
        'null': 'null',
        'a number': '1',
        'cut off': payload.slice(0, -1),
        'more behind it': `${payload} x`,
        'a token': good,
        'deep': '['.repeat(3000) + ']'.repeat(3000),
        'invalid UTF-8': Buffer.concat(
            [Buffer.from(`${payload.slice(0, -1)},"x":"`), Buffer.from([0xff]), Buffer.from('"}')]),
        'overlong UTF-8': Buffer.concat([
            Buffer.from(`${payload.slice(0, -1)},"x":"`), Buffer.from([0xc0, 0xaf]),
            Buffer.from('"}')
        ]),
    };
    for (const [name, text] of Object.entries(payloads))
        put(`payload: ${name}`, false, sign('ES256', '{"alg":"ES256","kid":"ES256"}', text));
}

main();
