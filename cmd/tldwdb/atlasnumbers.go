package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	"github.com/jackc/pgx/v5"
)

// renumbered lists the statements that make serial columns identities, and the other way
// round, where Atlas gives up. They go on with the number at which the old sequence stands.
// In a the columns are then what b wants, so that at most their types are left to Atlas.
func renumbered(ctx context.Context, from, to *sql.Conn, a, b *schema.Realm) (list []string, err error) {
	for _, s := range a.Schemas {
		for _, t := range s.Tables {
			wanted := tableOf(b, s.Name, t.Name)
			if wanted == nil {
				continue
			}
			for _, c := range t.Columns {
				will, ok := wanted.Column(c.Name)
				if !ok {
					continue
				}
				n := numbering{table: t, column: c, quoted: qualifier(a, b, s)}
				is, identity := identityOf(c), identityOf(will)
				switch {
				case is == nil && identity != nil && byNextval(c):
					own, err := n.ownSequence(ctx, from)
					if err != nil {
						return nil, err
					}
					list = append(list, n.toIdentity(own, identity)...)
					if serial, ok := c.Type.Type.(*postgres.SerialType); ok {
						c.Type.Type = serial.IntegerType()
					}
					c.Type.Null, c.Default = false, nil
					c.Attrs = append(c.Attrs, identity)
				case is != nil && identity == nil && byNextval(will):
					old, err := n.ownSequence(ctx, from)
					if err != nil {
						return nil, err
					}
					own, err := n.ownSequence(ctx, to)
					if err != nil {
						return nil, err
					}
					list = append(list, n.toSerial(old, own)...)
					n.becomes(will)
				}
			}
		}
	}
	return list, nil
}

func identityOf(c *schema.Column) *postgres.Identity {
	for _, attr := range c.Attrs {
		if identity, ok := attr.(*postgres.Identity); ok {
			return identity
		}
	}
	return nil
}

// byNextval reports whether a column has its numbers from a sequence by its default. Atlas
// calls it serial when the sequence has the usual name.
func byNextval(c *schema.Column) bool {
	if _, ok := c.Type.Type.(*postgres.SerialType); ok {
		return true
	}
	x, ok := c.Default.(*schema.RawExpr)
	return ok && strings.HasPrefix(x.X, "nextval(")
}

// numbering is a column whose numbers are to come from elsewhere.
type numbering struct {
	table  *schema.Table
	column *schema.Column
	quoted func(name string) string // of a table or sequence
}

// sequence is one that belongs to a column.
type sequence struct {
	name, kind string
	grants     []string // such as: USAGE ON SEQUENCE "s" TO "app"
}

// ownSequence asks for the sequence of a column, which has to be that column's alone.
func (n numbering) ownSequence(ctx context.Context, conn *sql.Conn) (s sequence, err error) {
	const its = `SELECT s.relname, format_type(q.seqtypid, NULL), s.relnamespace = o.relnamespace AND (SELECT count(DISTINCT x.objid) FROM pg_depend x
			WHERE x.classid = 'pg_attrdef'::regclass AND x.refclassid = 'pg_class'::regclass AND x.refobjid = s.oid) <= 1,
		array_to_string(ARRAY(SELECT g.privilege_type || CASE WHEN g.grantee = 0 THEN ' PUBLIC' ELSE ' ' || quote_ident(pg_get_userbyid(g.grantee)) END FROM aclexplode(s.relacl) g WHERE g.grantee <> s.relowner ORDER BY 1), chr(10))
		FROM pg_class o JOIN pg_namespace p ON p.oid = o.relnamespace JOIN pg_class s ON s.oid = pg_get_serial_sequence(quote_ident(p.nspname) || '.' || quote_ident(o.relname), $3)::regclass
		JOIN pg_sequence q ON q.seqrelid = s.oid WHERE p.nspname = $1 AND o.relname = $2`
	table, column := serverName(n.table.Name), serverName(n.column.Name)
	alone := false
	var grants string
	err = conn.QueryRowContext(ctx, its, serverName(n.table.Schema.Name), table, column).Scan(&s.name, &s.kind, &alone, &grants)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !alone {
		return s, fmt.Errorf("column %s of table %s has its numbers from a sequence that is not its own alone: write this migration by hand", column, table)
	}
	if err != nil {
		return s, fmt.Errorf("reading the sequence of %s.%s: %w", table, column, err)
	}
	for grant := range strings.Lines(grants) {
		privilege, grantee, _ := strings.Cut(strings.TrimSuffix(grant, "\n"), " ")
		s.grants = append(s.grants, "GRANT "+privilege+" ON SEQUENCE "+n.quoted(s.name)+" TO "+grantee)
	}
	return s, nil
}

