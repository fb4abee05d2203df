package httpapi

// What the fuzz tests compare with encoding/json.
var (
	ParseJSON  = parseJSON
	CheckArray = checkArray
)
