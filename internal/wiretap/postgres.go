package wiretap

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// postgres is the PostgreSQL protocol, version 3.
type postgres struct{}

// Codes in the place of a protocol version in a client's first message.
const (
	postgresCancel = 80877102
	postgresTLS    = 80877103
	postgresGSS    = 80877104
)

// A length beyond this is not one: the bytes are of another protocol.
const postgresLargest = 1 << 30

var errNotPostgres = errors.New("these are no PostgreSQL messages")

func (postgres) fromClient(s *session, r *bufio.Reader) error {
	for opened := false; !opened; {
		message, err := PostgresMessage(r, 0)
		if err != nil {
			return err
		}
		if len(message) < 8 {
			return errNotPostgres
		}
		switch binary.BigEndian.Uint32(message[4:]) {
		case postgresCancel:
			s.isCancel()
			opened = true // the server says nothing and closes
		case postgresTLS, postgresGSS:
			if err := s.turn(""); err != nil {
				return err
			}
			if err := s.answer(false); err != nil {
				return err
			}
			if _, err := s.client.Write([]byte{'N'}); err != nil {
				return err
			}
			continue
		default:
			if err := s.turn(""); err != nil {
				return err
			}
			opened = true
		}
		if _, err := s.server.Write(message); err != nil {
			return err
		}
	}

	out := bufio.NewWriter(s.server)
	owing := false // the client has begun a request and not ended it
	for {
		message, err := PostgresMessage(r, 1)
		if err != nil {
			return err
		}
		statement := ""
		switch body := message[5:]; message[0] {
		case 'Q':
			statement = cString(body)
			s.note(statement)
		case 'P':
			_, query, _ := bytes.Cut(body, []byte{0}) // the prepared statement's name is first
			statement = cString(query)
			s.note(statement)
		}
		// Copy data follows its statement without waiting for leave (pgx does so), and Terminate is
		// not answered.
		begins := !owing && !bytes.ContainsRune([]byte("dcfX"), rune(message[0]))
		if _, answered := s.state(); answered && begins {
			if err := s.turn(statement); err != nil {
				return err
			}
		}
		// Query, Sync, Flush, FunctionCall, CopyDone, CopyFail and passwords call for an answer.
		owing = !bytes.ContainsRune([]byte("QSHFcfp"), rune(message[0]))
		if _, err := out.Write(message); err != nil {
			return err
		}
		if r.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

func (postgres) fromServer(s *session, r *bufio.Reader) error {
	for ready := false; !ready; {
		message, err := PostgresMessage(r, 1)
		if err != nil {
			return err
		}
		ready = message[0] == 'Z'
		if err := s.answer(ready); err != nil {
			return err
		}
		if _, err := s.client.Write(message); err != nil {
			return err
		}
	}
	return s.answers(r)
}

// PostgresMessage reads one message of the PostgreSQL protocol whole: prefix bytes of type, four of
// length, a body. prefix is 0 for the first message of a client, and 1 for all others. Its error is
// the reader's, or says that the bytes are of another protocol.
func PostgresMessage(r *bufio.Reader, prefix int) ([]byte, error) {
	head, err := r.Peek(prefix + 4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[prefix:])
	if n < 4 || n > postgresLargest {
		return nil, errNotPostgres
	}
	message := make([]byte, prefix+int(n))
	_, err = io.ReadFull(r, message)
	return message, err
}

func cString(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}
