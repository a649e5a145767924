package convert

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file reads the tools that keep each direction in a file of its own, or have one direction only. The text of a file
// stays as it is.

// pairs collects files by their version.
type pairs struct {
	c    *converter
	list map[string]*migration
}

// add puts a script into its place, which must be free.
func (p *pairs) add(key string, m migration, s *script, down bool) {
	if p.list == nil {
		p.list = map[string]*migration{}
	}
	have := p.list[key]
	if have == nil {
		have = &m
		p.list[key] = have
		p.c.migrations = append(p.c.migrations, have)
	}
	slot := &have.up
	if down {
		slot = &have.down
	} else {
		have.name = m.name // the way back may be called otherwise
	}
	if *slot != nil {
		p.c.problem(s.input.path, 0, "it has the number of %s", (*slot).input.path)
		return
	}
	*slot = s
}

var golangMigrateName = lazyregexp.New(`^(\d+)_(.*)\.(up|down)\.(.+)$`)

// golangMigrate reads NNN_name.up.sql and NNN_name.down.sql.
func (c *converter) golangMigrate() {
	p := pairs{c: c}
	for _, in := range c.folder.files {
		m := golangMigrateName.FindStringSubmatch(in.name)
		if m == nil || !in.top {
			continue
		}
		c.used[in.path] = true
		if !strings.EqualFold(m[4], "sql") {
			c.problem(in.path, 0, "golang-migrate runs it, and it is no SQL: call it .sql if it is")
			continue
		}
		p.add(plainNumber(m[1]), migration{version: plainNumber(m[1]), number: m[1], name: m[2]}, in.whole(), m[3] == "down")
	}
	c.noWayUp()
	c.byNumber()
}

// noWayUp gives the versions an up file that have a down file only: they count, and their way up does nothing.
func (c *converter) noWayUp() {
	for _, m := range c.migrations {
		if m.up == nil && m.down != nil {
			m.up = &script{input: m.down.input, text: "-- Version " + m.version + " of " + string(c.tool) + " has no way up.\n"}
			c.note(m.down.input.path, 0, "there is no up file, which means that the way up does nothing: it was written so")
		}
	}
}

var (
	sqlxName          = lazyregexp.New(`^(\d+)_(.+)\.sql$`)
	sqlxNoTransaction = lazyregexp.New(`^-- no-transaction\b`)
)

// sqlx reads NNN_name.sql, and pairs as golang-migrate has them.
func (c *converter) sqlx() {
	p := pairs{c: c}
	for _, in := range c.folder.files {
		m := sqlxName.FindStringSubmatch(in.name)
		if m == nil || !in.top {
			continue
		}
		c.used[in.path] = true
		name, isDown := strings.CutSuffix(m[2], ".down")
		name = strings.TrimSuffix(name, ".up")
		s := in.whole()
		s.noTransaction = sqlxNoTransaction.MatchString(in.text)
		p.add(plainNumber(m[1]), migration{version: plainNumber(m[1]), number: m[1], name: name}, s, isDown)
	}
	c.noWayUp()
	c.byNumber()
}

var refineryName = lazyregexp.New(`^([UV])(\d+)(\.\d+)?__(\w+)\.(sql|rs)$`)

// refinery reads V1__name.sql and U1__name.sql. Its U is no undo: such a migration may only come late.
func (c *converter) refinery() {
	p := pairs{c: c}
	for _, in := range c.folder.files {
		m := refineryName.FindStringSubmatch(in.name)
		if m == nil {
			continue
		}
		c.used[in.path] = true
		switch {
		case m[5] == "rs":
			c.problem(in.path, 0, "a migration in Rust: write it as SQL, or as one of Config.GoMigrations")
		case m[3] != "":
			c.problem(in.path, 0, "a version with a fraction: refinery's history does not keep it")
		default:
			p.add(plainNumber(m[2]), migration{version: plainNumber(m[2]), number: m[2], name: m[4]}, in.whole(), false)
		}
	}
	c.byNumber()
}

