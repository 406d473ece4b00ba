package main

import "syscall"

// This file is what package os has, without the runtime's poller: that one has two descriptors of its own, which modules would see, and
// ends the program when a module closes them.

// readAll reads a whole file into one buffer that never moves, EFBIG where it is longer than most.
func readAll(path string, most int) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	file := make([]byte, most+1)
	have := 0
	for have < len(file) {
		n, err := syscall.Read(fd, file[have:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return file, err
		}
		if n == 0 {
			return file[:have], nil
		}
		have += n
	}
	return file, syscall.EFBIG
}

// readNames lists a folder.
func readNames(path string) (names []string, err error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	buffer := make([]byte, 16384)
	for {
		n, err := syscall.ReadDirent(fd, buffer)
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return names, err
		}
		_, _, names = syscall.ParseDirent(buffer[:n], -1, names)
	}
}

// writeAll makes a file for this user alone.
func writeAll(path, text string) error {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return writeFull(fd, text)
}

func writeFull(fd int, text string) error {
	for len(text) > 0 {
		n, err := syscall.Write(fd, []byte(text))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}
