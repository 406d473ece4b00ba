/*
 * libnss_pwb.so.2: who pwb's accounts and groups are, for every program, through nsswitch.conf(5). The answers come from one
 * mapped file; no process is asked, and nothing is waited for. Without the file the answer is UNAVAIL, so that resolution goes
 * on with the next source.
 *
 * glibc's contract: SUCCESS fills the caller's buffer; a buffer that is too small is TRYAGAIN with ERANGE and leaves it alone;
 * NOTFOUND and UNAVAIL let the next source be asked.
 */
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "view.h"

typedef enum nss_status status;

#define EXPORT __attribute__((visibility("default")))

/* said turns what a look-up returned into glibc's words. A damaged record is no reason to say that somebody does not exist. */
static status
said(int r, int *errnop)
{
	if (r == 0) {
		*errnop = ENOENT;
		return NSS_STATUS_NOTFOUND;
	}
	*errnop = r == -ERANGE ? ERANGE : r == -EAGAIN ? EAGAIN : r == -ENOENT ? ENOENT : EIO;
	return r == -ERANGE || r == -EAGAIN ? NSS_STATUS_TRYAGAIN : NSS_STATUS_UNAVAIL;
}

static status
give_user(const struct user_record *u, struct passwd *pw, char *buf, size_t len, int *errnop)
{
	if (u->text_len > len)
		return said(-ERANGE, errnop);
	memcpy(buf, u->text, u->text_len);
	*pw = (struct passwd){
		.pw_name = buf + u->name,
		.pw_passwd = buf + u->gecos - 2,
		.pw_uid = u->uid,
		.pw_gid = u->gid,
		.pw_gecos = buf + u->gecos,
		.pw_dir = buf + u->dir,
		.pw_shell = buf + u->shell,
	};
	return NSS_STATUS_SUCCESS;
}

/* There are no passwords here, so nothing ages: what shadow(5) says of an account is that none will do. */
static status
give_shadow(const struct user_record *u, struct spwd *sp, char *buf, size_t len, int *errnop)
{
	size_t name_len = u->gecos - 2;

	if (name_len + 2 > len)
		return said(-ERANGE, errnop);
	memcpy(buf, u->text, name_len);
	memcpy(buf + name_len, "*", 2);
	*sp = (struct spwd){
		.sp_namp = buf,
		.sp_pwdp = buf + name_len,
		.sp_lstchg = -1,
		.sp_min = -1,
		.sp_max = -1,
		.sp_warn = -1,
		.sp_inact = -1,
		.sp_expire = -1,
		.sp_flag = ~0UL,
	};
	return NSS_STATUS_SUCCESS;
}

/* The members' addresses stand first, where a pointer may stand; then the text, as it is in the file. */
static status
give_group(const struct group_record *g, struct group *gr, char *buf, size_t len, int *errnop)
{
	size_t skip = -(uintptr_t)buf & (alignof(char *) - 1);
	size_t table = ((size_t)g->n_members + 1) * sizeof(char *);
	size_t at = g->members;
	char **members, *text;

	if (skip + table + g->text_len > len || skip > len)
		return said(-ERANGE, errnop);
	members = (char **)(void *)(buf + skip);
	text = buf + skip + table;
	memcpy(text, g->text, g->text_len);
	for (uint32_t i = 0; i < g->n_members; i++) {
		members[i] = text + at;
		at += (size_t)g->lengths[i] + 1;
		if (at > g->text_len) /* within it, whatever the lengths say, a name ends at the last NUL */
			return said(-EBADMSG, errnop);
	}
	members[g->n_members] = NULL;
	*gr = (struct group){
		.gr_name = text,
		.gr_passwd = text + g->members - 2,
		.gr_gid = g->gid,
		.gr_mem = members,
	};
	return NSS_STATUS_SUCCESS;
}

/* ---- passwd ---- */

EXPORT status
_nss_pwb_getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t len, int *errnop)
{
	struct user_record u;
	struct view v;
	status answer;
	int r = view_take(&v);

	if (r < 0)
		return said(r, errnop);
	r = snapshot_user_by_name(v.snapshot, name, &u);
	answer = r > 0 ? give_user(&u, pw, buf, len, errnop) : said(r, errnop);
	view_leave(&v);
	return answer;
}

