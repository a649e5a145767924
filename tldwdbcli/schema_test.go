package tldwdbcli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/tldw/tldwdb"
)

var update = flag.Bool("update", false, "write the schemas instead of comparing with them")

// answers are the commands and what they answer. up, down, redo and goto answer
// alike.
var answers = map[string]any{
	"up": resultAnswer{}, "down": resultAnswer{}, "redo": resultAnswer{}, "goto": resultAnswer{},
	"wait": waitAnswer{}, "status": statusAnswer{}, "drift": driftAnswer{}, "lint": lintAnswer{}, "history": historyAnswer{}, "plan": planAnswer{}, "check": checkAnswer{}, "trace": traceAnswer{}, "snapshot": snapshotAnswer{}, "squash": squashAnswer{},
	"verify": verifyAnswer{}, "doctor": doctorAnswer{}, "health": healthAnswer{}, "config": configAnswer{}, "version": versionAnswer{},
	"new": filesAnswer{}, "init": filesAnswer{}, "show": showAnswer{}, "edit": pathAnswer{}, "sql": scriptAnswer{}, "docs": docsAnswer{}, "diff": diffAnswer{},
	"renumber": renumberAnswer{}, "import": importAnswer{}, "baseline": baselineAnswer{}, "adopt": adoptAnswer{}, "audit": auditAnswer{}, "copy": copyAnswer{}, "seed": seedAnswer{}, "repair": repairAnswer{},
	"backup-create": backupAnswer{}, "backup-list": backupListAnswer{}, "backup-verify": backupVerifyAnswer{}, "backup-restore": backupRestoreAnswer{},
	"backup-prune": backupPruneAnswer{}, "backup-kept": backupKeptAnswer{}, "backup-schedule": backupScheduleAnswer{},
}

// schemaOf describes the whole answer of a command.
func schemaOf(t *testing.T, command string, comments map[string]string) []byte {
	t.Helper()
	reflector := jsonschema.Reflector{
		CommentMap:                comments,
		DoNotReference:            true,
		AllowAdditionalProperties: true, // more may come without a new version
		Mapper: func(typ reflect.Type) *jsonschema.Schema {
			switch typ {
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{Type: "integer", Description: "nanoseconds"}
			case reflect.TypeFor[tldwdb.Disagreement]():
				kinds := &jsonschema.Schema{Type: "string", Enum: []any{"changed", "out_of_order", "newer", "missing", "squashed"}}
				properties := jsonschema.NewProperties()
				properties.Set("kind", kinds)
				properties.Set("migration", (&jsonschema.Reflector{DoNotReference: true, Anonymous: true, AllowAdditionalProperties: true}).Reflect(tldwdb.ID{}))
				properties.Set("detail", &jsonschema.Schema{Type: "string"})
				return &jsonschema.Schema{Type: "object", Properties: properties, Required: []string{"kind", "migration", "detail"}}
			}
			return nil
		},
		Anonymous: true,
	}
	s := reflector.Reflect(envelope{})
	s.Title = "The answer of " + command + " --json"
	s.Properties.Set("schema", &jsonschema.Schema{Const: schemaVersion})
	s.Properties.Set("answer", &jsonschema.Schema{Const: command})
	data := reflector.Reflect(answers[command])
	data.Version = ""
	s.Properties.Set("data", data)
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	plain(document)
	if kind := document["properties"].(map[string]any)["data"].(map[string]any)["type"]; kind != "object" {
		t.Errorf("%s: the answer may be %v: a member that is left out is never null", command, kind)
	}
	nullable(reflect.TypeOf(answers[command]), document["properties"].(map[string]any)["data"].(map[string]any))
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// plain takes away the names that reflection gives to the parts.
func plain(node any) {
	schema, ok := node.(map[string]any)
	if !ok {
		return
	}
	delete(schema, "$id")
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		plain(property)
	}
	plain(schema["items"])
}

// nullable lets those members be null that are: pointers which are written also when
// they are nil. Reflection does not say so.
func nullable(typ reflect.Type, schema map[string]any) {
	switch typ.Kind() {
	case reflect.Pointer:
		nullable(typ.Elem(), schema)
	case reflect.Slice:
		if items, ok := schema["items"].(map[string]any); ok {
			nullable(typ.Elem(), items)
		}
	case reflect.Struct:
		properties, _ := schema["properties"].(map[string]any)
		for _, field := range reflect.VisibleFields(typ) {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			property, ok := properties[name].(map[string]any)
			if !ok || !field.IsExported() {
				continue
			}
			if field.Type.Kind() == reflect.Pointer && !strings.Contains(options, "omit") {
				property["type"] = []any{property["type"], "null"}
			}
			nullable(field.Type, property)
		}
	}
}

// Every command that answers has a schema, which is made from what it answers.
func TestSchemas(t *testing.T) {
	t.Parallel()
	var source jsonschema.Reflector
	if err := source.AddGoComments("github.com/tldw/tldwdb/tldwdbcli", ".."); err != nil {
		t.Fatal(err)
	}
	for command := range answers {
		want, file := schemaOf(t, command, source.CommentMap), filepath.Join("schema", command+".json")
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the command answers: run this test with -update; if a member went away or changed, raise schemaVersion", file)
		}
	}
	commands := New(Options{}).Commands()
	for _, command := range commands {
		commands = append(commands, command.Commands()...)
	}
	for _, command := range commands {
		_, has := answers[answerName(command)]
		has = has || command.HasSubCommands() // answers with its help
		if plain := []string{"schema", "help", "completion"}; !has && !slices.Contains(plain, command.Name()) {
			t.Errorf("%s answers without a schema", command.Name())
		}
	}
}
