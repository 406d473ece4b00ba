/* floor SKEL HOME UID GID: the fewest system calls that copy a tree of files and directories, one thread, no checks worth
 * the name. What a maker of homes is compared with; it is not one. */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uid_t uid;
static gid_t gid;
static char buf[256 << 10];

static void
copy_file(int from, int to, const char *name)
{
	struct stat st;
	ssize_t n;
	int in, out;

	in = openat(from, name, O_RDONLY | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		err(1, "%s", name);
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0777);
	if (out < 0)
		err(1, "%s", name);
	for (off_t left = st.st_size; left > 0; left -= n) {
		n = read(in, buf, sizeof buf);
		if (n <= 0 || write(out, buf, (size_t)n) != n)
			err(1, "%s", name);
	}
	if (fchown(out, uid, gid) < 0)
		err(1, "%s", name);
	close(in);
	close(out);
}

static void
copy_dir(int from, int to)
{
	DIR *d;
	struct dirent *e;
	int a, b;

	d = fdopendir(from);
	if (d == NULL)
		err(1, "fdopendir");
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_type != DT_DIR) {
			copy_file(from, to, e->d_name);
			continue;
		}
		if (mkdirat(to, e->d_name, 0755) < 0)
			err(1, "%s", e->d_name);
		a = openat(from, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		b = openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (a < 0 || b < 0 || fchown(b, uid, gid) < 0)
			err(1, "%s", e->d_name);
		copy_dir(a, b);
		close(b);
	}
	closedir(d);
}

int
main(int argc, char **argv)
{
	int a, b;

	if (argc != 5)
		errx(2, "usage: floor SKEL HOME UID GID");
	uid = (uid_t)strtoul(argv[3], NULL, 10);
	gid = (gid_t)strtoul(argv[4], NULL, 10);
	umask(0);
	if (mkdir(argv[2], 0755) < 0)
		err(1, "%s", argv[2]);
	a = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a < 0 || b < 0 || fchown(b, uid, gid) < 0)
		err(1, "%s", argv[2]);
	copy_dir(a, b);
	return 0;
}
