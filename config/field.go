package config

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Field describes one setting, for help texts and command lines.
type Field struct {
	// Env is the environment variable.
	Env string
	// Flag is the flag without dashes; "" when the setting has none.
	Flag string
	// Default is the value when neither is given; it may be "".
	Default string
	// Help describes the setting in a few words.
	Help string
	// Choices lists the allowed values; nil when any value of the type is allowed.
	Choices []string
	// Switch reports whether the flag alone, without a value, means true.
	Switch bool

	name     string // of the field of Config
	min, max string // "" for no bounds
	zero     bool   // 0 is allowed although it is below min
	duration bool
}

// Fields returns all settings, in the order of the help.
func Fields() []Field {
	t := reflect.TypeFor[Config]()
	fields := make([]Field, 0, t.NumField())
	for sf := range t.Fields() {
		tag := sf.Tag
		if tag.Get("env") == "" {
			continue
		}
		f := Field{
			Env: tag.Get("env"), Flag: tag.Get("flag"), Default: tag.Get("envDefault"), Help: tag.Get("help"),
			Switch: sf.Type.Kind() == reflect.Bool,
			name:   sf.Name, duration: sf.Type == reflect.TypeFor[time.Duration](),
			min: tag.Get("min"), max: tag.Get("max"), zero: tag.Get("zero") != "",
		}
		if choices := tag.Get("oneof"); choices != "" {
			f.Choices = strings.Fields(choices)
		}
		fields = append(fields, f)
	}
	return fields
}

// allows reports whether a value is one of the choices or inside the bounds.
func (f Field) allows(text string, parsed reflect.Value) bool {
	if f.Choices != nil {
		return text == "" || slices.Contains(f.Choices, text)
	}
	return f.min == "" || f.zero && parsed.IsZero() || f.bound(f.min) <= parsed.Int() && parsed.Int() <= f.bound(f.max)
}

// bound parses min or max.
func (f Field) bound(text string) int64 {
	if f.duration {
		d, _ := ParseDuration(text)
		return int64(d)
	}
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// problem says why a value is refused. It shows no error of env/v10: that may quote a
// secret.
func (f Field) problem(text string, err error) string {
	bounds := " from " + f.min + " to " + f.max
	var own problem
	switch {
	case f.Choices != nil:
		return quote(text) + ", it must be one of " + strings.Join(f.Choices, ", ")
	case f.Switch:
		return quote(text) + ", it must be true or false"
	case f.zero:
		return quote(text) + ", it must be 0 or a duration" + bounds
	case f.duration:
		return quote(text) + ", it must be a duration" + bounds + ", such as 30 (seconds), 90s or 2d"
	case f.min != "":
		return quote(text) + ", it must be a whole number" + bounds
	case errors.As(err, &own):
		return string(own)
	}
	return "cannot be parsed"
}
