// Sends two spans with the official exporter for Go: send URL
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	ctx := context.Background()
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(os.Args[1]),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		panic(err)
	}
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "svc"))))
	tracer := provider.Tracer("scope", trace.WithInstrumentationVersion("1.2"))
	t0 := time.Unix(1700000000, 123456789)
	ctx, root := tracer.Start(ctx, "invoke_agent coder", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(t0),
		trace.WithAttributes(attribute.String("gen_ai.agent.name", "coder"), attribute.StringSlice("list", []string{"a", "b"}),
			attribute.Int("whole", 2), attribute.Float64("float", 1.5), attribute.Bool("yes", true),
			attribute.String("text", "naïve ☃")))
	root.AddEvent("happened", trace.WithTimestamp(t0), trace.WithAttributes(attribute.String("why", "so")))
	_, inner := tracer.Start(ctx, "execute_tool grep", trace.WithTimestamp(t0), trace.WithLinks(
		trace.Link{SpanContext: root.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("of", "it")}}))
	inner.SetStatus(codes.Error, "broken")
	inner.End(trace.WithTimestamp(t0.Add(5)))
	root.End(trace.WithTimestamp(t0.Add(9)))
	if err := provider.Shutdown(ctx); err != nil {
		panic(err)
	}
	fmt.Println(root.SpanContext().TraceID())
}
