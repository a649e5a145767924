package tldwdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// This file tells a [Health] by HTTP: to anybody what cannot help an attacker, and
// to whom Config.Health.Authorized lets in everything.

// body is an answer as it goes over the wire.
type body struct {
	code   int
	text   []byte
	length []string // of text, as a header
	kind   []string
}

// bodies are all forms of one answer, made once for the thousands who may ask.
type bodies struct {
	ready  body
	detail [2][2]body // by whether the request is authorized, and wants health+json
}

var (
	kindJSON   = []string{"application/json"}
	kindHealth = []string{"application/health+json"}
	noStore    = []string{"no-store"}
	noSniff    = []string{"nosniff"}
	varyAccept = []string{"Accept"}
)

func newBody(ok bool, kind []string, value any) body {
	text, err := json.Marshal(value)
	if err != nil { // plain data: only an observed NaN could do it
		ok, text = false, []byte(`{"status":"unhealthy"}`)
	}
	text = append(text, '\n')
	b := body{code: http.StatusOK, text: text, kind: kind, length: []string{strconv.Itoa(len(text))}}
	if !ok {
		b.code = http.StatusServiceUnavailable
	}
	return b
}

func newBodies(h *Health) bodies {
	healthy := h.Status == StatusHealthy
	var b bodies
	b.ready = newBody(h.Ready, kindJSON, newReadyBody(h))
	for i, authorized := range []bool{false, true} {
		b.detail[i][0] = newBody(healthy, kindJSON, detailBody{h, authorized})
		b.detail[i][1] = newBody(healthy, kindHealth, draftBody(h, authorized))
	}
	return b
}

// readyBody is the answer of a readiness probe.
type readyBody struct {
	Ready bool   `json:"ready"`
	State string `json:"state"` // ready, unready, starting, waiting or migrating
	*Activity
	Class ErrorClass `json:"class,omitempty"`
	Error string     `json:"error,omitempty"`
}

func newReadyBody(h *Health) readyBody {
	b := readyBody{Ready: h.Ready, State: "ready", Activity: h.Activity}
	switch {
	case h.Activity != nil:
		b.State = h.Activity.State
	case !h.Ready:
		b.State, b.Class, b.Error = "unready", h.Class, h.Error
	}
	return b
}

// detailBody is a Health with the counts among its members.
type detailBody struct {
	*Health
	authorized bool
}

// MarshalJSON leaves out what a stranger may not see.
func (d detailBody) MarshalJSON() ([]byte, error) {
	type plain Health // without this method
	h := plain(*d.Health)
	counts := h.Counts
	h.Counts = nil
	if d.authorized {
		text, err := json.Marshal(h)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		b.Write(text[:len(text)-1])
		said := map[string]bool{}
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			_, key := splitTable(name)
			if said[key] { // a table of that name in another schema
				key = strings.ReplaceAll(name, ".", "_")
			}
			said[key] = true
			fmt.Fprintf(&b, ",%q:%d", key+"_count", counts[name])
		}
		b.WriteByte('}')
		return b.Bytes(), nil
	}
	return json.Marshal(struct { // the outer members hide those of the same name
		plain
		Checks  *int `json:"checks,omitempty"`
		Current *int `json:"current,omitempty"`
		Head    *int `json:"head,omitempty"`
		Pending *int `json:"pending,omitempty"`
	}{plain: h})
}

// draft is the form of draft-inadarei-api-health-check-06.
type draft struct {
	Status string                  `json:"status"`
	Output string                  `json:"output,omitempty"`
	Notes  []string                `json:"notes,omitempty"`
	Checks map[string][]draftCheck `json:"checks,omitempty"`
}

type draftCheck struct {
	Type     string     `json:"componentType"`
	ID       string     `json:"componentId,omitempty"`
	Observed *float64   `json:"observedValue,omitempty"`
	Unit     string     `json:"observedUnit,omitempty"`
	Status   string     `json:"status"`
	Time     time.Time  `json:"time"`
	Output   string     `json:"output,omitempty"`
	Class    ErrorClass `json:"class,omitempty"`
	Method   string     `json:"method,omitempty"`
	Latency  float64    `json:"latencyMs"`
}

func draftBody(h *Health, authorized bool) draft {
	d := draft{Status: string(CheckPass), Output: h.Error}
	switch {
	case h.Status != StatusHealthy:
		d.Status = string(CheckFail)
	case h.Degraded:
		d.Status = string(CheckWarn)
	}
	if h.Stale {
		d.Notes = []string{fmt.Sprintf("the answer is %v old", h.Age.Round(time.Millisecond))}
	}
	if !authorized {
		return d
	}
	d.Checks = map[string][]draftCheck{}
	for _, c := range h.Checks {
		out := draftCheck{Type: "datastore", ID: c.Subject, Status: string(c.Status), Time: c.Time, Unit: c.Unit, Class: c.Class, Method: c.Method, Latency: milliseconds(c.Latency)}
		if c.Unit != "" {
			out.Observed = &c.Observed
		}
		if c.Status != CheckPass { // so the draft wants it
			out.Output = c.Output
		}
		d.Checks["database:"+c.Name] = append(d.Checks["database:"+c.Name], out)
	}
	return d
}

