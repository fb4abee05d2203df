package httpapi

// ParseJSON is the parser of bodies, which is compared with encoding/json.
var ParseJSON = parseJSON