const (
	prismaFile = "migration.sql"
	prismaLock = "migration_lock.toml"
)

var prismaProviders = map[string]*lazyregexp.Regexp{
	"postgres": lazyregexp.New(`(?m)^provider *= *"(postgresql|cockroachdb)"`),
	"mysql":    lazyregexp.New(`(?m)^provider *= *"mysql"`),
	"sqlite":   lazyregexp.New(`(?m)^provider *= *"sqlite"`),
}

// prisma reads the migration.sql of each folder, in the order of the folders' names.
func (c *converter) prisma() {
	p := pairs{c: c}
	for _, in := range c.folder.files {
		folder, file, nested := strings.Cut(in.path, "/")
		switch {
		case nested && (file == prismaFile || file == "down.sql"):
		case nested && !in.sql(): // code that a project runs beside Prisma
			c.note(in.path, 0, "prisma does not run this file, so it was not imported")
			continue
		default:
			continue
		}
		c.used[in.path] = true
		digits := leadingDigits(folder)
		name := cmp.Or(strings.TrimLeft(folder[len(digits):], "_-"), folder)
		p.add(folder, migration{version: folder, number: digits, name: name}, in.whole(), file != prismaFile)
		if file != prismaFile {
			c.note(in.path, 0, "Prisma never runs it by itself: it was taken for the way back of %s", folder)
		}
	}
	c.noWayUp()
	slices.SortStableFunc(c.migrations, func(a, b *migration) int { return strings.Compare(a.version, b.version) })
}

const atlasSum = "atlas.sum"

var atlasDirective = lazyregexp.New(`^-- *atlas:(\w+)(?: +(.*?))? *\r?$`)

// atlas reads VERSION_name.sql in the order of the files' names.
func (c *converter) atlas() {
	p := pairs{c: c}
	for _, in := range c.folder.files {
		if !in.top || !in.sql() {
			continue
		}
		c.used[in.path] = true
		version, name, _ := strings.Cut(in.name[:len(in.name)-len(".sql")], "_")
		digits := leadingDigits(version)
		if digits != version {
			digits = ""
		}
		p.add(version, migration{version: version, number: digits, name: name}, c.atlasScript(in), false)
	}
}

// atlasScript reads the directives of a file: the comments that it begins with.
func (c *converter) atlasScript(in *input) *script {
	s := in.whole()
	for number, line := range numbered(in.text) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasPrefix(line, "--") {
			break
		}
		m := atlasDirective.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch m[1] {
		case "txmode":
			s.noTransaction = m[2] == "none"
		case "delimiter":
			c.cutBy(s, number, m[2])
		case "checkpoint":
			c.problem(in.path, number, "a checkpoint repeats the files before it: take it out, or take those out and this line")
		case "nolint", "sum", "import":
		default:
			c.problem(in.path, number, "the directive atlas:%s cannot be expressed here", m[1])
		}
	}
	return s
}

// cutBy ends the statements of a script with semicolons where Atlas would cut them at a delimiter, which must be blanks or a
// comment, since it stays.
func (c *converter) cutBy(s *script, line int, quoted string) {
	delimiter, err := strconv.Unquote(`"` + strings.ReplaceAll(quoted, `"`, `\"`) + `"`)
	if err != nil || delimiter == "" || strings.TrimSpace(delimiter) != "" && !strings.HasPrefix(delimiter, "--") {
		c.problem(s.input.path, line, "the delimiter %s is no SQL: end the statements with semicolons", quoted)
		return
	}
	// The line that names the delimiter is no delimiter itself.
	head := strings.Index(s.text, quoted) + len(quoted)
	cut := &section{text: []byte(s.text[:head])}
	for i, part := range strings.Split(s.text[head:], delimiter) {
		if i > 0 {
			cut.text = append(cut.text, delimiter...)
		}
		from := len(cut.text)
		cut.text = append(cut.text, part...)
		c.terminate(cut, from)
	}
	s.text = string(cut.text)
}

