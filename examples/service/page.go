package main

import (
	"bytes"
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/tldw/tldwdb"
)

// pageTimeout bounds the database's part of one page.
const pageTimeout = 5 * time.Second

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"utc":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"took": took,
}).Parse(pageText))

// view is what the page shows.
type view struct {
	Ready   bool
	Notice  string // in place of the tables
	Retry   bool   // the notice is worth another look in a second
	Engine  string
	Status  *tldwdb.Status
	Pool    sql.DBStats
	Up      time.Duration // since the start of the process
	Version string        // of tldwdb
}

// engines are the names of the databases behind sqlx's driver names.
var engines = map[string]string{"sqlite3": "SQLite", "pgx": "PostgreSQL", "mysql": "MySQL or MariaDB"}

// took shows how long a migration ran by the server's clock, which counts whole
// milliseconds on some engines.
func took(d time.Duration) string {
	if d < time.Millisecond {
		return "< 1 ms"
	}
	return ms(milliseconds(d))
}

// page shows where the schema stands. Errors go to nobody's screen in detail:
// the text of a driver may name hosts and users.
func (web *site) page(w http.ResponseWriter, req *http.Request) {
	v := view{Up: time.Since(web.started).Round(time.Second), Version: tldwdb.Version}
	db := web.db.Load()
	if db == nil || !web.ready.Load() {
		v.Notice, v.Retry = "Starting: "+web.starting()+" …", true
	} else {
		ctx, cancel := context.WithTimeout(req.Context(), pageTimeout)
		defer cancel()
		v.Engine = engines[db.Pool().DriverName()]
		status, err := db.Status(ctx)
		if err != nil {
			v.Notice = "The database does not answer."
		} else {
			v.Status, v.Ready = status, status.Pending == 0
		}
		v.Pool = db.Pool().Stats()
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		http.Error(w, fmt.Sprintf("the page cannot be written: %v", err), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	if v.Retry {
		header.Set("Refresh", "1")
	}
	if !v.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(b.Bytes()) // the client may have gone
}
