// dpop.js FOLDER: makes tokens and proofs (RFC 9449) with the library jose in FOLDER/node_modules,
// which has nothing in common with the edge. Reads one line of JSON for each, and answers with one.
// The first line that it prints is the JWK Set of the issuer.
//
//   {op: token, key?, claims?}   a token, bound to the key of that name if there is one
//   {op: proof, key, htm, htu, token, ...}   a proof, and whether a server that uses jose takes it:
//       header, payload   members that replace the usual ones; null removes one
//       sign, holder      the names of the key that signs, and of the token's, if they are others
//       text              {header, payload}: their JSON, as it is
//       alg, raw          the algorithm that signs; a change of the whole proof, see changes
const path = require('path');
const url = require('url');
const crypto = require('crypto');
const readline = require('readline');
const folder = process.argv[2];

const ISSUER = 'https://issuer.example';
const TYPES = {
    RS256: {modulusLength: 2048},
    RS384: {modulusLength: 2048},
    RS512: {modulusLength: 2048},
    PS256: {modulusLength: 2048},
    PS384: {modulusLength: 2048},
    PS512: {modulusLength: 2048},
    ES256: {},
    ES384: {},
    ES512: {},
    EdDSA: {crv: 'Ed25519'},
    other: {},
    K256: {},
};
const keys = {};
let jose, issuer;

const b64 = (text) => Buffer.from(text).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);
const hash = (text) => crypto.createHash('sha256').update(text).digest('base64url');

function replace(usual, members) {
    const all = {...usual, ...members};
    for (const name in all) if (all[name] === null) delete all[name];
    return all;
}

function sign(alg, text, key) {
    const options = {key};
    if (alg === 'HS256')
        return crypto.createHmac('sha256', Buffer.from('secret')).update(text).digest('base64url');
    if (alg.startsWith('ES')) options.dsaEncoding = 'ieee-p1363';
    if (alg.startsWith('PS')) {
        options.padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
        options.saltLength = crypto.constants.RSA_PSS_SALTLEN_DIGEST;
    }
    const digest = alg === 'EdDSA' ? null : `sha${alg.slice(2, 5)}`;
    return crypto.sign(digest, Buffer.from(text), options).toString('base64url');
}

const changes = {
    none: (p) => p,
    padded: (p) => `${p}=`,
    'no signature': (p) => p.replace(/\.[^.]*$/, '.'),
    'two parts': (p) => p.replace(/\.[^.]*$/, ''),
    'four parts': (p) => `${p}.x`,
    'other signature': (p) => p.replace(/\.[^.]*$/, `.${'A'.repeat(86)}`),
    'last bit': (p) => {
        const [h, c, s] = p.split('.');
        const bytes = Buffer.from(s, 'base64url');
        bytes[bytes.length - 1] ^= 1;
        return `${h}.${c}.${bytes.toString('base64url')}`;
    },
    'json': (p) => {
        const [h, c, s] = p.split('.');
        return JSON.stringify({protected: h, payload: c, signature: s});
    },
    empty: () => '',
    'twice in one line': (p) => `${p}, ${p}`,
    long: (p) => p.replace(/\.[^.]*$/, (s) => s + 'A'.repeat(9000)),
    quoted: (p) => `"${p}"`,
    'with a scheme': (p) => `DPoP ${p}`,
};

// RFC 9449 section 4.3, by jose; the reason for which the proof is refused, or null.
async function refusal(proof, want) {
    try {
        const {payload, protectedHeader} = await jose.jwtVerify(proof, jose.EmbeddedJWK, {
            typ: 'dpop+jwt',
            maxTokenAge: 60,
            clockTolerance: 60,
            algorithms: Object.keys(TYPES).slice(0, 10),
        });
        const same = new URL(payload.htu);
        if (await jose.calculateJwkThumbprint(protectedHeader.jwk) !== want.jkt) return 'key';
        if (payload.htm !== want.htm) return 'htm';
        if (same.origin + same.pathname !== want.htu) return 'htu';
        if (payload.ath !== hash(want.token)) return 'ath';
        if (typeof payload.jti !== 'string' || payload.jti === '') return 'jti';
        return null;
    } catch (error) {
        return error.message;
    }
}

async function proof(line) {
    const key = keys[line.key], alg = line.alg ?? key.alg;
    const header = replace({typ: 'dpop+jwt', alg, jwk: key.jwk}, line.header);
    const payload = replace({
        jti: crypto.randomUUID(), htm: line.htm, htu: line.htu, iat: now(), ath: hash(line.token),
    }, line.payload);
    if (typeof payload.iat === 'string' && /^[+-]\d+$/.test(payload.iat))
        payload.iat = now() + Number(payload.iat);
    if (header.jwk === 'private') header.jwk = await jose.exportJWK(key.privateKey);
    if (header.jwk === 'oct') header.jwk = {kty: 'oct', k: b64('secret')};
    let text;
    if (!line.header && !line.text && !line.sign && !line.alg) {
        text = await new jose.SignJWT(payload).setProtectedHeader(header).sign(key.privateKey);
    } else {
        text = `${b64(line.text?.header ?? JSON.stringify(header))}.` +
            b64(line.text?.payload ?? JSON.stringify(payload));
        text += `.${alg === 'none' ? '' : sign(alg, text, keys[line.sign ?? line.key].privateKey)}`;
    }
    text = changes[line.raw ?? 'none'](text);
    return {
        proof: text,
        refused: await refusal(text, {
            jkt: keys[line.holder ?? line.key].jkt,
            htm: line.htm,
            htu: line.want ?? line.htu,
            token: line.token,
        }),
    };
}

async function token(line) {
    const claims = {iss: ISSUER, aud: 'api', sub: 'alice', iat: now(), exp: now() + 3600,
                    jti: crypto.randomUUID(), ...line.claims};
    if (line.key) claims.cnf = {jkt: keys[line.key].jkt};
    return {
        token: await new jose.SignJWT(claims).setProtectedHeader({alg: 'ES256', kid: 'i'})
                   .sign(issuer.privateKey),
    };
}

async function main() {
    const library = path.join(folder, 'node_modules/jose/dist/node/esm/index.js');
    jose = await import(url.pathToFileURL(library));
    issuer = await jose.generateKeyPair('ES256', {extractable: true});
    for (const [name, options] of Object.entries(TYPES)) {
        const alg = name === 'other' ? 'ES256' : name === 'K256' ? 'ES256K' : name;
        keys[name] = await jose.generateKeyPair(alg, {...options, extractable: true});
        keys[name].alg = alg;
        keys[name].jwk = await jose.exportJWK(keys[name].publicKey);
        keys[name].jkt = await jose.calculateJwkThumbprint(keys[name].jwk);
    }
    const set = {keys: [{...await jose.exportJWK(issuer.publicKey), kid: 'i'}]};
    console.log(JSON.stringify(set));
    for await (const text of readline.createInterface({input: process.stdin})) {
        const line = JSON.parse(text);
        console.log(JSON.stringify(await (line.op === 'token' ? token : proof)(line)));
    }
}

main();
