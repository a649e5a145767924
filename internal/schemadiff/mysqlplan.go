package schemadiff

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// MySQLAround is what a MySQL or MariaDB database has around its tables: views,
// routines, triggers, events, sequences. SHOW CREATE writes each as a statement.
type MySQLAround struct {
	known   map[[2]string]string // the texts of the catalogue, by kind and name
	objects []mysqlAround
	rules   sqlscan.Options
}

type mysqlAround struct {
	kind, name, of string
	place          int // of a trigger, among those of its table and event
	create         string
}

// mysqlKinds are the kinds, in the order in which they are made.
var mysqlKinds = []string{"sequence", "function", "procedure", "view", "trigger", "event"}

// ReadMySQLAround reads the objects that are in the catalogue.
func ReadMySQLAround(ctx context.Context, conn *sql.Conn, c catalog.Catalog, rules sqlscan.Options) (*MySQLAround, error) {
	s := &MySQLAround{known: map[[2]string]string{}, rules: rules}
	for _, o := range c {
		s.known[[2]string{o.Kind, o.Name}] = o.Text
	}
	database := ""
	err := each(ctx, conn, "SELECT DATABASE()", func(rows *sql.Rows) error { return rows.Scan(&database) })
	if err != nil {
		return nil, err
	}
	objects, err := catalog.MySQLObjects(ctx, conn)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		kind := strings.ToLower(o.Kind)
		if _, has := s.known[[2]string{kind, o.Name}]; !has || !slices.Contains(mysqlKinds, kind) {
			continue
		}
		text, _, err := catalog.ShowCreate(ctx, conn, o)
		if err != nil {
			return nil, fmt.Errorf("SHOW CREATE %s %s: %w", o.Kind, o.Name, err)
		}
		s.objects = append(s.objects, mysqlAround{kind, o.Name, o.Of, o.Place, catalog.MySQLBody(text, []string{database}, rules)})
	}
	slices.SortStableFunc(s.objects, func(a, b mysqlAround) int {
		return cmp.Or(cmp.Compare(slices.Index(mysqlKinds, a.kind), slices.Index(mysqlKinds, b.kind)), cmp.Compare(a.of, b.of), cmp.Compare(a.place, b.place), cmp.Compare(a.name, b.name))
	})
	s.objects = s.inOrder()
	return s, nil
}

// inOrder puts views behind those that they read.
func (s *MySQLAround) inOrder() (list []mysqlAround) {
	done := map[string]bool{}
	var visit func(o mysqlAround)
	visit = func(o mysqlAround) {
		if o.kind == "view" {
			if done[o.name] {
				return
			}
			done[o.name] = true
			for t := range sqlscan.Tokens(o.create, s.rules) {
				for _, other := range s.objects {
					if other.kind == "view" && other.name == t.Name(sqlscan.MySQL) {
						visit(other)
					}
				}
			}
		}
		list = append(list, o)
	}
	for _, o := range s.objects {
		visit(o)
	}
	return list
}

func (s *MySQLAround) has(o mysqlAround) bool {
	_, has := s.known[[2]string{o.kind, o.name}]
	return has
}

var mysqlEvent = lazyregexp.New(`(?i)\b(BEFORE|AFTER)\s+(INSERT|UPDATE|DELETE)\s`)

// event is what fires a trigger, with its table.
func (o mysqlAround) event() string {
	m := mysqlEvent.FindStringSubmatch(o.create)
	if m == nil {
		return o.of
	}
	return strings.ToUpper(m[1]+" "+m[2]) + " " + o.of
}

// MySQLObjects lists the statements that go before and behind those for the tables.
func MySQLObjects(from, to *MySQLAround) (before, after []string) {
	key := func(o mysqlAround) [2]string { return [2]string{o.kind, o.name} }
	same := func(o mysqlAround) bool { return from.has(o) && to.has(o) && from.known[key(o)] == to.known[key(o)] }
	// Triggers of one event run in the order in which they were made.
	again := map[string]bool{}
	for _, o := range slices.Concat(from.objects, to.objects) {
		if o.kind == "trigger" && !same(o) {
			again[o.event()] = true
		}
	}
	kept := func(o mysqlAround) bool { return same(o) && (o.kind != "trigger" || !again[o.event()]) }
	var last []string
	for _, o := range slices.Backward(from.objects) {
		_, tableStays := to.known[[2]string{"table", o.of}]
		statement := "DROP " + strings.ToUpper(o.kind) + " " + backquote(o.name)
		switch {
		case kept(o), o.kind == "trigger" && !tableStays, to.has(o) && (o.kind == "view" || o.kind == "sequence"):
		case o.kind == "sequence":
			last = append(last, statement)
		default:
			before = append(before, statement)
		}
	}
	for _, o := range to.objects {
		switch {
		case kept(o):
		case o.kind == "sequence": // one that differs is refused: to make it again would lose where it is
			if !from.has(o) {
				before = append(before, o.create)
			}
		case o.kind == "view" && from.has(o):
			after = append(after, "CREATE OR REPLACE"+strings.TrimPrefix(o.create, "CREATE"))
		default:
			after = append(after, o.create)
		}
	}
	return before, append(after, last...)
}