// HealthHandler answers with [Health] as JSON, or as application/health+json to
// whom prefers that: 200 when healthy, also with a reservation, and 503 otherwise.
// A request that Config.Health.Authorized does not let in gets neither checks nor
// counts nor versions of the schema; the kind of a failure it does get, and while
// this process migrates how far that is.
//
// While the answer is good nothing is asked and nothing is made: it costs what
// writing the same bytes costs.
func (db *DB) HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !mayAsk(w, req) {
			return
		}
		a := db.prober.answer(req.Context())
		authorized := 0
		if allow := db.cfg.Health.Authorized; allow != nil && allow(req) {
			authorized = 1
		}
		a.bodies.detail[authorized][formOf(w, req)].write(w, req)
	})
}

// formOf is the form that the request wants, and says that it was asked for one.
func formOf(w http.ResponseWriter, req *http.Request) (form int) {
	w.Header()["Vary"] = varyAccept
	if prefersHealthJSON(req.Header["Accept"]) {
		form = 1
	}
	return form
}

// ReadyHandler answers 200 when this process may get requests, and 503 otherwise:
// for a readiness probe. While the process migrates, or waits for another that
// does, the answer says so, and how far that is, without asking the database.
func (db *DB) ReadyHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !mayAsk(w, req) {
			return
		}
		if now := db.activity.now.Load(); now != nil {
			b := newBody(false, kindJSON, newReadyBody(&Health{Activity: now}))
			b.write(w, req)
			return
		}
		db.prober.answer(req.Context()).bodies.ready.write(w, req)
	})
}

var alive = newBody(true, kindJSON, map[string]bool{"live": true})

// LiveHandler answers 200 as long as the process serves at all. It never asks
// the database: a database that blinks must not get its clients killed.
func LiveHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if mayAsk(w, req) {
			alive.write(w, req)
		}
	})
}

// HealthMux serves the three answers under any path that ends in /live, /ready and
// /database:
//
//	var health tldwdb.HealthMux
//	mux.Handle("/health/", &health)
//
// It is for programs that listen before they open the database: until [HealthMux.Use]
// has named one the process is live, and starting. The zero value is ready to use.
type HealthMux struct{ db atomic.Pointer[DB] }

// HealthMux is a [HealthMux] that uses this database.
func (db *DB) HealthMux() *HealthMux {
	m := &HealthMux{}
	m.Use(db)
	return m
}

// Use names the database to ask. nil goes back to starting.
func (m *HealthMux) Use(db *DB) { m.db.Store(db) }

// starting is the answer without a database.
var starting = bodies{
	ready: newBody(false, kindJSON, readyBody{State: "starting"}),
	detail: [2][2]body{{ // the same to everybody
		newBody(false, kindJSON, map[string]any{"status": StatusUnhealthy, "connection": false, "tables": false, "write_access": false, "error": notOpen}),
		newBody(false, kindHealth, draft{Status: string(CheckFail), Output: notOpen}),
	}},
}

const notOpen = "the database is not open yet"

// ServeHTTP answers by the last part of the path, and 404 to any other.
func (m *HealthMux) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	db := m.db.Load()
	switch last := path.Base(req.URL.Path); {
	case last == "live":
		LiveHandler().ServeHTTP(w, req)
	case last == "ready" && db != nil:
		db.ReadyHandler().ServeHTTP(w, req)
	case last == "database" && db != nil:
		db.HealthHandler().ServeHTTP(w, req)
	case last == "ready" && mayAsk(w, req):
		starting.ready.write(w, req)
	case last == "database" && mayAsk(w, req):
		starting.detail[0][formOf(w, req)].write(w, req)
	case last != "ready" && last != "database":
		http.NotFound(w, req)
	}
}

// mayAsk refuses a method that is no question.
func mayAsk(w http.ResponseWriter, req *http.Request) bool {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	return false
}

// write sends the answer. Headers are set as slices that all answers share:
// net/http only reads them.
func (b *body) write(w http.ResponseWriter, req *http.Request) {
	header := w.Header()
	header["Content-Type"] = b.kind
	header["Content-Length"] = b.length
	header["Cache-Control"] = noStore
	header["X-Content-Type-Options"] = noSniff
	w.WriteHeader(b.code)
	if req.Method != http.MethodHead {
		_, _ = w.Write(b.text) // the client may have gone: nothing to do about it
	}
}

// prefersHealthJSON reports whether a request likes application/health+json no
// less than plain JSON.
func prefersHealthJSON(accept []string) bool {
	named := false
	for _, line := range accept { // most requests name neither
		named = named || strings.Contains(strings.ToLower(line), "health+json")
	}
	if !named {
		return false
	}
	health, plain := -1.0, -1.0
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			kind, params, _ := strings.Cut(part, ";")
			quality := 1.0
			for param := range strings.SplitSeq(params, ";") {
				if value, ok := strings.CutPrefix(strings.TrimSpace(param), "q="); ok {
					quality, _ = strconv.ParseFloat(value, 64) // not a number: not wanted
				}
			}
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case "application/health+json":
				health = max(health, quality)
			case "application/json":
				plain = max(plain, quality)
			}
		}
	}
	return health > 0 && health >= plain
}
