package config

import (
	"reflect"
	"slices"
	"strings"
)

// Field describes one setting, for those who offer it to people.
type Field struct {
	// Env is the environment variable.
	Env string
	// Flag is the flag, without dashes; "" when only the environment sets it.
	Flag string
	// Default is the value when neither is given; it may be "".
	Default string
	// Help is half a sentence that says what the setting is for.
	Help string
	// Choices are all values there are; nil when there is no such list.
	Choices []string
	// Switch says that the flag alone, without a value, means true.
	Switch bool

	name     string // of the field of Config
	min, max string
}

// Fields returns all settings in the order in which they are explained.
func Fields() []Field {
	t := reflect.TypeFor[Config]()
	fields := make([]Field, 0, t.NumField())
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Tag.Get("env") == "" {
			continue
		}
		f := Field{
			Env: sf.Tag.Get("env"), Flag: sf.Tag.Get("flag"), Default: sf.Tag.Get("envDefault"), Help: sf.Tag.Get("help"),
			Switch: sf.Type.Kind() == reflect.Bool,
			name:   sf.Name, min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
		}
		if choices := sf.Tag.Get("oneof"); choices != "" {
			f.Choices = strings.Fields(choices)
		}
		fields = append(fields, f)
	}
	return fields
}

// choose returns what is wrong with value as one of the choices, or "".
func (f Field) choose(value string) string {
	if value == "" || slices.Contains(f.Choices, value) {
		return ""
	}
	return quote(value) + ", it must be one of " + strings.Join(f.Choices, ", ")
}
