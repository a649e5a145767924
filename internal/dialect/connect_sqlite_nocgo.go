//go:build !cgo

package dialect

import (
	"database/sql/driver"
	"errors"

	"github.com/tldw/tldwdb/internal/dburl"
)

// SQLiteVersion is the version of the SQLite library in this program; it is
// empty without cgo.
func SQLiteVersion() string { return "" }

func sqliteConnector(dburl.URL, ConnectOptions) (driver.Connector, error) {
	return nil, errors.New("this program was built without cgo, which SQLite needs: build it with CGO_ENABLED=1 and a C compiler, or use PostgreSQL or MySQL")
}
