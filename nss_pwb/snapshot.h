/*
 * The snapshot: a mapped file that answers who an account or a group is. FORMAT says what every byte means. Nothing in the
 * file is trusted: each offset and length is checked before it is used, each record has a checksum, and ids that can never be
 * pwb's do not exist whatever the file says.
 *
 * Functions return 1 for found, 0 for not there, or a negative errno. What they find points into the mapping.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct index {
	uint64_t off; /* of the first slot, from the start of the file */
	uint32_t cap; /* slots */
};

struct snapshot {
	const unsigned char *base;
	uint64_t len;
	uint64_t key[2]; /* of the indexes' hash */
	struct index index[4];
	dev_t dev;
	ino_t ino;
};

struct user_record {
	uint32_t uid, gid;
	uint32_t n_groups;
	const unsigned char *groups; /* n_groups little-endian numbers */
	const char *text;            /* name, "x", gecos, dir, shell: a NUL behind each */
	size_t name, gecos, dir, shell, text_len; /* offsets into text */
};

struct group_record {
	uint32_t gid;
	uint32_t n_members;
	const unsigned char *lengths; /* of each member's name */
	const char *text;             /* name, "x", members: a NUL behind each */
	size_t members, text_len;
};

int snapshot_open(const char *path, struct snapshot *ret_snapshot);
void snapshot_close(struct snapshot *s);
bool snapshot_superseded(const struct snapshot *s);

int snapshot_user_by_name(const struct snapshot *s, const char *name, struct user_record *ret_user);
int snapshot_user_by_uid(const struct snapshot *s, uint32_t uid, struct user_record *ret_user);
int snapshot_group_by_name(const struct snapshot *s, const char *name, struct group_record *ret_group);
int snapshot_group_by_gid(const struct snapshot *s, uint32_t gid, struct group_record *ret_group);

/* The first user or group at or behind a cursor that begins at 0; the caller takes ret_next as the next cursor when it has
 * used what was found. */
int snapshot_user_at(const struct snapshot *s, uint32_t cursor, uint32_t *ret_next, struct user_record *ret_user);
int snapshot_group_at(const struct snapshot *s, uint32_t cursor, uint32_t *ret_next, struct group_record *ret_group);

bool snapshot_visible(uint32_t id);
uint32_t snapshot_u32(const unsigned char *p);

#endif