// The names of Flyway. What is in the place of a version may be dotted, and parted by _ instead.
var (
	flywayName     = lazyregexp.New(`^(?:[VUB]\d+(?:[._]\d+)*__.*|R__.+)\.sql$`)
	flywayVersion  = lazyregexp.New(`^([VUB])(\d+(?:[._]\d+)*)(?:__(.*))?\.sql$`)
	flywayRepeats  = lazyregexp.New(`^R__(.+)\.sql$`)
	flywayCode     = lazyregexp.New(`^(?:[VUB]\d.*|R)__.*\.(java|kt|class|ps1|sh|bash|bat|cmd|py)$`)
	flywayCallback = lazyregexp.New(`^(?:(?:before|after)[A-Z]\w*|createSchema)(?:__.*)?\.(?:sql|ps1|sh|bash|bat|cmd|py)$`)
	flywayConfig   = lazyregexp.New(`^flyway.*\.(conf|toml)$`)
	flywaySetting  = lazyregexp.New(`^ *(?:flyway\.)?(\w+) *[=:] *(.*?) *$`)
	flywayInline   = lazyregexp.New(`(?m)^-- *flyway:(\w+=.*?)\r?$`)
	placeholder    = lazyregexp.New(`\$\{([^{}]*)\}`)
)

// flyway reads V1__name.sql, U1__name.sql and R__name.sql in all folders, and the .conf files beside them.
func (c *converter) flyway() {
	var versions, repeatable, baselines []*migration
	byVersion := map[string]*migration{}
	var undo []*input
	for _, in := range c.folder.files {
		version := flywayVersion.FindStringSubmatch(in.name)
		repeats := flywayRepeats.FindStringSubmatch(in.name)
		switch {
		case flywayCallback.MatchString(in.name):
			c.used[in.path] = true
			c.problem(in.path, 0, "a callback: nothing runs beside the migrations here; put its statements into a migration, or into R__name.sql, and take it out")
		case flywayCode.MatchString(in.name):
			c.problem(in.path, 0, "a migration in code: write it as SQL, or as one of Config.GoMigrations")
		case flywayConfig.MatchString(in.name):
			c.note(in.path, 0, "the settings in it were not read")
		case repeats != nil:
			c.used[in.path] = true
			repeatable = append(repeatable, &migration{name: repeats[1], repeatable: true, up: c.flywayScript(in)})
		case version == nil:
		case version[1] == "U":
			c.used[in.path] = true
			undo = append(undo, in)
		default:
			c.used[in.path] = true
			m := &migration{version: strings.ReplaceAll(version[2], "_", "."), name: version[3], up: c.flywayScript(in)}
			if leadingDigits(m.version) == m.version {
				m.number = m.version
			}
			key := flywayKey(m.version)
			if version[1] == "B" {
				baselines = append(baselines, m)
			}
			if other := byVersion[key]; other != nil {
				c.problem(in.path, 0, "it has the version of %s", other.up.input.path)
			}
			byVersion[key] = m
			versions = append(versions, m)
		}
	}
	for _, in := range undo {
		version := strings.ReplaceAll(flywayVersion.FindStringSubmatch(in.name)[2], "_", ".")
		m := byVersion[flywayKey(version)]
		switch {
		case m == nil:
			c.problem(in.path, 0, "there is no V%s__ that it would undo; if the folder is refinery's, say so", version)
		case m.down != nil:
			c.problem(in.path, 0, "it has the version of %s", m.down.input.path)
		default:
			m.down = c.flywayScript(in)
		}
	}
	slices.SortStableFunc(versions, func(a, b *migration) int { return compareDotted(flywayKey(a.version), flywayKey(b.version)) })
	for _, b := range baselines {
		if versions[0] != b {
			c.problem(b.up.input.path, 0, "a baseline repeats the versions up to its own: take it out, or take those out")
		}
	}
	c.migrations = slices.Concat(versions, repeatable)
	c.repeatableOrder(repeatable)
}

