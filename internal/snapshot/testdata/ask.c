/* Asks the NSS module what a line of standard input names, and answers each with one line: what libc would be told.
 *
 *	n NAME  u UID  g NAME  G GID  i NAME  s NAME   p (all users)  e (all groups)
 *	f (all users: two by this process, the others by a child, all by this process)
 *
 * With the argument "spin SECONDS", eight threads look users up without pause; each field of user uN carries the same round, and
 * one that does not is the end. */
#include <grp.h>
#include <nss.h>
#include <pthread.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum nss_status _nss_pwb_getpwnam_r(const char *, struct passwd *, char *, size_t, int *);
enum nss_status _nss_pwb_getpwuid_r(uid_t, struct passwd *, char *, size_t, int *);
enum nss_status _nss_pwb_getgrnam_r(const char *, struct group *, char *, size_t, int *);
enum nss_status _nss_pwb_getgrgid_r(gid_t, struct group *, char *, size_t, int *);
enum nss_status _nss_pwb_initgroups_dyn(const char *, gid_t, long *, long *, gid_t **, long, int *);
enum nss_status _nss_pwb_getspnam_r(const char *, struct spwd *, char *, size_t, int *);
enum nss_status _nss_pwb_setpwent(int), _nss_pwb_endpwent(void), _nss_pwb_getpwent_r(struct passwd *, char *, size_t, int *);
enum nss_status _nss_pwb_setgrent(int), _nss_pwb_endgrent(void), _nss_pwb_getgrent_r(struct group *, char *, size_t, int *);

static char *buf;
static const size_t room = 8 << 20;

static void
status(enum nss_status s, int err)
{
	printf("%s %s", s == NSS_STATUS_NOTFOUND ? "NOTFOUND" : s == NSS_STATUS_UNAVAIL ? "UNAVAIL" : "TRYAGAIN", strerrorname_np(err));
}

static void
user(enum nss_status s, const struct passwd *p, int err)
{
	if (s == NSS_STATUS_SUCCESS)
		printf("%s:%s:%u:%u:%s:%s:%s", p->pw_name, p->pw_passwd, p->pw_uid, p->pw_gid, p->pw_gecos, p->pw_dir, p->pw_shell);
	else
		status(s, err);
}

static void
group(enum nss_status s, const struct group *g, int err)
{
	if (s != NSS_STATUS_SUCCESS) {
		status(s, err);
		return;
	}
	printf("%s:%s:%u:", g->gr_name, g->gr_passwd, g->gr_gid);
	for (char **m = g->gr_mem; *m != NULL; m++)
		printf("%s%s", m == g->gr_mem ? "" : ",", *m);
}

static void
answer(char what, const char *key)
{
	struct passwd pw;
	struct group gr;
	struct spwd sp;
	enum nss_status s;
	int err = 0;

	switch (what) {
	case 'n':
		s = _nss_pwb_getpwnam_r(key, &pw, buf, room, &err);
		user(s, &pw, err);
		break;
	case 'u':
		s = _nss_pwb_getpwuid_r((uid_t)strtoul(key, NULL, 10), &pw, buf, room, &err);
		user(s, &pw, err);
		break;
	case 'g':
		s = _nss_pwb_getgrnam_r(key, &gr, buf, room, &err);
		group(s, &gr, err);
		break;
	case 'G':
		s = _nss_pwb_getgrgid_r((gid_t)strtoul(key, NULL, 10), &gr, buf, room, &err);
		group(s, &gr, err);
		break;
	case 's':
		s = _nss_pwb_getspnam_r(key, &sp, buf, room, &err);
		if (s == NSS_STATUS_SUCCESS)
			printf("%s:%s", sp.sp_namp, sp.sp_pwdp);
		else
			status(s, err);
		break;
	case 'i': {
		long start = 0, size = 1;
		gid_t *ids = malloc(sizeof *ids);

		s = _nss_pwb_initgroups_dyn(key, 0, &start, &size, &ids, -1, &err);
		if (s != NSS_STATUS_SUCCESS)
			status(s, err);
		for (long i = 0; i < start; i++)
			printf("%s%u", i ? " " : "", ids[i]);
		free(ids);
		break;
	}
	case 'p':
		_nss_pwb_setpwent(0);
		for (const char *comma = ""; _nss_pwb_getpwent_r(&pw, buf, room, &err) == NSS_STATUS_SUCCESS; comma = " ")
			printf("%s%s=%u", comma, pw.pw_name, pw.pw_uid);
		_nss_pwb_endpwent();
		break;
	case 'f':
		_nss_pwb_setpwent(0);
		for (int i = 0; i < 2 && _nss_pwb_getpwent_r(&pw, buf, room, &err) == NSS_STATUS_SUCCESS; i++)
			printf("%s ", pw.pw_name);
		fflush(stdout);
		pid_t child = fork();

		while (_nss_pwb_getpwent_r(&pw, buf, room, &err) == NSS_STATUS_SUCCESS)
			printf("%s%s ", child == 0 ? "child's " : "", pw.pw_name);
		if (child == 0) {
			fflush(stdout);
			_exit(0);
		}
		waitpid(child, NULL, 0);
		_nss_pwb_endpwent();
		break;
	case 'e':
		_nss_pwb_setgrent(0);
		for (const char *comma = ""; _nss_pwb_getgrent_r(&gr, buf, room, &err) == NSS_STATUS_SUCCESS; comma = " ")
			printf("%s%s=%u", comma, gr.gr_name, gr.gr_gid);
		_nss_pwb_endgrent();
		break;
	}
	putchar('\n');
	fflush(stdout);
}

static time_t until;

static void *
spin(void *arg)
{
	unsigned seed = (unsigned)(size_t)arg;
	long n = 0;
	char b[4096], name[16];

	while (time(NULL) < until) {
		for (int i = 0; i < 1000; i++, n++) {
			struct passwd p;
			int err, a = -1, c = -1, d = -1;
			unsigned k = (unsigned)rand_r(&seed) % 100;

			snprintf(name, sizeof name, "u%u", k);
			if (_nss_pwb_getpwnam_r(name, &p, b, sizeof b, &err) != NSS_STATUS_SUCCESS) {
				printf("%s is gone: %s\n", name, strerrorname_np(err));
				exit(1);
			}
			sscanf(p.pw_gecos, "round %d", &a);
			sscanf(p.pw_dir, "/home/%d/", &c);
			sscanf(p.pw_shell, "/bin/%d", &d);
			if (a < 0 || a != c || a != d || p.pw_uid != 2000 + k) {
				printf("torn: %s %u %s %s %s\n", p.pw_name, p.pw_uid, p.pw_gecos, p.pw_dir, p.pw_shell);
				exit(1);
			}
		}
	}
	return (void *)n;
}

int
main(int argc, char **argv)
{
	char line[4096];

	if (argc == 3) {
		pthread_t t[8];
		long all = 0;
		void *n;

		until = time(NULL) + atoi(argv[2]);
		for (size_t i = 0; i < 8; i++)
			pthread_create(&t[i], NULL, spin, (void *)(i + 1));
		for (size_t i = 0; i < 8; i++) {
			pthread_join(t[i], &n);
			all += (long)n;
		}
		printf("%ld whole\n", all);
		return 0;
	}
	buf = malloc(room);
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		answer(line[0], strlen(line) > 2 ? line + 2 : "");
	}
	return 0;
}
