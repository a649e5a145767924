// Package structschema reads the structs of a Go package as the tables that are wanted:
// for teams whose models come first. It reads the source and loads no code.
//
// A struct is a table when the comment above it says so. Its fields are columns, with
// the names that sqlx gives them, and the tag tldwdb says what a Go type does not:
//
//	//tldwdb:table person
//	type Person struct {
//		ID    int64   `db:"id" tldwdb:"pk,auto"`
//		Email string  `db:"email" tldwdb:"unique,size=200"`
//		Team  *int64  `db:"team_id" tldwdb:"references=team(id) ON DELETE CASCADE,index"`
//	}
package structschema

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Read returns the CREATE statements of the tables that the structs in a folder stand
// for, in the order of files and lines, for one dialect: sqlite, postgres or mysql.
// Errors name file and line.
func Read(dir, dialect string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	r := &reader{dialect: dialect, set: token.NewFileSet(), types: map[string]declared{}}
	var files []*ast.File
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(r.set, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		files = append(files, file)
	}
	var tables []tableOf
	for _, file := range files {
		tables = append(tables, r.declarations(file)...)
	}
	if len(tables) == 0 {
		return "", fmt.Errorf("%s: no struct has the comment //tldwdb:table NAME above it", dir)
	}
	var b strings.Builder
	for _, t := range tables {
		text, err := r.table(t)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

type reader struct {
	dialect string
	set     *token.FileSet
	types   map[string]declared // of the package
	depth   int                 // of types that are other types
}

// declared is a type of the package, and how its file names others.
type declared struct {
	expr    ast.Expr
	imports map[string]string
}

// tableOf is a struct that is a table.
type tableOf struct {
	name, renamed string
	of            declared
}

// The comments above a struct.
const (
	tableMark   = "//tldwdb:table "
	renamedMark = "//tldwdb:renamed from "
)

// declarations collects the types of a file.
func (r *reader) declarations(file *ast.File) (tables []tableOf) {
	imports := map[string]string{}
	for _, spec := range file.Imports {
		full, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the compiler says it
		}
		name := path.Base(full)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = full
	}
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok || general.Tok != token.TYPE {
			continue
		}
		for _, spec := range general.Specs {
			s := spec.(*ast.TypeSpec)
			d := declared{s.Type, imports}
			r.types[s.Name.Name] = d
			var t tableOf
			for _, group := range []*ast.CommentGroup{general.Doc, s.Doc} {
				if group == nil || group == general.Doc && len(general.Specs) > 1 {
					continue
				}
				for _, comment := range group.List {
					if name, is := strings.CutPrefix(comment.Text, tableMark); is {
						t = tableOf{name: strings.TrimSpace(name), renamed: t.renamed, of: d}
					}
					if name, is := strings.CutPrefix(comment.Text, renamedMark); is {
						t.renamed = strings.TrimSpace(name)
					}
				}
			}
			if t.name != "" {
				tables = append(tables, t)
			}
		}
	}
	return tables
}

func (r *reader) fault(at ast.Node, format string, args ...any) error {
	return fmt.Errorf("%s: %s", r.set.Position(at.Pos()), fmt.Sprintf(format, args...))
}

