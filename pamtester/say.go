package main

// speaker writes messages, each at once: in a pipe they come in the order in which they were said.
type speaker struct {
	program string
	json    bool
	failed  error // of a write to standard output
}

func (s *speaker) raw(fd int, text string) {
	if err := writeFull(fd, text); err != nil && fd == 1 && s.failed == nil {
		s.failed = err
	}
}

// out says that something went well, err that it did not. In JSON the report says both.
func (s *speaker) out(text string) {
	if !s.json {
		s.raw(1, s.program+": "+text+"\n")
	}
}

func (s *speaker) err(text string) { s.raw(2, s.program+": "+text+"\n") }

// status is the exit status: success that could not be said is none.
func (s *speaker) status(status int) int {
	if s.failed != nil && status == 0 {
		s.err("write to standard output: " + s.failed.Error())
		return statusFailed
	}
	return status
}
