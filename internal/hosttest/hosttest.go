// Package hosttest puts what make has built onto a private copy of this machine, and has real PAM hosts use it: sshd, su, sudo,
// cron, pamtester, and a small C program for measurements. It has tests only.
package hosttest
