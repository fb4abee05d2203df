package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/laneswap/laneswap/internal/strictjson"
)

// object is a JSON object of a notifiers file. Its getters refuse values of the
// wrong type, and rest refuses the keys that no getter asked for.
type object struct {
	reader  *notifiersReader
	entry   string // "entry 2 (ops)", "" of the whole file
	prefix  string // "discord."
	members map[string]any
	seen    map[string]bool
}

// refuse records a problem of a key.
func (o *object) refuse(key, text string) {
	where := o.prefix + key
	if o.entry != "" {
		where = o.entry + ": " + where
	}
	o.reader.refuse(where, text)
}

// get returns the value of a key, nil when it is absent.
func (o *object) get(key string) any {
	o.seen[key] = true
	v, given := o.members[key]
	if given && v == nil {
		o.refuse(key, "is null: leave it out")
	}
	return v
}

// refuseUnknown refuses the keys that no getter asked for. The message names the object:
// "entry 1 (ops): webhook has the unknown key ...", or "it has ..." for the whole file.
func (o *object) refuseUnknown() {
	var unknown []string
	for key := range o.members {
		if !o.seen[key] {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		where := o.entry
		switch {
		case where == "":
			where = "it"
		case o.prefix != "":
			where += ": " + strings.TrimSuffix(o.prefix, ".")
		}
		o.reader.refuse(where, "has the unknown key "+keyName(key))
	}
}

// member returns a value of type T, its zero value when the key is absent.
func member[T any](o *object, key, want string) T {
	o.get(key)
	v, problem := strictjson.Member[T](o.members, key, want)
	if problem != "" {
		o.refuse(key, problem)
	}
	return v
}

// text returns a string, "" when there is none. An empty one is refused.
func (o *object) text(key string) string {
	s := member[string](o, key, "a string")
	if o.members[key] == "" {
		o.refuse(key, "is empty: leave it out")
	}
	return s
}

// flag returns a bool, false when there is none.
func (o *object) flag(key string) bool { return member[bool](o, key, "true or false") }

// object returns an object, nil when there is none.
func (o *object) object(key string) *object {
	members := member[map[string]any](o, key, "an object")
	if members == nil {
		return nil
	}
	return &object{reader: o.reader, entry: o.entry, prefix: o.prefix + key + ".", members: members, seen: map[string]bool{}}
}

// list returns an array, nil when there is none.
func (o *object) list(key string) []any { return member[[]any](o, key, "a list") }

// texts returns a list of strings, nil when it is absent or refused.
func (o *object) texts(key string) []string {
	items := o.list(key)
	switch {
	case items == nil:
		return nil
	case len(items) == 0:
		o.refuse(key, "is empty: leave it out")
		return nil
	case len(items) > maxListed:
		o.refuse(key, fmt.Sprintf("has %d entries, the limit is %d", len(items), maxListed))
		return nil
	}
	var texts []string
	for _, item := range items {
		s, ok := item.(string)
		// An argument of a program may be empty.
		if !ok || s == "" && key != nameCommand {
			o.refuse(key, "must be a list of strings that are not empty")
			return nil
		}
		texts = append(texts, s)
	}
	return texts
}

const secretForms = `must be a string, {"env": "NAME"} or {"file": "PATH"}`

// secret returns a string, or what a variable, {"env": "NAME"}, or a file,
// {"file": "PATH"}, holds. Line breaks at the end of the file are dropped.
func (o *object) secret(key string, required bool) Secret {
	switch v := o.get(key).(type) {
	case nil:
		if _, given := o.members[key]; required && !given {
			o.refuse(key, "is missing")
		}
	case string:
		if v == "" {
			o.refuse(key, "is empty")
		}
		return Secret(v)
	case map[string]any:
		if len(v) == 1 {
			if name, ok := v["env"].(string); ok {
				return o.variable(key, name)
			}
			if path, ok := v["file"].(string); ok {
				return o.secretFile(key, path)
			}
		}
		o.refuse(key, secretForms)
	default:
		o.refuse(key, secretForms)
	}
	return ""
}

// variable returns the value of an environment variable. An unusual name is not
// quoted: it may be the secret itself.
func (o *object) variable(key, name string) Secret {
	value := strings.TrimSpace(o.reader.environ[name])
	o.reader.variables = append(o.reader.variables, name)
	if value == "" {
		if name == "" || len(name) > 64 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != "" {
			name = "that it names"
		}
		o.refuse(key, "needs the variable "+name+", which is not set")
	}
	return Secret(value)
}

// secretFile returns the content of a file. A relative path starts in the folder
// of the notifiers file.
func (o *object) secretFile(key, path string) Secret {
	if path == "" || strings.Contains(path, "://") {
		o.refuse(key, "names no file") // not quoted: it may be the secret
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(o.reader.file), path)
	}
	data, err := o.reader.read(path, maxSecretBytes)
	secret := strings.TrimRight(string(data), "\r\n")
	switch {
	case err != nil:
		o.refuse(key, "cannot be read from its file: "+err.Error())
	case secret == "":
		o.refuse(key, "is empty in its file")
	}
	return Secret(secret)
}

// keyName shows a key in an error, unless it may be a secret.
func keyName(key string) string {
	if len(key) > 32 || strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	}) {
		return "that is none of ours"
	}
	return strconv.Quote(key)
}

// headers returns the extra headers of a webhook. The values may be tokens.
func (o *object) headers() map[string]Secret {
	inner := o.object("headers")
	if inner == nil {
		return nil
	}
	if len(inner.members) > maxListed {
		o.refuse("headers", fmt.Sprintf("has %d entries, the limit is %d", len(inner.members), maxListed))
		return nil
	}
	names := make([]string, 0, len(inner.members))
	for name := range inner.members {
		names = append(names, name)
	}
	slices.Sort(names)
	headers := map[string]Secret{}
	folded := map[string]bool{}
	for _, name := range names {
		if !validHeader(name) {
			o.refuse("headers", "holds an invalid header name") // not quoted: it may be a token
			return nil
		}
		if folded[strings.ToLower(name)] {
			o.refuse("headers", "holds "+name+" twice: header names ignore case")
		}
		folded[strings.ToLower(name)] = true
		value := inner.secret(name, true)
		if strings.ContainsAny(value.Reveal(), "\r\n\x00") {
			inner.refuse(name, "holds a line break or a zero byte")
		}
		headers[name] = value
	}
	return headers
}

// validHeader reports whether HTTP allows a header name, of at most 64 bytes.
func validHeader(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
