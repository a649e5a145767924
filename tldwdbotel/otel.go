// Package tldwdbotel gives OpenTelemetry what a [tldwdb.DB] does: spans of its
// runs, of the wait for the migration lock, of each migration and statement, and,
// by XSAM/otelsql, spans and metrics of the application's queries.
//
//	cfg = tldwdbotel.Observe(cfg, tldwdbotel.Options{})
//	db, err := tldwdb.Open(ctx, cfg)
//
// No span has SQL or the text of a driver's error in it, in which values may stand,
// unless [Options] says so. docs/guide/observability.md lists names and attributes.
package tldwdbotel

import (
	"context"
	"database/sql/driver"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
)

// Options are settings of [Observe]. The zero value is useful.
type Options struct {
	// TracerProvider and MeterProvider default to the global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider

	// QueryText puts the text of queries into their spans (db.query.text), with
	// whatever values stand in it.
	QueryText bool

	// ErrorText puts the driver's words into the spans of what failed. They may quote
	// values and name tables. Without it there is only the error's class (error.type).
	ErrorText bool

	// Attributes are put on every span and measurement, beside those that say which
	// database it is.
	Attributes []attribute.KeyValue

	// SQL are further options of otelsql, which go before ours.
	SQL []otelsql.Option
}

const scope = "github.com/tldw/tldwdb/tldwdbotel"

// The attributes that have no name in the semantic conventions.
const (
	keySet       = attribute.Key("tldwdb.set")
	keyRun       = attribute.Key("tldwdb.run")
	keyVersion   = attribute.Key("tldwdb.migration.version")
	keyName      = attribute.Key("tldwdb.migration.name")
	keyDirection = attribute.Key("tldwdb.migration.direction")
	keyFile      = attribute.Key("tldwdb.migration.file")
	keyLine      = attribute.Key("tldwdb.migration.line")
)

// Observe returns the configuration with OpenTelemetry in it. The pool of
// [tldwdb.Attach] is the program's own: there only the spans of migrations are
// made.
//
// A span is a child of the one in the context that the caller gave, as that of
// [tldwdb.DB.Up]. Health probes have none: they belong to no caller, and a trace
// every few seconds would tell nobody anything.
func Observe(cfg tldwdb.Config, o Options) tldwdb.Config {
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if !o.ErrorText {
		o.TracerProvider = discreetProvider{o.TracerProvider}
	}
	t := &tracing{tracer: o.TracerProvider.Tracer(scope, trace.WithInstrumentationVersion(tldwdb.Version)), attributes: slices.Concat(database(cfg), o.Attributes)}
	t.sql = append([]otelsql.Option{
		otelsql.WithTracerProvider(o.TracerProvider),
		otelsql.WithMeterProvider(o.MeterProvider),
		otelsql.WithAttributes(t.attributes...),
		otelsql.WithDisableSkipErrMeasurement(true),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			DisableQuery:         !o.QueryText,
			DisableErrSkip:       true,
			OmitConnResetSession: true, // nothing goes over the wire
			OmitRows:             true,
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return ctx.Value(silent{}) == nil
			},
		}),
	}, o.SQL...)
	cfg.Observers = append(slices.Clip(cfg.Observers), &tldwdb.Observer{Opened: t.opened, Closed: t.closed, Start: t.start})
	cfg.WrapConnector = t.wrap(cfg.WrapConnector)
	return cfg
}

