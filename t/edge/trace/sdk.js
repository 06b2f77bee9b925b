// A service with OpenTelemetry's SDK, as its documentation sets it up. It answers with what it
// knows of its trace; /again asks the edge itself.
//
//     node sdk.js FOLDER PORT COLLECTOR EDGE
'use strict';
const [folder, port, collector, edge] = process.argv.slice(2);
const load = (name) => require(require.resolve(name, { paths: [folder] }));

const { NodeTracerProvider, SimpleSpanProcessor } = load('@opentelemetry/sdk-trace-node');
const { OTLPTraceExporter } = load('@opentelemetry/exporter-trace-otlp-proto');
const { registerInstrumentations } = load('@opentelemetry/instrumentation');
const { HttpInstrumentation } = load('@opentelemetry/instrumentation-http');
const { context, propagation, trace } = load('@opentelemetry/api');

const exporter = new OTLPTraceExporter({ url: collector });
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
registerInstrumentations({ instrumentations: [new HttpInstrumentation({
    ignoreOutgoingRequestHook: (request) => request.path === '/v1/traces',
})] });

const http = require('http');

function known() {
    const span = trace.getActiveSpan().spanContext();
    const baggage = propagation.getBaggage(context.active());
    return JSON.stringify({
        trace: span.traceId, id: span.spanId, flags: span.traceFlags,
        state: span.traceState ? span.traceState.serialize() : '',
        baggage: baggage ? baggage.getAllEntries().map(([key, { value }]) => [key, value]) : [],
    });
}

http.createServer((request, response) => {
    if (request.url !== '/again') {
        response.end(known());
        return;
    }
    http.get(`${edge}/last`, (answer) => {
        let text = '';
        answer.on('data', (data) => { text += data; });
        answer.on('end', () => response.end(text));
    });
}).listen(Number(port), '127.0.0.1');
