package main

import (
	"slices"
	"syscall"
)

// giveSecret reads the answer to hidden questions, once for all handles.
func (s *sequence) giveSecret() bool {
	fd := s.secretFD
	if s.secretFile != "" {
		var err error
		if fd, err = syscall.Open(s.secretFile, syscall.O_RDONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0); err != nil {
			return s.fail(ownFailure, "read the secret: open "+s.secretFile+": "+err.Error())
		}
		defer syscall.Close(fd)
	}
	if fd < 0 {
		return true
	}
	secret, err := firstLine(fd)
	defer clear(secret)
	if err != nil {
		return s.fail(ownFailure, "read the secret: "+err.Error())
	}
	if slices.Contains(secret, 0) {
		return s.fail(ownFailure, "read the secret: it has a byte of zero")
	}
	s.talk.setSecret(secret)
	return true
}

const maxSecret = 65536

// firstLine reads byte by byte: what follows is somebody else's. Its buffer never moves, so that it can be wiped.
func firstLine(fd int) ([]byte, error) {
	line := make([]byte, maxSecret)
	for have := 0; have < len(line); {
		n, err := syscall.Read(fd, line[have:have+1])
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return line, err
		case n == 0 && have == 0:
			return nil, usageError("it is empty")
		case n == 0 || line[have] == '\n':
			return line[:have], nil
		}
		have++
	}
	return line, usageError("it is longer than any")
}
