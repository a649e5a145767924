package tldwdbcli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	"wait": waitAnswer{}, "status": statusAnswer{}, "history": historyAnswer{}, "plan": planAnswer{}, "check": checkAnswer{},
	"verify": verifyAnswer{}, "doctor": doctorAnswer{}, "config": configAnswer{}, "version": versionAnswer{},
	"new": filesAnswer{}, "init": filesAnswer{}, "show": showAnswer{}, "edit": pathAnswer{}, "sql": scriptAnswer{},
	"renumber": renumberAnswer{}, "import": importAnswer{}, "baseline": baselineAnswer{}, "adopt": adoptAnswer{}, "audit": auditAnswer{}, "repair": repairAnswer{},
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
				kinds := &jsonschema.Schema{Type: "string", Enum: []any{"changed", "out_of_order", "newer", "missing"}}
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
	// A pointer that is nil is null in JSON, which reflection does not say.
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	nullable(document)
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// nullable lets every object but the outermost be null.
func nullable(node any) {
	schema, ok := node.(map[string]any)
	if !ok {
		return
	}
	delete(schema, "$id")
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		nullable(property)
		if p, ok := property.(map[string]any); ok && p["type"] == "object" {
			p["type"] = []any{p["type"], "null"}
		}
	}
	nullable(schema["items"])
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
	for _, command := range New(Options{}).Commands() {
		_, has := answers[command.Name()]
		if plain := []string{"schema", "help", "completion"}; !has && !slices.Contains(plain, command.Name()) {
			t.Errorf("%s answers without a schema", command.Name())
		}
	}
}
