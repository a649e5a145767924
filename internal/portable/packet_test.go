package portable_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A row that a server set up as this one would not take in a statement is noted when it
// is read, and not only when it is to be restored.
func TestRowsBeyondThePacket(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			packet := 0
			if err := db.AdminDB(t).QueryRowContext(t.Context(), "SELECT @@GLOBAL.max_allowed_packet").Scan(&packet); err != nil {
				t.Fatal(err)
			}
			if packet > 64<<20 {
				t.Skipf("max_allowed_packet is %d", packet)
			}
			fill(t, db, "CREATE TABLE fits (id integer PRIMARY KEY, body longtext)", "INSERT INTO fits VALUES (1, REPEAT('x', (@@GLOBAL.max_allowed_packet DIV 2) + 5000))",
				"CREATE TABLE quotes (id integer PRIMARY KEY, body longtext)", "INSERT INTO quotes VALUES (1, REPEAT(CHAR(39), (@@GLOBAL.max_allowed_packet DIV 2) + 5000))")
			s := side(t, db)
			sum, err := portable.Dump(t.Context(), s.Dialect, s.Conn, io.Discard, s.Options)
			if err != nil || len(sum.Notes) != 1 || !strings.Contains(sum.Notes[0], "table quotes: a row takes ") || !strings.Contains(sum.Notes[0], fmt.Sprintf("max_allowed_packet is %d", packet)) {
				t.Errorf("%q, %v", sum.Notes, err)
			}
		})
	}
}
