package main

import (
	"os"
	"path/filepath"
	"testing"
)

// odd is a module that does to its process what its argument says.
const odd = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <security/pam_appl.h>
#include <security/pam_modules.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int
descriptors(void)
{
	int i, n = 0;

	for (i = 3; i < 64; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

int
pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	const struct pam_message message = { .msg_style = PAM_TEXT_INFO }, *messages = &message;
	const struct rlimit none = { 0, RLIM_INFINITY };
	struct pam_response *responses = NULL;
	const struct pam_conv *conv;
	const void *item;

	(void)flags;
	(void)argc;
	if (strcmp(argv[0], "closefrom") == 0)
		closefrom(3);
	if (strcmp(argv[0], "exit") == 0)
		exit(5);
	if (strcmp(argv[0], "child") == 0 && fork() == 0)
		exit(0);
	if (strcmp(argv[0], "child") == 0)
		wait(NULL);
	if (strcmp(argv[0], "namespace") == 0 && (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("none", "/tmp", "tmpfs", 0, NULL) < 0))
		return PAM_SYSTEM_ERR;
	if (strcmp(argv[0], "fsize") == 0)
		setrlimit(RLIMIT_FSIZE, &none);
	if (strcmp(argv[0], "stdio") == 0)
		printf("not flushed\n");
	if (strcmp(argv[0], "null") == 0 && pam_get_item(pamh, PAM_CONV, &item) == PAM_SUCCESS && (conv = item) != NULL)
		conv->conv(1, &messages, &responses, conv->appdata_ptr);
	free(responses);
	if (strcmp(argv[0], "fds") == 0)
		printf("%d descriptors\n", descriptors());
	return PAM_SUCCESS;
}
`

func oddModule(t *testing.T) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "odd.c")
	write(t, source, odd)
	return built(t, "odd.so", "cc", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", source)
}

// A module may do anything to its process: what it would have come to without --trace it comes to with it, and no copy of services is left.
func TestOddModules(t *testing.T) {
	module := oddModule(t)
	const ok = "pamtester: successfully authenticated\n"
	for _, tt := range []struct {
		word, out string
		status    int
	}{
		{"closefrom", ok, 0}, {"exit", "", 5}, {"child", ok, 0}, {"namespace", ok, 0}, {"fsize", ok, 0}, {"stdio", "not flushed\n" + ok, 0}, {"null", "(null)\n" + ok, 0},
	} {
		if tt.word == "namespace" && os.Geteuid() != 0 {
			continue
		}
		for _, option := range []string{"-v0", "--trace"} {
			tmp, err := os.MkdirTemp("/tmp", "odd")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(tmp)
			cmd := program(t, option, "--stack", "auth required "+module+" "+tt.word, "--stack", "auth optional pam_permit.so", "svc", "bob", "authenticate")
			cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
			out, errs, status := streams(t, cmd, "")
			if left, _ := os.ReadDir(tmp); out != tt.out || status != tt.status || len(left) != 0 {
				t.Errorf("%s %s: %q, %q, %d, left %v", option, tt.word, out, errs, status, left)
			}
		}
	}
}

// Without a copy of services, a module finds no descriptor of the runtime's, whatever was done before.
func TestNoDescriptors(t *testing.T) {
	answers := filepath.Join(t.TempDir(), "answers")
	write(t, answers, "")
	stack := "auth required " + oddModule(t) + " fds\n"
	want, _, _ := command(t, stack, "", "svc", "bob", "authenticate") // the caller may have left it some
	if got, errs, status := command(t, stack, "", "--answers", answers, "svc", "bob", "sleep(1)", "authenticate"); got != want || status != 0 {
		t.Errorf("%q, %q, %d, want %q", got, errs, status, want)
	}
}
