package httpapi

// NewFake makes the Handler of a fake Manager.
var NewFake = newHandler
