package main

import (
	"context"
	"database/sql"
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
func renumbered(ctx context.Context, from *sql.Conn, a, b *schema.Realm) (list []string, err error) {
	for _, s := range a.Schemas {
		for _, t := range s.Tables {
			wanted := tableOf(b, s.Name, t.Name)
			if wanted == nil {
				continue
			}
			for _, c := range t.Columns {
				to, ok := wanted.Column(c.Name)
				if !ok {
					continue
				}
				n := numbering{table: t, column: c, name: pgx.Identifier{s.Name}}
				if len(a.Schemas) == 1 && len(b.Schemas) == 1 {
					n.name = nil
				}
				serial, isSerial := c.Type.Type.(*postgres.SerialType)
				wantsSerial, toSerial := to.Type.Type.(*postgres.SerialType)
				switch identity := identityOf(to); {
				case isSerial && identity != nil:
					list = append(list, n.toIdentity(sequenceOf(serial, t, c), identity)...)
					c.Type.Type, c.Type.Null, c.Default = serial.IntegerType(), false, nil
					c.Attrs = append(c.Attrs, identity)
				case toSerial && identityOf(c) != nil:
					const its = "SELECT relname FROM pg_class WHERE oid = pg_get_serial_sequence($1, $2)::regclass"
					var sequence string
					if err := from.QueryRowContext(ctx, its, pgx.Identifier{serverName(s.Name), serverName(t.Name)}.Sanitize(), serverName(c.Name)).Scan(&sequence); err != nil {
						return nil, fmt.Errorf("reading the sequence of %s.%s: %w", serverName(t.Name), serverName(c.Name), err)
					}
					list = append(list, n.toSerial(sequence, sequenceOf(wantsSerial, wanted, to), wantsSerial.IntegerType().T)...)
					is := &postgres.SerialType{SequenceName: wantsSerial.SequenceName}
					if number, ok := c.Type.Type.(*schema.IntegerType); ok {
						is.SetType(number)
					}
					c.Type.Type = is
					c.Attrs = slices.DeleteFunc(c.Attrs, func(attr schema.Attr) bool { _, is := attr.(*postgres.Identity); return is })
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

// sequenceOf is the name of a serial column's sequence.
func sequenceOf(serial *postgres.SerialType, t *schema.Table, c *schema.Column) string {
	if serial.SequenceName != "" {
		return serial.SequenceName
	}
	return t.Name + "_" + c.Name + "_seq"
}

// numbering is a column whose numbers are to come from elsewhere.
type numbering struct {
	table  *schema.Table
	column *schema.Column
	name   pgx.Identifier // what stands before the name of a table or sequence
}

func (n numbering) quoted(name string) string { return append(slices.Clone(n.name), name).Sanitize() }

func (n numbering) alter() string {
	return "ALTER TABLE " + n.quoted(n.table.Name) + " ALTER COLUMN " + pgx.Identifier{n.column.Name}.Sanitize() + " "
}

// aside is the name of a sequence while another one has its name.
const aside = "tldwdb_renumbered"

// toIdentity gives the column a sequence of its own, in the place of the one of its default.
func (n numbering) toIdentity(sequence string, identity *postgres.Identity) []string {
	options := ""
	if s := identity.Sequence; s != nil && (s.Start != 1 || s.Increment != 1) {
		options = fmt.Sprintf(" (START WITH %d INCREMENT BY %d)", s.Start, s.Increment)
	}
	list := []string{
		n.alter() + "DROP DEFAULT",
		"ALTER SEQUENCE " + n.quoted(sequence) + " OWNED BY NONE",
		"ALTER SEQUENCE " + n.quoted(sequence) + " RENAME TO " + aside,
		n.alter() + "ADD GENERATED " + identity.Generation + " AS IDENTITY" + options,
		"SELECT setval(pg_get_serial_sequence(" + literal(n.quoted(n.table.Name)) + ", " + literal(serverName(n.column.Name)) + "), last_value, is_called) FROM " + n.quoted(aside),
		"DROP SEQUENCE " + n.quoted(aside),
	}
	if n.column.Type.Null {
		list = append([]string{n.alter() + "SET NOT NULL"}, list...)
	}
	return list
}

// toSerial gives the column a default from a sequence, in the place of its identity's.
func (n numbering) toSerial(old, sequence, kind string) []string {
	return []string{
		"CREATE SEQUENCE " + n.quoted(aside) + " AS " + kind,
		"SELECT setval(" + literal(n.quoted(aside)) + ", last_value, is_called) FROM " + n.quoted(old),
		n.alter() + "DROP IDENTITY",
		"ALTER SEQUENCE " + n.quoted(aside) + " RENAME TO " + pgx.Identifier{sequence}.Sanitize(),
		"ALTER SEQUENCE " + n.quoted(sequence) + " OWNED BY " + n.quoted(n.table.Name) + "." + pgx.Identifier{n.column.Name}.Sanitize(),
		n.alter() + "SET DEFAULT nextval(" + literal(n.quoted(sequence)) + ")",
	}
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
