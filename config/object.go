package config

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// object is a JSON object of a file of notifiers. What is asked for and has the
// wrong type is refused, and so is, by rest, what was not asked for.
type object struct {
	reader  *notifiersReader
	entry   string // "entry 2 (ops)", "" of the whole file
	prefix  string // "discord."
	members map[string]any
	seen    map[string]bool
}

// refuse notes that something is wrong with a key.
func (o *object) refuse(key, text string) {
	where := o.prefix + key
	if o.entry != "" {
		where = o.entry + ": " + where
	}
	o.reader.refuse(where, text)
}

// get returns the value of a key, and nil when it is not there.
func (o *object) get(key string) any {
	o.seen[key] = true
	v, given := o.members[key]
	if given && v == nil {
		o.refuse(key, "is null: leave it out")
	}
	return v
}

// rest refuses the keys that nobody asked for.
func (o *object) rest() {
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

// text returns a text, "" when there is none. An empty one is refused.
func (o *object) text(key string) string {
	v := o.get(key)
	s, ok := v.(string)
	switch {
	case v != nil && !ok:
		o.refuse(key, "must be a text")
	case ok && s == "":
		o.refuse(key, "is empty: leave it out")
	}
	return s
}

// truth returns a bool, false when there is none.
func (o *object) truth(key string) bool {
	v := o.get(key)
	b, ok := v.(bool)
	if v != nil && !ok {
		o.refuse(key, "must be true or false")
	}
	return b
}

// object returns an object, nil when there is none.
func (o *object) object(key string) *object {
	v := o.get(key)
	members, ok := v.(map[string]any)
	if !ok {
		if v != nil {
			o.refuse(key, "must be an object")
		}
		return nil
	}
	return &object{reader: o.reader, entry: o.entry, prefix: o.prefix + key + ".", members: members, seen: map[string]bool{}}
}

// list returns an array, nil when there is none.
func (o *object) list(key string) []any {
	v := o.get(key)
	items, ok := v.([]any)
	if v != nil && !ok {
		o.refuse(key, "must be an array")
	}
	return items
}

// texts returns an array of texts, nil when there is none or it is refused.
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
			o.refuse(key, "must be an array of texts that are not empty")
			return nil
		}
		texts = append(texts, s)
	}
	return texts
}

// secret returns a text that may stand elsewhere: {"env": "NAME"} is a variable,
// {"file": "PATH"} a file, of which the line breaks at the end do not count.
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
		o.refuse(key, `must be a text, {"env": "NAME"} or {"file": "PATH"}`)
	case json.Number, bool, []any:
		o.refuse(key, `must be a text, {"env": "NAME"} or {"file": "PATH"}`)
	}
	return ""
}

// variable returns the value of a variable. What is no usual name is not quoted:
// somebody may have put the secret there.
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

// secretFile returns what a file holds. A relative path begins in the folder of
// the file of notifiers.
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

// headers returns what is to be sent along with a post. The values may be tokens.
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
			o.refuse("headers", "holds something that is no name of a header") // nor quoted
			return nil
		}
		if folded[strings.ToLower(name)] {
			o.refuse("headers", "holds "+name+" twice, in small and capital letters")
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

// validHeader reports whether a name is one that HTTP allows, and no longer than
// such names are.
func validHeader(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
