// Sends two spans with the official exporters for JavaScript: node send.cjs NODE_MODULES proto|http URL
const [, , modules, protocol, url] = process.argv;
const load = (name) => require(`${modules}/@opentelemetry/${name}`);
const { context, trace, SpanKind, SpanStatusCode } = load("api");
const { BasicTracerProvider, SimpleSpanProcessor } = load("sdk-trace-base");
const { resourceFromAttributes } = load("resources");
const { OTLPTraceExporter } = load(`exporter-trace-otlp-${protocol}`);

const exporter = new OTLPTraceExporter({ url, compression: "gzip" });
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "svc" }),
  spanProcessors: [new SimpleSpanProcessor(exporter)],
});
const tracer = provider.getTracer("scope", "1.2");
const T0 = [1700000000, 123456789];
const root = tracer.startSpan("invoke_agent coder", {
  kind: SpanKind.CLIENT,
  startTime: T0,
  attributes: { "gen_ai.agent.name": "coder", list: ["a", "b"], whole: 2, float: 1.5, yes: true, text: "naïve ☃" },
});
root.addEvent("happened", { why: "so" }, T0);
const inner = tracer.startSpan(
  "execute_tool grep",
  { startTime: T0, links: [{ context: root.spanContext(), attributes: { of: "it" } }] },
  trace.setSpan(context.active(), root),
);
inner.setStatus({ code: SpanStatusCode.ERROR, message: "broken" });
inner.end([T0[0], T0[1] + 5]);
root.end([T0[0], T0[1] + 9]);
provider.shutdown().then(() => console.log(root.spanContext().traceId));
