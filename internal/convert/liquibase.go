package convert

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file reads Liquibase's formatted SQL. What says under which condition a changeset runs has no place in our files; a
// changeset with such a thing is refused.

var (
	liquibaseHead      = lazyregexp.New(`(?mi)^[ \t]*--[ \t]*liquibase[ \t]+formatted[ \t]+sql\b`)
	liquibaseChangeset = lazyregexp.New(`(?i)^[ \t]*--[ \t]*changeset[ \t]+("[^"]*"|[^\s:"]+):("[^"]*"|\S+)(.*)$`)
	liquibaseRollback  = lazyregexp.New(`(?i)^[ \t]*--[ \t]*rollback\b[ \t]?(.*)$`)
	liquibaseBlock     = lazyregexp.New(`(?i)^[ \t]*/\*[ \t]*liquibase[ \t]+rollback\b(.*)$`)
	liquibaseRefused   = lazyregexp.New(`(?i)^[ \t]*--[ \t]*(preconditions?\b|precondition-[\w-]+|property|includeAll|include|ignoreLines|ignore)\b`)
	liquibaseAttribute = lazyregexp.New(`(\w+):("[^"]*"|\S+)`)
	liquibaseOther     = lazyregexp.New(`\.(xml|ya?ml|json)$`)
)

// changeset is one of Liquibase, with what its comments say.
type changeset struct {
	section
	back       section
	input      *input
	id, author string
	path       string
	skipped    bool
	delimiter  string // of the way up; empty: a semicolon
	backDelim  string // of the way back

	noTransaction bool
}

func (c *converter) liquibase() {
	var list []*changeset
	formatted := 0
	for _, in := range c.folder.files {
		switch {
		case liquibaseOther.MatchString(in.name) && strings.Contains(in.text, "databaseChangeLog"):
			if strings.Contains(in.text, "changeSet") {
				c.problem(in.path, 0, "a changelog that is not SQL: let Liquibase write its SQL (update-sql), with each changeset as formatted SQL")
			} else {
				c.note(in.path, 0, "this changelog was not read: the files come in the order of their names")
			}
		case in.sql() && liquibaseHead.MatchString(in.text):
			c.used[in.path] = true
			formatted++
			list = append(list, c.changesets(in)...)
		}
	}
	count := map[string]int{}
	for _, set := range list {
		count[set.id]++
	}
	for _, set := range list {
		if set.skipped {
			continue
		}
		m := &migration{version: set.id, name: set.id, up: set.script(set.input, set.noTransaction)}
		if count[set.id] > 1 {
			m.version = set.path + "::" + set.id + "::" + set.author
		}
		if slices.ContainsFunc(c.migrations, func(o *migration) bool { return o.version == m.version }) {
			c.problem(set.input.path, set.first, "the changeset %s is there twice", m.version)
		}
		if leadingDigits(set.id) == set.id {
			m.number = set.id
		}
		if c.hasCode(string(set.back.text)) {
			m.down = set.back.script(set.input, set.noTransaction)
		}
		c.changesetScript(m.up, set.delimiter, set.first)
		if m.down != nil {
			c.changesetScript(m.down, set.backDelim, set.first)
		}
		c.migrations = append(c.migrations, m)
	}
	if formatted > 1 {
		c.note(".", 0, "the %d files come in the order of their names, as includeAll has it", formatted)
	}
}

// changesetScript gives a script its delimiter and its values.
func (c *converter) changesetScript(s *script, delimiter string, first int) {
	if delimiter != "" && c.dialect == "mysql" {
		s.text = "DELIMITER " + delimiter + "\n" + s.text + "DELIMITER ;\n"
		s.lines = slices.Concat([]int{first}, s.lines, []int{0})
	}
	faults := len(c.problems)
	c.replacePlaceholders(s)
	for i := range c.problems[faults:] {
		c.problems[faults+i].Line = s.line(c.problems[faults+i].Line)
	}
}

