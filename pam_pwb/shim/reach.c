/*
 * reach.c - the socket to a worker, and every wait on it. See reach.h.
 */
#define _GNU_SOURCE
#include "reach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATH_BUFFER 64

int64_t
worker_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A host may run with descriptors 0 to 2 closed and write to them in its conversation: that must not reach our socket. */
static int
above_stdio(int fd)
{
	int high, error;

	if (fd < 0 || fd > 2)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	error = errno;
	close(fd);
	errno = error;
	return high;
}

/* Whoever can bind the path could play the worker; the kernel says who it is. Under socket activation that is systemd. */
static int
peer_is_root(int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	return size == sizeof(peer) && peer.uid == 0 ? 0 : -EACCES;
}

int
worker_connect(struct worker *w, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = above_stdio(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (fd < 0)
		return -errno;
	/* Non-blocking: a full queue answers EAGAIN at once instead of waiting for a worker that does not take calls. */
	error = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : peer_is_root(fd);
	if (error < 0) {
		close(fd);
		return error;
	}
	w->fd = fd;
	return 0;
}

static int
same_file(pid_t pid, const char *below, const char *ours)
{
	char name[PATH_BUFFER];
	struct stat a, b;

	snprintf(name, sizeof(name), "/proc/%d/%s", (int)pid, below);
	return stat(name, &a) == 0 && stat(ours, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int
worker_is_here(const struct worker *w)
{
	struct ucred peer = { .pid = 0 };
	socklen_t size = sizeof(peer);

	return getsockopt(w->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0 &&
	    same_file(peer.pid, "ns/mnt", "/proc/self/ns/mnt") && same_file(peer.pid, "root", "/");
}

/* Waits until the socket is ready for events or gone: 0, -ETIMEDOUT, or the error of poll(2). */
static int
wait_for(const struct worker *w, short events)
{
	struct pollfd p = { .fd = w->fd, .events = events };
	int64_t left;
	int n;

	for (;;) {
		left = (w->deadline - worker_now() + 999999) / 1000000;
		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int
worker_send(const struct worker *w, const struct frame *f)
{
	int error;

	if (f->error != 0)
		return f->error;
	for (;;) {
		if (send(w->fd, f->data, f->len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		error = wait_for(w, POLLOUT);
		if (error < 0)
			return error;
	}
}

int
worker_recv(const struct worker *w, struct frame *f, unsigned *ret_kind, uint32_t *ret_seq)
{
	struct iovec to = { .iov_base = f->data, .iov_len = FRAME_MAX };
	struct msghdr message = { .msg_iov = &to, .msg_iovlen = 1 }; /* no room for descriptors: the kernel drops them */
	ssize_t n;
	int error;

	frame_wipe(f);
	for (;;) {
		error = wait_for(w, POLLIN);
		if (error < 0)
			return error;
		n = recvmsg(w->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n >= 0)
			break;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	if (n == 0)
		return -ECONNRESET;
	f->peak = (size_t)n;
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EBADMSG;
	return frame_check(f, (size_t)n, ret_kind, ret_seq);
}
