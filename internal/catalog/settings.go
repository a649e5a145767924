package catalog

import (
	"context"
	"database/sql"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Revision is another number whenever the same database gets another description.
// Descriptions that were kept are not compared with those of another revision.
const Revision = 3

// settings are queries of one text: what a server is set to that decides what a
// statement without further words makes, or how it is shown.
var settings = map[string]string{
	dialect.NameSQLite: "SELECT group_concat(compile_options) FROM pragma_compile_options",
	dialect.NamePostgres: `SELECT concat_ws(' ', current_user, current_setting('search_path'), pg_encoding_to_char(encoding), datcollate, datctype,
		(SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings
			WHERE name IN ('default_tablespace', 'default_table_access_method', 'default_toast_compression', 'default_with_oids', 'bytea_output', 'IntervalStyle', 'DateStyle', 'TimeZone', 'extra_float_digits', 'xmloption')))
		FROM pg_database WHERE datname = current_database()`,
	dialect.NameMySQL: "SELECT CONCAT_WS(' ', DATABASE(), CURRENT_USER(), @@GLOBAL.sql_mode, @@character_set_database, @@collation_database, @@default_storage_engine, @@lower_case_table_names," +
		" @@explicit_defaults_for_timestamp, @@time_zone, @@system_time_zone, @@character_set_server, @@collation_server)",
}

// Settings is a text that stands for what the server and the database are set to.
func Settings(ctx context.Context, d dialect.Dialect, c *sql.Conn) (string, error) {
	var text string
	err := dialect.QueryRow(ctx, c, settings[d.Name()], d.QueryArgs(), &text)
	return strings.TrimSpace(text), err
}