// database says which one it is, without accounts and parameters. A URL that
// cannot be read is the business of Open.
func database(cfg tldwdb.Config) []attribute.KeyValue {
	if effective, err := cfg.Effective(); err == nil {
		cfg = effective
	}
	u, err := dburl.Parse(cfg.URL)
	if err != nil {
		return nil
	}
	list := []attribute.KeyValue{system(u.Dialect)}
	switch name := u.Database; {
	case u.Dialect == dburl.SQLite && !u.Memory:
		list = append(list, semconv.DBNamespace(path.Base(strings.ReplaceAll(u.Path, `\`, "/"))))
	case name != "":
		list = append(list, semconv.DBNamespace(name))
	}
	if len(u.Endpoints) == 1 && u.Endpoints[0].Host != "" { // of several nobody knows which one it is
		list = append(list, semconv.ServerAddress(u.Endpoints[0].Host))
		if u.Endpoints[0].Port != 0 {
			list = append(list, semconv.ServerPort(u.Endpoints[0].Port))
		}
	}
	return list
}

// system is db.system.name. MariaDB speaks MySQL's protocol, and is called so.
func system(dialect string) attribute.KeyValue {
	switch dialect {
	case dburl.SQLite:
		return semconv.DBSystemNameSQLite
	case dburl.Postgres:
		return semconv.DBSystemNamePostgreSQL
	}
	return semconv.DBSystemNameMySQL
}

// tracing is what the observer of one DB remembers.
type tracing struct {
	tracer     trace.Tracer
	attributes []attribute.KeyValue
	sql        []otelsql.Option

	mu    sync.Mutex
	pools []metric.Registration
}

// wrap puts otelsql outside of what is there already.
func (t *tracing) wrap(inner func(driver.Connector) driver.Connector) func(driver.Connector) driver.Connector {
	return func(c driver.Connector) driver.Connector {
		if inner != nil {
			c = inner(c)
		}
		// otelsql takes drivers, and this one has only one connector.
		wrapped, err := otelsql.WrapDriver(oneConnector{c}, t.sql...).(driver.DriverContext).OpenConnector("")
		if err != nil {
			otel.Handle(err)
			return c
		}
		return wrapped
	}
}

// oneConnector is a driver that opens what it holds.
type oneConnector struct{ driver.Connector }

// Open is part of [driver.Driver].
func (oneConnector) Open(string) (driver.Conn, error) {
	return nil, errors.New("connections are opened by the connector")
}

// OpenConnector is part of [driver.DriverContext].
func (o oneConnector) OpenConnector(string) (driver.Connector, error) { return o.Connector, nil }

// opened registers the figures of the pools.
func (t *tracing) opened(db *tldwdb.DB) {
	t.register(db, tldwdb.PoolApplication)
	if db.Reader() != db.Pool() {
		t.register(db, tldwdb.PoolReader)
	}
}

func (t *tracing) register(db *tldwdb.DB, name string) {
	pool := db.Pool()
	if name == tldwdb.PoolReader {
		pool = db.Reader()
	}
	registration, err := otelsql.RegisterDBStatsMetrics(pool.DB, append(slices.Clip(t.sql), otelsql.WithAttributes(semconv.DBClientConnectionPoolName(name)))...)
	if err != nil {
		otel.Handle(err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pools = append(t.pools, registration)
}

func (t *tracing) closed(*tldwdb.DB) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, registration := range t.pools {
		if err := registration.Unregister(); err != nil {
			otel.Handle(err)
		}
	}
	t.pools = nil
}

// silent is the key of a context in which nothing is traced.
type silent struct{}

func (t *tracing) start(ctx context.Context, op tldwdb.Operation) (context.Context, func(error)) {
	if op.Kind == tldwdb.OperationHealth {
		return context.WithValue(ctx, silent{}, true), nil
	}
	ctx, span := t.tracer.Start(ctx, "tldwdb."+op.Kind, trace.WithAttributes(t.attributes...), trace.WithAttributes(attributes(op)...))
	return ctx, func(err error) {
		if err != nil {
			span.RecordError(err)
			span.SetAttributes(semconv.ErrorTypeKey.String(string(tldwdb.ClassOf(err))))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// attributes are those of an operation.
func attributes(op tldwdb.Operation) []attribute.KeyValue {
	list := []attribute.KeyValue{system(op.Dialect), keySet.String(op.Set)}
	if op.Name != "" {
		list = append(list, keyRun.String(op.Name))
	}
	if op.Migration != (tldwdb.ID{}) {
		if !op.Migration.Repeatable {
			list = append(list, keyVersion.Int64(op.Migration.Version))
		}
		list = append(list, keyName.String(op.Migration.Name), keyDirection.String(string(op.Direction)))
	}
	if op.File != "" {
		list = append(list, keyFile.String(op.File))
	}
	if op.Line > 0 {
		list = append(list, keyLine.Int(op.Line))
	}
	return list
}