// repeatableOrder tells where the names sort otherwise than the descriptions that Flyway makes of them.
func (c *converter) repeatableOrder(list []*migration) {
	slices.SortStableFunc(list, func(a, b *migration) int { return strings.Compare(fileName(a.name), fileName(b.name)) })
	for i := 1; i < len(list); i++ {
		if strings.ReplaceAll(list[i-1].name, "_", " ") > strings.ReplaceAll(list[i].name, "_", " ") {
			c.note(list[i].up.input.path, 0, "here it runs after %s, and before it with Flyway", list[i-1].up.input.path)
		}
	}
}

// flywayKey is what two names of one version have in common.
func flywayKey(version string) string {
	parts := strings.Split(version, ".")
	for i := range parts {
		parts[i] = plainNumber(parts[i])
	}
	for len(parts) > 1 && parts[len(parts)-1] == "0" {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, ".")
}

func compareDotted(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), compareNumbers)
}

// flywayScript reads a file with its settings, and puts the values in place of the placeholders.
func (c *converter) flywayScript(in *input) *script {
	s := in.whole()
	replace := true
	set := func(file string, line int, setting string) {
		m := flywaySetting.FindStringSubmatch(setting)
		switch {
		case m == nil:
			c.problem(file, line, "this is no setting of Flyway")
		case m[1] == "executeInTransaction" && (m[2] == "true" || m[2] == "false"):
			s.noTransaction = m[2] == "false"
		case m[1] == "placeholderReplacement" && (m[2] == "true" || m[2] == "false"):
			replace = m[2] == "true"
		case m[1] == "encoding" && strings.EqualFold(m[2], "UTF-8"), m[1] == "shouldExecute" && m[2] == "true":
		default:
			c.problem(file, line, "the setting %s cannot be expressed here", m[1])
		}
	}
	for _, conf := range c.folder.files {
		if conf.path != in.path+".conf" {
			continue
		}
		for number, line := range numbered(conf.text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != '!' {
				set(conf.path, number, line)
			}
		}
	}
	where := c.placesIn(in.text)
	defer where.close()
	for _, at := range flywayInline.FindAllStringSubmatchIndex(in.text, -1) {
		if where.begins(at[0]) {
			set(in.path, 1+strings.Count(in.text[:at[0]], "\n"), in.text[at[2]:at[3]])
		}
	}
	if replace {
		c.replacePlaceholders(s)
	}
	return s
}

// replacePlaceholders does what Flyway does with ${name}. One without a value is of no matter in a comment.
func (c *converter) replacePlaceholders(s *script) {
	values := map[string]string{}
	for name, value := range c.values {
		values[strings.ToLower(name)] = value
	}
	text := s.text
	var b strings.Builder
	last, replaced := 0, 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		name := text[at[2]:at[3]]
		value, ok := values[strings.ToLower(name)]
		if !ok {
			if !c.inComment(text, at[0]) {
				c.problem(s.input.path, 1+strings.Count(text[:at[0]], "\n"), "the placeholder ${%s} has no value: give it one", name)
			}
			continue
		}
		b.WriteString(text[last:at[0]])
		b.WriteString(value)
		last = at[1]
		replaced++
	}
	if replaced > 0 {
		c.note(s.input.path, 0, "the given values were put in place of %d placeholders", replaced)
	}
	s.text = b.String() + text[last:]
}

// inComment reports whether the offset lies in a comment.
func (c *converter) inComment(text string, at int) bool {
	rules := c.rules
	rules.Comments = true
	for t := range sqlscan.Tokens(text, rules) {
		if t.Offset+len(t.Text) > at {
			return t.Offset <= at && t.Kind == sqlscan.Comment
		}
	}
	return false
}
