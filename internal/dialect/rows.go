package dialect

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgconn"
)

// What moves rows in bulk stands below database/sql: its conversions cost more than
// the rows.

// CopyOut runs a COPY … TO STDOUT of PostgreSQL. Every row is one call of w.Write,
// with the newline at its end. An error of w ends the connection with it.
func CopyOut(ctx context.Context, c *sql.Conn, statement string, w io.Writer) error {
	return withPgConn(c, func(pc *pgconn.PgConn) error {
		_, err := pc.CopyTo(ctx, w, statement)
		return err
	})
}

// CopyIn runs a COPY … FROM STDIN of PostgreSQL, and says how many rows it was.
func CopyIn(ctx context.Context, c *sql.Conn, statement string, r io.Reader) (rows int64, err error) {
	err = withPgConn(c, func(pc *pgconn.PgConn) error {
		tag, err := pc.CopyFrom(ctx, r, statement)
		rows = tag.RowsAffected()
		return err
	})
	return rows, err
}

// StreamRows calls row with each row of a query, as the driver has it. The values
// are valid until row returns. An error of row ends the query; a server's
// connection may end with it.
func StreamRows(ctx context.Context, c *sql.Conn, query string, row func([]driver.Value) error) error {
	return c.Raw(func(raw any) (err error) {
		conn := unwrap(raw)
		queryer, ok := conn.(driver.QueryerContext)
		if !ok {
			return fmt.Errorf("the driver %T does not run queries directly", conn)
		}
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		asked := inner
		if _, own := conn.(interface{ GetFilename(string) string }); own {
			// mattn's driver starts a goroutine for every row of a query that can be
			// cancelled. Its rows come without waiting: looking at ctx between them does.
			asked = context.WithoutCancel(ctx)
		}
		rows, err := queryer.QueryContext(asked, query, nil)
		if err != nil {
			return err
		}
		defer func() {
			if err != nil {
				cancel() // else the driver reads what is left of the answer to its end
			}
			if closeErr := rows.Close(); err == nil {
				err = closeErr
			}
		}()
		values := make([]driver.Value, len(rows.Columns()))
		for n := 0; ; n++ {
			if n%256 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			switch err := rows.Next(values); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			if err := row(values); err != nil {
				return err
			}
		}
	})
}

// ExecBulk runs one statement, which nobody has kept when it returns: its text may be
// written over then.
func ExecBulk(ctx context.Context, c *sql.Conn, statement string) error {
	return c.Raw(func(raw any) error {
		conn, ok := unwrap(raw).(driver.ExecerContext)
		if !ok {
			return fmt.Errorf("the driver %T does not run statements directly", raw)
		}
		_, err := conn.ExecContext(ctx, statement, nil)
		return err
	})
}

// PrepareBulk compiles a statement that is run often. exec runs it, without what
// database/sql does for each argument; done ends it.
func PrepareBulk(ctx context.Context, c *sql.Conn, statement string) (exec func([]driver.NamedValue) error, done func() error, err error) {
	err = c.Raw(func(raw any) error {
		conn, ok := unwrap(raw).(driver.ConnPrepareContext)
		if !ok {
			return fmt.Errorf("the driver %T does not prepare statements directly", raw)
		}
		prepared, err := conn.PrepareContext(context.WithoutCancel(ctx), statement)
		if err != nil {
			return err
		}
		runner, ok := prepared.(driver.StmtExecContext)
		if !ok {
			return errors.Join(fmt.Errorf("the driver's %T does not run", prepared), prepared.Close())
		}
		exec = func(args []driver.NamedValue) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			_, err := runner.ExecContext(context.WithoutCancel(ctx), args)
			return err
		}
		done = prepared.Close
		return nil
	})
	return exec, done, err
}