func (n numbering) alter() string {
	return "ALTER TABLE " + n.quoted(n.table.Name) + " ALTER COLUMN " + pgx.Identifier{n.column.Name}.Sanitize() + " "
}

// aside is the name of a sequence while another one has its name.
const aside = "tldwdb_renumbered"

// moved is where the old sequence stands, unless nobody has asked it yet: then the new one
// begins as it was declared.
func (n numbering) moved(target, old string) string {
	return "SELECT setval(" + target + ", s.last_value, s.is_called) FROM " + n.quoted(old) + " s JOIN pg_sequence q ON q.seqrelid = " + literal(n.quoted(old)) + "::regclass WHERE s.is_called OR s.last_value <> q.seqstart"
}

// toIdentity gives the column a sequence of its own, in the place of the one of its default.
func (n numbering) toIdentity(old sequence, identity *postgres.Identity) []string {
	options := ""
	if s := identity.Sequence; s != nil && (s.Start != 1 || s.Increment != 1) {
		options = fmt.Sprintf(" (START WITH %d INCREMENT BY %d)", s.Start, s.Increment)
	}
	list := []string{
		n.alter() + "DROP DEFAULT", // from here on nobody writes into the table
		"ALTER SEQUENCE " + n.quoted(old.name) + " OWNED BY NONE",
		"ALTER SEQUENCE " + n.quoted(old.name) + " RENAME TO " + aside,
		n.alter() + "ADD GENERATED " + identity.Generation + " AS IDENTITY" + options,
		n.moved("pg_get_serial_sequence("+literal(n.quoted(n.table.Name))+", "+literal(serverName(n.column.Name))+")", aside),
		"DROP SEQUENCE " + n.quoted(aside),
	}
	if n.column.Type.Null {
		list = append([]string{n.alter() + "SET NOT NULL"}, list...)
	}
	return list
}

// toSerial gives the column a default from a sequence, in the place of its identity's.
func (n numbering) toSerial(old, own sequence) []string {
	return append([]string{
		n.alter() + "SET GENERATED BY DEFAULT", // from here on nobody writes into the table
		"CREATE SEQUENCE " + n.quoted(aside) + " AS " + own.kind,
		n.moved(literal(n.quoted(aside)), old.name),
		n.alter() + "DROP IDENTITY",
		"ALTER SEQUENCE " + n.quoted(aside) + " RENAME TO " + pgx.Identifier{own.name}.Sanitize(),
		"ALTER SEQUENCE " + n.quoted(own.name) + " OWNED BY " + n.quoted(n.table.Name) + "." + pgx.Identifier{n.column.Name}.Sanitize(),
		n.alter() + "SET DEFAULT nextval(" + literal(n.quoted(own.name)) + ")",
	}, own.grants...)
}

// becomes makes the column what will is, but for its type.
func (n numbering) becomes(will *schema.Column) {
	c := n.column
	if serial, ok := will.Type.Type.(*postgres.SerialType); ok {
		is := &postgres.SerialType{SequenceName: serial.SequenceName}
		if number, ok := c.Type.Type.(*schema.IntegerType); ok {
			is.SetType(number)
		}
		c.Type.Type = is
	}
	c.Default = will.Default
	c.Attrs = slices.DeleteFunc(c.Attrs, func(attr schema.Attr) bool { _, is := attr.(*postgres.Identity); return is })
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
