/*
 * process.h - this process as its caller made it. The Go runtime raises a limit and takes over signals before main; modules,
 * shells and operators are to find what they would find of a C program.
 */
#ifndef PAMTESTER_PROCESS_H
#define PAMTESTER_PROCESS_H

#include <signal.h>
#include <sys/resource.h>

/* Signals that end a program and can be caught; crashes apart. */
#define PROCESS_ENDING                                                                                                  \
	{ SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGPIPE, SIGUSR1, SIGUSR2, SIGXCPU, SIGVTALRM, SIGPROF, SIGIO, SIGPWR }
#define PROCESS_ENDINGS 13

/* process_restore gives limits and signals back; process_files is the limit of open files that the caller gave. */
void process_restore(void);
struct rlimit process_files(void);

/*
 * process_folder is mkdtemp(3), 0 or a negative errno, for a folder that is removed at the end, also when a signal ends this process
 * or a module calls exit(3). process_keep names what in it is to be removed with it, before it is made. process_clean removes all, the
 * last named first, in this process and in no child of it.
 */
int process_folder(char *template);
void process_keep(const char *path);
void process_clean(void);

/* process_alone makes a forked child die with its parent. */
void process_alone(pid_t parent);

/* process_alarm ends this process by SIGALRM, with a word on standard error. */
void process_alarm(long long ns, const char *word);

/* process_run is system(3) with variables added to the environment and standard output on out; returns wait(2)'s status or -1. */
int process_run(const char *command, char **variables, int out);

#endif