EXPORT status
_nss_pwb_getpwuid_r(uid_t uid, struct passwd *pw, char *buf, size_t len, int *errnop)
{
	struct user_record u;
	struct view v;
	status answer;
	int r;

	if (!snapshot_visible(uid))
		return said(0, errnop);
	r = view_take(&v);
	if (r < 0)
		return said(r, errnop);
	r = snapshot_user_by_uid(v.snapshot, uid, &u);
	answer = r > 0 ? give_user(&u, pw, buf, len, errnop) : said(r, errnop);
	view_leave(&v);
	return answer;
}

/* ---- group ---- */

EXPORT status
_nss_pwb_getgrnam_r(const char *name, struct group *gr, char *buf, size_t len, int *errnop)
{
	struct group_record g;
	struct view v;
	status answer;
	int r = view_take(&v);

	if (r < 0)
		return said(r, errnop);
	r = snapshot_group_by_name(v.snapshot, name, &g);
	answer = r > 0 ? give_group(&g, gr, buf, len, errnop) : said(r, errnop);
	view_leave(&v);
	return answer;
}

EXPORT status
_nss_pwb_getgrgid_r(gid_t gid, struct group *gr, char *buf, size_t len, int *errnop)
{
	struct group_record g;
	struct view v;
	status answer;
	int r;

	if (!snapshot_visible(gid))
		return said(0, errnop);
	r = view_take(&v);
	if (r < 0)
		return said(r, errnop);
	r = snapshot_group_by_gid(v.snapshot, gid, &g);
	answer = r > 0 ? give_group(&g, gr, buf, len, errnop) : said(r, errnop);
	view_leave(&v);
	return answer;
}

/* ---- initgroups: the caller's array grows as it must, up to limit (0 or less is none); what is over it is left out ---- */

static int
add_group(gid_t gid, long *start, long *size, gid_t **groups, long limit)
{
	long room;
	gid_t *grown;

	if (*start == *size) {
		room = *size > 0 ? 2 * *size : 16;
		if (limit > 0 && room > limit)
			room = limit;
		grown = realloc(*groups, (size_t)room * sizeof *grown);
		if (grown == NULL)
			return -ENOMEM;
		*groups = grown;
		*size = room;
	}
	(*groups)[(*start)++] = gid;
	return 0;
}

EXPORT status
_nss_pwb_initgroups_dyn(const char *name, gid_t primary, long *start, long *size, gid_t **groups, long limit, int *errnop)
{
	struct user_record u;
	struct view v;
	int r = view_take(&v);

	if (r < 0)
		return said(r, errnop);
	r = snapshot_user_by_name(v.snapshot, name, &u);
	if (r <= 0) {
		view_leave(&v);
		return said(r, errnop);
	}
	for (uint32_t i = 0; i < u.n_groups && r >= 0; i++) {
		gid_t gid = snapshot_u32(u.groups + 4 * (size_t)i);

		if (gid == primary || !snapshot_visible(gid))
			continue;
		if (limit > 0 && *start >= limit)
			break;
		r = add_group(gid, start, size, groups, limit);
	}
	view_leave(&v);
	if (r < 0) {
		*errnop = ENOMEM;
		return NSS_STATUS_TRYAGAIN;
	}
	return NSS_STATUS_SUCCESS;
}

/* ---- shadow: for root, as the file would be ---- */

static bool
may_read_shadow(int *errnop)
{
	if (geteuid() == 0)
		return true;
	*errnop = EACCES;
	return false;
}

EXPORT status
_nss_pwb_getspnam_r(const char *name, struct spwd *sp, char *buf, size_t len, int *errnop)
{
	struct user_record u;
	struct view v;
	status answer;
	int r;

	if (!may_read_shadow(errnop))
		return NSS_STATUS_UNAVAIL;
	r = view_take(&v);
	if (r < 0)
		return said(r, errnop);
	r = snapshot_user_by_name(v.snapshot, name, &u);
	answer = r > 0 ? give_shadow(&u, sp, buf, len, errnop) : said(r, errnop);
	view_leave(&v);
	return answer;
}