// table writes the statements of a table.
func (r *reader) table(t tableOf) (string, error) {
	body, ok := t.of.expr.(*ast.StructType)
	if !ok {
		return "", r.fault(t.of.expr, "only a struct can be a table")
	}
	columns, err := r.columns(body, t.of.imports)
	if err != nil {
		return "", err
	}
	if len(columns) == 0 {
		return "", r.fault(t.of.expr, "the table %s has no columns", t.name)
	}
	var keys []string
	groups := map[string]*group{}
	var names []string
	for _, c := range columns {
		if c.pk {
			keys = append(keys, r.quote(c.name))
		}
		for _, g := range c.groups {
			name := g.name
			if name == "" {
				name = t.name + "_" + c.name + map[bool]string{true: "_key", false: "_idx"}[g.unique]
			}
			if groups[name] == nil {
				groups[name] = &group{unique: g.unique}
				names = append(names, name)
			}
			groups[name].columns = append(groups[name].columns, r.quote(c.name))
		}
	}
	var lines, hints []string
	for _, c := range columns {
		lines = append(lines, c.text(r, len(keys) == 1))
		hint := ""
		if c.renamed != "" {
			hint = "-- tldwdb: renamed from " + c.renamed
		}
		hints = append(hints, hint)
	}
	if len(keys) > 1 {
		lines = append(lines, "PRIMARY KEY ("+strings.Join(keys, ", ")+")")
	}
	for _, c := range columns {
		if c.references != "" {
			target, actions, _ := strings.Cut(c.references, " ")
			lines = append(lines, strings.TrimSpace("FOREIGN KEY ("+r.quote(c.name)+") REFERENCES "+r.reference(target)+" "+actions))
		}
	}
	var b strings.Builder
	if t.renamed != "" {
		b.WriteString("-- tldwdb: renamed from " + t.renamed + "\n")
	}
	b.WriteString("CREATE TABLE " + r.quote(t.name) + " (\n")
	for i, line := range lines {
		if i < len(hints) && hints[i] != "" {
			b.WriteString("\t" + hints[i] + "\n")
		}
		b.WriteString("\t" + line)
		if i < len(lines)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString(");\n")
	for _, name := range names {
		kind := "INDEX"
		if groups[name].unique {
			kind = "UNIQUE INDEX"
		}
		b.WriteString("CREATE " + kind + " " + r.quote(name) + " ON " + r.quote(t.name) + " (" + strings.Join(groups[name].columns, ", ") + ");\n")
	}
	return b.String(), nil
}

// reference quotes the names of team(id).
func (r *reader) reference(target string) string {
	table, columns, has := strings.Cut(strings.TrimSuffix(target, ")"), "(")
	if !has {
		columns = "id"
	}
	list := strings.Split(columns, ",")
	for i, name := range list {
		list[i] = r.quote(strings.TrimSpace(name))
	}
	return r.quote(table) + " (" + strings.Join(list, ", ") + ")"
}

func (r *reader) quote(name string) string {
	mark := `"`
	if r.dialect == "mysql" {
		mark = "`"
	}
	return mark + strings.ReplaceAll(name, mark, mark+mark) + mark
}

// group is an index, or a unique one, of one column or several.
type group struct {
	name    string
	unique  bool
	columns []string
}

// column is one column.
type column struct {
	name, kind           string
	null, pk, auto       bool
	standard, references string
	check, renamed       string
	groups               []group
}

// text is the column's line.
func (c column) text(r *reader, ownKey bool) string {
	text := r.quote(c.name) + " " + c.kind
	if c.auto && r.dialect == "postgres" {
		text += " GENERATED BY DEFAULT AS IDENTITY"
	}
	if !c.null {
		text += " NOT NULL"
	}
	if c.standard != "" {
		text += " DEFAULT " + c.defaultFor(r.dialect)
	}
	if c.pk && ownKey {
		text += " PRIMARY KEY"
	}
	if c.auto {
		text += map[string]string{"sqlite": " AUTOINCREMENT", "mysql": " AUTO_INCREMENT"}[r.dialect]
	}
	if c.check != "" {
		text += " CHECK (" + c.check + ")"
	}
	return text
}

// defaultFor writes the default as the engine takes it. MySQL wants the time as precise
// as the column, and takes a value for a JSON or a long text only as an expression.
func (c column) defaultFor(dialect string) string {
	kind := strings.ToLower(c.kind)
	switch {
	case dialect != "mysql":
	case strings.EqualFold(c.standard, "CURRENT_TIMESTAMP") && strings.HasSuffix(kind, "(6)"):
		return c.standard + "(6)"
	case slices.ContainsFunc([]string{"json", "text", "blob"}, func(long string) bool { return strings.HasSuffix(kind, long) }) && !strings.HasPrefix(c.standard, "("):
		return "(" + c.standard + ")"
	}
	return c.standard
}

// columns are those of a struct, with those of the structs that it embeds.
func (r *reader) columns(body *ast.StructType, imports map[string]string) (list []column, err error) {
	for _, field := range body.Fields.List {
		tag := reflect.StructTag("")
		if field.Tag != nil {
			text, err := strconv.Unquote(field.Tag.Value)
			if err != nil {
				return nil, r.fault(field, "the tag cannot be read")
			}
			tag = reflect.StructTag(text)
		}
		db := tag.Get("db")
		if db == "-" {
			continue
		}
		if len(field.Names) == 0 && db == "" {
			inner, err := r.embedded(field, imports)
			if err != nil {
				return nil, err
			}
			list = append(list, inner...)
			continue
		}
		for _, name := range fieldNames(field) {
			if !ast.IsExported(name) {
				continue
			}
			c := column{name: strings.ToLower(name)} // as sqlx has it
			if first, _, _ := strings.Cut(db, ","); first != "" {
				c.name = first
			}
			if err := r.fill(&c, field, tag.Get("tldwdb"), imports); err != nil {
				return nil, err
			}
			list = append(list, c)
		}
	}
	return list, nil
}

func fieldNames(field *ast.Field) (list []string) {
	for _, name := range field.Names {
		list = append(list, name.Name)
	}
	if len(field.Names) == 0 {
		if name, ok := field.Type.(*ast.Ident); ok {
			list = append(list, name.Name)
		}
	}
	return list
}

func (r *reader) embedded(field *ast.Field, imports map[string]string) ([]column, error) {
	expr := field.Type
	if pointer, ok := expr.(*ast.StarExpr); ok { // sqlx fills it in
		expr = pointer.X
	}
	if name, ok := expr.(*ast.Ident); ok {
		if d, known := r.types[name.Name]; known {
			if body, is := d.expr.(*ast.StructType); is {
				return r.columns(body, d.imports)
			}
		}
	}
	return nil, r.fault(field, "only a struct of this package can be embedded: give the field a name, or the tag db:\"-\"")
}

// fill reads the type and the tag of a field.
func (r *reader) fill(c *column, field *ast.Field, tag string, imports map[string]string) error {
	options, err := split(tag)
	if err != nil {
		return r.fault(field, "%s", err)
	}
	size, kind := 0, ""
	for _, option := range options {
		name, value, has := strings.Cut(option, "=")
		switch {
		case name == "pk" && !has:
			c.pk = true
		case name == "auto" && !has:
			c.pk, c.auto = true, true
		case name == "null" && !has:
			c.null = true
		case name == "unique":
			c.groups = append(c.groups, group{name: value, unique: true})
		case name == "index":
			c.groups = append(c.groups, group{name: value})
		case name == "default" && has:
			c.standard = value
		case name == "references" && has:
			c.references = value
		case name == "check" && has:
			c.check = value
		case name == "renamed" && has:
			c.renamed = value
		case name == "size" && has:
			if size, err = strconv.Atoi(value); err != nil || size <= 0 {
				return r.fault(field, "size is %q: accepted is a number of characters", value)
			}
		case name == "type" && has && kind == "", name == "type."+r.dialect && has:
			kind = value
		case strings.HasPrefix(name, "type.") && has && slices.Contains(slices.Collect(maps.Keys(kinds["string"])), name[len("type."):]):
		case name == "type" && has:
		default:
			return r.fault(field, "the tag tldwdb has %q: known are pk, auto, null, unique, index, default=, references=, check=, renamed=, size=, type=, type.sqlite=, type.postgres=, type.mysql=", option)
		}
	}
	goType, null, err := r.kindOf(field, field.Type, imports, kind != "")
	if err != nil {
		return err
	}
	c.null = (c.null || null) && !c.pk
	switch {
	case kind != "":
		c.kind = kind
	case c.auto && r.dialect == "sqlite":
		c.kind = "integer"
	case size > 0 && goType == "string":
		c.kind = fmt.Sprintf("varchar(%d)", size)
	default:
		c.kind = kinds[goType][r.dialect]
	}
	return nil
}

// split cuts a tag at its commas, except those in brackets and in quotes.
func split(tag string) (list []string, err error) {
	depth, quoted, begin := 0, false, 0
	for i, b := range []byte(tag) {
		switch {
		case b == '\'':
			quoted = !quoted
		case quoted:
		case b == '(':
			depth++
		case b == ')':
			depth--
		case b == ',' && depth == 0:
			list = append(list, strings.TrimSpace(tag[begin:i]))
			begin = i + 1
		}
	}
	if depth != 0 || quoted {
		return nil, errors.New("the tag tldwdb has a bracket or a quote without its other half")
	}
	if rest := strings.TrimSpace(tag[begin:]); rest != "" {
		list = append(list, rest)
	}
	return list, nil
}

// kinds are the columns that Go's types become.
var kinds = map[string]map[string]string{
	"string":  {"sqlite": "text", "postgres": "text", "mysql": "varchar(255)"},
	"bool":    {"sqlite": "boolean", "postgres": "boolean", "mysql": "boolean"},
	"int":     {"sqlite": "integer", "postgres": "bigint", "mysql": "bigint"},
	"int64":   {"sqlite": "integer", "postgres": "bigint", "mysql": "bigint"},
	"int32":   {"sqlite": "integer", "postgres": "integer", "mysql": "int"},
	"int16":   {"sqlite": "integer", "postgres": "smallint", "mysql": "smallint"},
	"int8":    {"sqlite": "integer", "postgres": "smallint", "mysql": "tinyint"},
	"uint64":  {"sqlite": "integer", "postgres": "numeric(20)", "mysql": "bigint unsigned"},
	"uint":    {"sqlite": "integer", "postgres": "numeric(20)", "mysql": "bigint unsigned"},
	"uint32":  {"sqlite": "integer", "postgres": "bigint", "mysql": "int unsigned"},
	"uint16":  {"sqlite": "integer", "postgres": "integer", "mysql": "smallint unsigned"},
	"uint8":   {"sqlite": "integer", "postgres": "smallint", "mysql": "tinyint unsigned"},
	"byte":    {"sqlite": "integer", "postgres": "smallint", "mysql": "tinyint unsigned"},
	"rune":    {"sqlite": "integer", "postgres": "integer", "mysql": "int"},
	"float64": {"sqlite": "real", "postgres": "double precision", "mysql": "double"},
	"float32": {"sqlite": "real", "postgres": "real", "mysql": "float"},
	"[]byte":  {"sqlite": "blob", "postgres": "bytea", "mysql": "longblob"},
	"time":    {"sqlite": "timestamp", "postgres": "timestamp with time zone", "mysql": "datetime(6)"},
	"json":    {"sqlite": "text", "postgres": "jsonb", "mysql": "json"},
	"uuid":    {"sqlite": "text", "postgres": "uuid", "mysql": "char(36)"},
}

// foreign are types of other packages, with whether they hold NULL.
var foreign = map[string]struct {
	kind string
	null bool
}{
	"time.Time": {"time", false}, "time.Duration": {"int64", false}, "encoding/json.RawMessage": {"json", false},
	"database/sql.NullString": {"string", true}, "database/sql.NullBool": {"bool", true}, "database/sql.NullTime": {"time", true},
	"database/sql.NullInt64": {"int64", true}, "database/sql.NullInt32": {"int32", true}, "database/sql.NullInt16": {"int16", true},
	"database/sql.NullByte": {"byte", true}, "database/sql.NullFloat64": {"float64", true}, "database/sql.RawBytes": {"[]byte", true},
	"github.com/google/uuid.UUID": {"uuid", false}, "github.com/google/uuid.NullUUID": {"uuid", true}, "github.com/gofrs/uuid.UUID": {"uuid", false},
}

// kindOf finds what a type becomes, and whether it holds NULL. Where the tag says the
// type of the column, any Go type will do.
func (r *reader) kindOf(field ast.Node, expr ast.Expr, imports map[string]string, told bool) (kind string, null bool, err error) {
	switch t := expr.(type) {
	case *ast.StarExpr:
		kind, _, err = r.kindOf(field, t.X, imports, told)
		return kind, true, err
	case *ast.ArrayType:
		if of, ok := t.Elt.(*ast.Ident); ok && t.Len == nil && (of.Name == "byte" || of.Name == "uint8") {
			return "[]byte", false, nil
		}
	case *ast.IndexExpr: // sql.Null[T]
		if of, ok := t.X.(*ast.SelectorExpr); ok && qualified(of, imports) == "database/sql.Null" {
			kind, _, err = r.kindOf(field, t.Index, imports, told)
			return kind, true, err
		}
	case *ast.SelectorExpr:
		if f, known := foreign[qualified(t, imports)]; known {
			return f.kind, f.null, nil
		}
	case *ast.Ident:
		if d, known := r.types[t.Name]; known && r.depth < len(r.types) { // a type may be made of itself
			r.depth++
			defer func() { r.depth-- }()
			return r.kindOf(field, d.expr, d.imports, told)
		}
		if _, known := kinds[t.Name]; known && t.Name != "time" && t.Name != "json" && t.Name != "uuid" {
			return t.Name, false, nil
		}
	}
	if told {
		return "", false, nil
	}
	return "", false, r.fault(field, "what column this Go type becomes is not known: say it with the tag tldwdb:\"type=…\", or leave the field out with db:\"-\"")
}

func qualified(t *ast.SelectorExpr, imports map[string]string) string {
	if pkg, ok := t.X.(*ast.Ident); ok {
		return imports[pkg.Name] + "." + t.Sel.Name
	}
	return ""
}
