// identity.js FOLDER ISSUER AUDIENCE: verifies tokens with the library jose in FOLDER/node_modules.
// The first line of the input is a JWK Set, each other one a token. Prints a line of JSON for each:
// its claims and header, or the error.
const path = require('path');
const url = require('url');
const [folder, issuer, audience] = process.argv.slice(2);

async function main() {
    const library = path.join(folder, 'node_modules/jose/dist/node/esm/index.js');
    const jose = await import(url.pathToFileURL(library));
    const [set, ...tokens] = require('fs').readFileSync(0, 'utf8').trim().split('\n');
    const keys = jose.createLocalJWKSet(JSON.parse(set));
    for (const jwk of JSON.parse(set).keys) {
        if (await jose.calculateJwkThumbprint(jwk) !== jwk.kid) throw `wrong kid ${jwk.kid}`;
    }

    for (const token of tokens) {
        try {
            const {payload, protectedHeader} = await jose.jwtVerify(token, keys, {
                issuer,
                audience,
                algorithms: ['ES256', 'EdDSA'],
                typ: 'weir-identity+jwt',
                requiredClaims: ['exp', 'iat', 'jti', 'sub', 'act', 'htm'],
            });
            console.log(JSON.stringify({...payload, header: protectedHeader}));
        } catch (error) {
            console.log(JSON.stringify({error: `${error.code} ${error.message}`}));
        }
    }
}

main();
