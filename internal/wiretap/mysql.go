package wiretap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// mysql is the protocol of MySQL and MariaDB.
type mysql struct{}

// The commands that are looked at.
const (
	comQuit         = 0x01
	comQuery        = 0x03
	comStmtPrepare  = 0x16
	comStmtLongData = 0x18
	comStmtClose    = 0x19
)

// Flags of the client's first packet.
const (
	clientCompress = 1 << 5
	clientTLS      = 1 << 11
)

func (mysql) fromClient(s *session, r *bufio.Reader) error {
	first := true
	for {
		packet, err := MySQLMessage(r)
		if err != nil {
			return err
		}
		sequence, payload := packet[3], packet[4:]
		if first {
			first = false
			if len(payload) < 4 || binary.LittleEndian.Uint32(payload)&(clientCompress|clientTLS) != 0 {
				return errors.New("the client uses TLS or compression, and nothing can be counted")
			}
		}
		startup, answered := s.state()
		statement, waits := "", answered
		if !startup && sequence == 0 && len(payload) > 0 {
			switch payload[0] {
			case comQuery, comStmtPrepare:
				statement = string(payload[1:])
				s.note(statement)
			case comQuit, comStmtClose, comStmtLongData:
				waits = false // the server does not answer these
			}
		}
		if waits {
			if err := s.turn(statement); err != nil {
				return err
			}
		}
		if _, err := s.server.Write(packet); err != nil {
			return err
		}
	}
}

func (mysql) fromServer(s *session, r *bufio.Reader) error {
	for greeted, ready := false, false; !ready; greeted = true {
		packet, err := MySQLMessage(r)
		if err != nil {
			return err
		}
		ready = greeted && len(packet) > 4 && packet[4] == 0 // the OK packet
		if err := s.answer(ready); err != nil {
			return err
		}
		if _, err := s.client.Write(packet); err != nil {
			return err
		}
	}
	return s.answers(r)
}

// MySQLMessage reads one packet of the MySQL protocol whole: three bytes of length, one of sequence,
// the payload. Its error is the reader's.
func MySQLMessage(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(4)
	if err != nil {
		return nil, err
	}
	packet := make([]byte, 4+int(head[0])+int(head[1])<<8+int(head[2])<<16)
	_, err = io.ReadFull(r, packet)
	return packet, err
}