// changesets cuts a file into its changesets.
func (c *converter) changesets(in *input) []*changeset {
	var list []*changeset
	var current *changeset
	var head section
	block := false // inside of /* liquibase rollback … */
	where := c.placesIn(in.text)
	defer where.close()
	offset := 0
	for number, line := range numbered(in.text) {
		begin := offset
		offset += len(line)
		trimmed := strings.TrimRight(line, "\r\n")
		if block {
			if block = c.rollbackBlock(current, number, trimmed); !block {
				where.restart(offset)
			}
			continue
		}
		start := liquibaseChangeset.FindStringSubmatch(trimmed)
		rollback := liquibaseRollback.FindStringSubmatch(trimmed)
		opens := liquibaseBlock.FindStringSubmatch(trimmed)
		refused := liquibaseRefused.FindStringSubmatch(trimmed)
		isMark := start != nil || rollback != nil || opens != nil || refused != nil
		if isMark && !where.begins(begin) {
			c.note(in.path, number, "this looks like a mark of liquibase, but it stands in quotes or in a comment: it was left as the text it is")
			isMark = false
		}
		switch {
		case isMark && refused != nil:
			c.problem(in.path, number, "%s has no place in our files", refused[1])
		case isMark && start != nil:
			current = &changeset{input: in, path: in.path, author: strings.Trim(start[1], `"`), id: strings.Trim(start[2], `"`)}
			current.first = number
			c.attributes(current, start[3])
			list = append(list, current)
		case isMark && current == nil:
			c.problem(in.path, number, "this stands before the first changeset")
		case isMark && opens != nil:
			block = c.rollbackBlock(current, number, opens[1])
		case isMark:
			c.rollback(current, number, rollback[1])
		default:
			if where.begins(begin) {
				line = c.comment(line)
			}
			target := &head
			if current != nil {
				target = &current.section
			}
			target.add(number, line)
			continue
		}
		where.restart(offset)
	}
	if block {
		c.problem(in.path, 0, "a rollback in a comment does not end")
	}
	for t := range sqlscan.Tokens(string(head.text), c.rules) {
		c.problem(in.path, head.lines[strings.Count(string(head.text[:t.Offset]), "\n")], "this stands before the first changeset")
		break
	}
	return list
}

// rollbackBlock takes a line of a rollback in a comment, and reports whether the comment goes on.
func (c *converter) rollbackBlock(set *changeset, number int, line string) bool {
	text, rest, ends := strings.Cut(line, "*/")
	if c.hasCode(rest) {
		c.problem(set.input.path, number, "this stands behind the end of the rollback: put it into a line of its own")
	}
	set.back.add(number, text+"\n")
	return !ends
}

// rollback takes a line behind --rollback.
func (c *converter) rollback(set *changeset, number int, text string) {
	switch first, _, _ := strings.Cut(strings.TrimSpace(text), " "); {
	case strings.EqualFold(strings.TrimSpace(text), "empty"), strings.EqualFold(strings.TrimSpace(text), "not required"):
	case strings.HasPrefix(strings.ToLower(first), "changesetid:"):
		c.problem(set.input.path, number, "a rollback that is another changeset: write its statements")
	default:
		set.back.add(number, text+"\n")
	}
}

// attributes reads what stands behind author:id.
func (c *converter) attributes(set *changeset, text string) {
	if rest := strings.TrimSpace(liquibaseAttribute.ReplaceAllString(text, "")); rest != "" {
		c.problem(set.input.path, set.first, "%q is no attribute: a value with blanks stands in quotes", rest)
	}
	for _, m := range liquibaseAttribute.FindAllStringSubmatch(text, -1) {
		name, value := m[1], strings.Trim(m[2], `"`)
		isTrue := strings.EqualFold(value, "true")
		switch strings.ToLower(name) {
		case "runintransaction":
			set.noTransaction = strings.EqualFold(value, "false")
		case "splitstatements", "stripcomments", "rollbacksplitstatements", "comment":
		case "enddelimiter", "rollbackenddelimiter":
			if value == ";" {
				continue
			}
			if name[0] == 'e' || name[0] == 'E' {
				set.delimiter = value
			} else {
				set.backDelim = value
			}
			if c.dialect != "mysql" {
				c.problem(set.input.path, set.first, "the delimiter %s is no SQL: end the statements with semicolons", value)
			}
		case "logicalfilepath":
			set.path = value
		case "dbms":
			if !c.forDialect(value) {
				set.skipped = true
				c.note(set.input.path, set.first, "changeset %s is not for this dialect (dbms:%s), so it was not imported", set.id, value)
			}
		case "ignore":
			if isTrue {
				set.skipped = true
				c.note(set.input.path, set.first, "changeset %s says ignore:true, so it was not imported", set.id)
			}
		case "runonchange", "runalways":
			if isTrue {
				c.problem(set.input.path, set.first, "%s: put it into a file R__name.sql, which runs after all versions whenever its text changes, and take it out", name)
			}
		default:
			c.problem(set.input.path, set.first, "the attribute %s cannot be expressed here", name)
		}
	}
}

// forDialect reads a list such as "postgresql, h2" or "!oracle".
func (c *converter) forDialect(list string) bool {
	ours := map[string][]string{"postgres": {"postgresql"}, "mysql": {"mysql", "mariadb"}, "sqlite": {"sqlite"}}[c.dialect]
	included := false
	for _, name := range strings.Split(list, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if not, negated := strings.CutPrefix(name, "!"); negated {
			if slices.Contains(ours, not) {
				return false
			}
			included = true
		} else if name == "all" || slices.Contains(ours, name) {
			included = true
		}
	}
	return included
}
