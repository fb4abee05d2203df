package mongostore

import "go.mongodb.org/mongo-driver/v2/mongo"

// SetDial replaces what asks a name server and makes the client.
func (s *Store) SetDial(dial func() (*mongo.Client, error)) { s.dial = dial }

// Connect makes a client as a store does.
func Connect(uri string) (*mongo.Client, error) { return connect(uri) }

// Reason says what an error of the driver is about.
var Reason = reason
