package strictjson

// Member returns a member of an object as a T, and the zero value when it is
// absent or null. When it has another type, problem says so: "must be a string,
// got a number". It continues a sentence that the key begins.
func Member[T any](members map[string]any, key, want string) (value T, problem string) {
	v := members[key]
	value, ok := v.(T)
	if !ok && v != nil {
		problem = "must be " + want + ", got " + TypeName(v)
	}
	return value, problem
}

// TypeName names the type of a value that Parse returned.
func TypeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	}
	return "an object"
}