/* ---- enumeration ---- */

static status
set(int which)
{
	struct walk *w = walk_enter(which);
	int r, ignored;

	if (w == NULL)
		return NSS_STATUS_TRYAGAIN;
	r = walk_open(w);
	walk_leave(w);
	return r < 0 ? said(r, &ignored) : NSS_STATUS_SUCCESS;
}

static status
end(int which)
{
	struct walk *w = walk_enter(which);

	if (w == NULL)
		return NSS_STATUS_TRYAGAIN;
	walk_close(w);
	walk_leave(w);
	return NSS_STATUS_SUCCESS;
}

/* begin returns the walk, open, or NULL with *ret_answer. */
static struct walk *
begin(int which, int *errnop, status *ret_answer)
{
	struct walk *w = walk_enter(which);
	int r;

	if (w == NULL) {
		*ret_answer = said(errno == EAGAIN ? -EAGAIN : -errno, errnop);
		return NULL;
	}
	if (!walk_is_open(w)) {
		r = walk_open(w);
		if (r < 0) {
			*ret_answer = said(r, errnop);
			walk_leave(w);
			return NULL;
		}
	}
	return w;
}

EXPORT status
_nss_pwb_setpwent(int stayopen)
{
	(void)stayopen;
	return set(WALK_PASSWD);
}

EXPORT status
_nss_pwb_endpwent(void)
{
	return end(WALK_PASSWD);
}

EXPORT status
_nss_pwb_getpwent_r(struct passwd *pw, char *buf, size_t len, int *errnop)
{
	struct user_record u;
	uint32_t next;
	status answer;
	struct walk *w = begin(WALK_PASSWD, errnop, &answer);

	if (w == NULL)
		return answer;
	answer = snapshot_user_at(&w->snapshot, w->cursor, &next, &u) ? give_user(&u, pw, buf, len, errnop) : said(0, errnop);
	if (answer == NSS_STATUS_SUCCESS) /* who comes back with a larger buffer gets the same one */
		w->cursor = next;
	walk_leave(w);
	return answer;
}

EXPORT status
_nss_pwb_setgrent(int stayopen)
{
	(void)stayopen;
	return set(WALK_GROUP);
}

EXPORT status
_nss_pwb_endgrent(void)
{
	return end(WALK_GROUP);
}

EXPORT status
_nss_pwb_getgrent_r(struct group *gr, char *buf, size_t len, int *errnop)
{
	struct group_record g;
	uint32_t next;
	status answer;
	struct walk *w = begin(WALK_GROUP, errnop, &answer);

	if (w == NULL)
		return answer;
	answer = snapshot_group_at(&w->snapshot, w->cursor, &next, &g) ? give_group(&g, gr, buf, len, errnop) : said(0, errnop);
	if (answer == NSS_STATUS_SUCCESS)
		w->cursor = next;
	walk_leave(w);
	return answer;
}

EXPORT status
_nss_pwb_setspent(int stayopen)
{
	int ignored;

	(void)stayopen;
	return may_read_shadow(&ignored) ? set(WALK_SHADOW) : NSS_STATUS_UNAVAIL;
}

EXPORT status
_nss_pwb_endspent(void)
{
	return end(WALK_SHADOW);
}

EXPORT status
_nss_pwb_getspent_r(struct spwd *sp, char *buf, size_t len, int *errnop)
{
	struct user_record u;
	uint32_t next;
	status answer;
	struct walk *w;

	if (!may_read_shadow(errnop))
		return NSS_STATUS_UNAVAIL;
	w = begin(WALK_SHADOW, errnop, &answer);
	if (w == NULL)
		return answer;
	answer = snapshot_user_at(&w->snapshot, w->cursor, &next, &u) ? give_shadow(&u, sp, buf, len, errnop) : said(0, errnop);
	if (answer == NSS_STATUS_SUCCESS)
		w->cursor = next;
	walk_leave(w);
	return answer;
}
