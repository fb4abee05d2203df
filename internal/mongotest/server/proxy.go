package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// maxWriteBatchSize is what clients are told: a hundred or more updates that
// match, in one command, hang this database for ever.
const maxWriteBatchSize = 90

// maxMessage is the longest message that the protocol allows.
const maxMessage = 48_000_000

// opMsg is the code of the message that all commands but the first of old clients
// come in.
const opMsg = 2013

// moreToCome is the flag of a command that wants no answer.
const moreToCome = 1 << 1

// proxy passes one command at a time to the database, and its answer back. So
// updates are atomic against each other, as those of MongoDB are.
type proxy struct {
	inside string

	mu sync.Mutex // held from a command to its answer
}

// serve accepts clients until the listener fails.
func (p *proxy) serve(l net.Listener) error {
	for {
		client, err := l.Accept()
		if err != nil {
			return err
		}
		// It ends with its client, or with the process.
		go func() {
			defer client.Close()
			database, err := net.Dial("tcp", p.inside)
			if err != nil {
				return
			}
			defer database.Close()
			for p.pass(client, database) == nil {
			}
		}()
	}
}

// pass passes one command and its answer.
func (p *proxy) pass(client, database net.Conn) error {
	command, err := readMessage(client)
	if err != nil {
		return err
	}
	// The database closes the connection over a command that wants no answer: it
	// gets one that does, and the answer stays here.
	silent := false
	if binary.LittleEndian.Uint32(command[12:]) == opMsg && len(command) >= 20 {
		flags := binary.LittleEndian.Uint32(command[16:])
		silent = flags&moreToCome != 0
		binary.LittleEndian.PutUint32(command[16:], flags&^moreToCome)
	}
	answer, err := p.ask(database, command)
	if err != nil || silent {
		return err
	}
	limitBatches(answer)
	_, err = client.Write(answer)
	return err
}

func (p *proxy) ask(database net.Conn, command []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := database.Write(command); err != nil {
		return nil, err
	}
	return readMessage(database)
}

// readMessage reads a message with its header, whose first field is the length of
// both.
func readMessage(r io.Reader) ([]byte, error) {
	var header [16]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(header[:])
	if length < uint32(len(header)) || length > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	message := make([]byte, length)
	copy(message, header[:])
	if _, err := io.ReadFull(r, message[len(header):]); err != nil {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return message, nil
}

// limitBatches lowers what the answer to a hello says of batches.
func limitBatches(answer []byte) {
	// Of the type int32.
	field := []byte("\x10maxWriteBatchSize\x00")
	if i := bytes.Index(answer, field); i >= 0 && i+len(field)+4 <= len(answer) && len(answer) < 4096 {
		binary.LittleEndian.PutUint32(answer[i+len(field):], maxWriteBatchSize)
	}
}
