package tldwdbotel

import (
	"context"

	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tldw/tldwdb"
)

// This file keeps the words of errors out of spans. otelsql records them, or says
// nothing at all of an error: so what it records is caught at the span.

type discreetProvider struct{ trace.TracerProvider }

// Tracer is part of [trace.TracerProvider].
func (p discreetProvider) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return discreetTracer{p.TracerProvider.Tracer(name, options...)}
}

type discreetTracer struct{ trace.Tracer }

// Start is part of [trace.Tracer]. The span in the context is the real one.
func (t discreetTracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.Tracer.Start(ctx, name, options...)
	return ctx, discreetSpan{span}
}

type discreetSpan struct{ trace.Span }

// RecordError notes the kind of an error instead of its text.
func (s discreetSpan) RecordError(err error, _ ...trace.EventOption) {
	if class := tldwdb.ClassOf(err); class != "" {
		s.SetAttributes(semconv.ErrorTypeKey.String(string(class)))
	}
}
